//! `cenote audit --clippy`: the compiler's own eye on the same places.

use std::fmt::Write as _;

const POOL: &str = "use the service's cenote::Pool: one place opens connections";
const CONN: &str = "use cenote::Pool::conn: a cheap handle on shared connections";
const OTHERS: &str = "if this is a pool of Redis, use the service's cenote::Pool; if it is one of another database, #[expect] it";

/// Each method and the reason why it is not to be called.
pub(super) const METHODS: [(&str, &str); 18] = [
    ("redis::Client::open", POOL),
    ("redis::Client::get_connection", CONN),
    ("redis::Client::get_connection_manager", CONN),
    ("redis::Client::get_multiplexed_async_connection", CONN),
    ("redis::Client::get_multiplexed_async_connection_with_config", CONN),
    ("redis::Client::get_async_pubsub", "use cenote::Pool::subscriber: one connection for all channels"),
    ("redis::aio::ConnectionManager::new", CONN),
    ("redis::aio::ConnectionManager::new_with_config", CONN),
    ("redis::aio::ConnectionManager::new_lazy_with_config", CONN),
    ("deadpool_redis::Config::create_pool", POOL),
    ("deadpool_redis::Config::builder", POOL),
    ("deadpool_redis::Config::from_url", POOL),
    ("deadpool_redis::Manager::new", POOL),
    ("deadpool::managed::Pool::builder", OTHERS),
    ("bb8_redis::RedisConnectionManager::new", POOL),
    ("bb8::Pool::builder", OTHERS),
    ("r2d2::Pool::new", OTHERS),
    ("r2d2::Pool::builder", OTHERS),
];

pub(super) fn toml() -> String {
    let mut text = "\
# Places that make Redis clients of their own, as `cenote audit` finds them. Clippy sees through aliases and re-exports,
# and says nothing of crates that are not in the graph. In [lints.clippy] set `disallowed_methods = \"warn\"` while you go
# over, and \"deny\" once you have; what has to stay gets #[expect(clippy::disallowed_methods, reason = \"..\")].
disallowed-methods = [
"
    .to_owned();
    for (path, reason) in METHODS {
        let _ = writeln!(text, "    {{ path = \"{path}\", reason = \"{reason}\" }},");
    }
    text.push_str("]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::legacy;

    #[test]
    fn what_clippy_is_told_the_audit_finds_too() {
        for (path, _) in METHODS {
            let mut of: Vec<String> = path.split("::").map(str::to_owned).collect();
            let method = of.pop().unwrap();
            let named = legacy::named(&legacy::canonical(of)).unwrap_or_else(|| panic!("{path}"));
            let legacy = match named {
                legacy::Named::Legacy(it) => it,
                legacy::Named::Shell(it) => it.of_redis(),
            };
            assert!(legacy::call(legacy, &method).is_some(), "{path}");
        }
    }
}
