//! From what a legacy client is told to the pool that serves it.

use std::sync::OnceLock;

use cenote_pool_core::{Pool, PoolBuilder};
use parking_lot::{Mutex, MutexGuard};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};

static INSTALLED: OnceLock<Pool> = OnceLock::new();
/// Those made for clients that no installed pool serves. Whoever holds the lock sees what is installed as it is.
static OTHERS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());

/// Serves every shim that is built for this pool's server from this pool, from now on and for all of the process.
///
/// A server is told apart by host and port (`localhost` and `127.0.0.1` are one) or by the path of its socket. Shims
/// for another server, and those that were made before, have a pool of their own, one for each server, with the defaults
/// of [`PoolConfig`](cenote_pool_core::PoolConfig), and the log says so. Each shim greets the server as itself: its user,
/// password and database need not be the pool's.
///
/// # Errors
///
/// The pool, when another one is installed already: that one stays.
///
/// ```
/// use cenote_pool_core::Pool;
///
/// let pool = Pool::builder().url("redis://localhost:6379/0").build()?;
/// assert!(cenote_compat_shim::install(pool.clone()).is_ok());
/// assert!(cenote_compat_shim::install(pool).is_err(), "once for the process");
/// # Ok::<(), cenote_pool_core::Error>(())
/// ```
pub fn install(pool: Pool) -> Result<(), Pool> {
    // With this lock nobody is given a pool of its own in between, unseen. It is free again when the log is written: who
    // listens there may use a shim.
    let others = OTHERS.lock();
    INSTALLED.set(pool)?;
    let others = others.clone();
    let Some(installed) = INSTALLED.get() else { return Ok(()) };
    for own in others.iter().filter(|own| serves_the_same(installed, own)) {
        tracing::warn!(
            target: "cenote",
            installed = installed.status().url,
            own = own.status().url,
            "a pool was installed after a legacy client for its server was made: that one keeps a pool, and a budget, of its own"
        );
    }
    Ok(())
}

fn serves_the_same(pool: &Pool, other: &Pool) -> bool {
    match (pool.connection_info(), other.connection_info()) {
        (Some(one), Some(other)) => same_server(one.addr(), other.addr()),
        #[cfg(feature = "sentinel")]
        _ => asks_the_same(&pool.status().url, &other.status().url),
        #[cfg(not(feature = "sentinel"))]
        _ => false,
    }
}

/// For a client that the installed pool does not serve.
fn own(mut others: MutexGuard<'_, Vec<Pool>>, builder: PoolBuilder) -> RedisResult<Pool> {
    let pool = builder.build()?;
    others.push(pool.clone());
    drop(others);
    if let Some(installed) = INSTALLED.get() {
        tracing::warn!(
            target: "cenote",
            installed = installed.status().url,
            own = pool.status().url,
            "a legacy client is for another server, user or database than the installed pool: it gets a pool, and a budget, of its own"
        );
    }
    Ok(pool)
}

/// The pools that shims were given because [`install`]ed was none for their server. Close them at the end, as what was
/// installed is closed by whoever made it.
pub fn pools() -> Vec<Pool> {
    OTHERS.lock().clone()
}

/// The pool whose streams reach this server.
pub(crate) fn pool_for(info: &ConnectionInfo) -> RedisResult<Pool> {
    let others = OTHERS.lock();
    if let Some(pool) = INSTALLED.get()
        && (pool.connection_info().is_none_or(|its| same_server(its.addr(), info.addr())))
    {
        // One that is embedded has no server: what it answers is an error that says so.
        return Ok(pool.clone());
    }
    let serves =
        |pool: &&Pool| pool.connection_info().is_some_and(|its| same_server(its.addr(), info.addr()));
    if let Some(pool) = others.iter().find(serves) {
        return Ok(pool.clone());
    }
    own(others, Pool::builder().url(url_of(info)?))
}

/// A pool that greets the server just so: for shims whose users share its connections.
#[cfg(feature = "connection-manager")]
pub(crate) fn pool_as(info: &ConnectionInfo) -> RedisResult<Pool> {
    let same = |pool: &Pool| {
        pool.connection_info().is_some_and(|its| {
            let (its_own, wanted) = (its.redis_settings(), info.redis_settings());
            same_server(its.addr(), info.addr())
                && (its_own.db(), its_own.username(), its_own.password())
                    == (wanted.db(), wanted.username(), wanted.password())
        })
    };
    let others = OTHERS.lock();
    if let Some(pool) = INSTALLED.get().filter(|pool| pool.connection_info().is_none() || same(pool)) {
        return Ok(pool.clone());
    }
    if let Some(pool) = others.iter().find(|pool| same(pool)) {
        return Ok(pool.clone());
    }
    own(others, Pool::builder().url(url_of(info)?))
}

/// A master that sentinels know.
#[cfg(feature = "sentinel")]
pub(crate) struct Sentinels<'a> {
    pub(crate) sentinels: &'a [ConnectionInfo],
    pub(crate) master: &'a str,
    pub(crate) tls: bool,
    pub(crate) node: &'a redis::RedisConnectionInfo,
}

/// The pool that asks one of these sentinels for the same master.
#[cfg(feature = "sentinel")]
pub(crate) fn pool_by(wanted: &Sentinels<'_>) -> RedisResult<Pool> {
    let url = wanted.url()?;
    let same = |pool: &&Pool| asks_the_same(&pool.status().url, &url);
    let others = OTHERS.lock();
    if let Some(pool) = INSTALLED.get().filter(|pool| pool.connection_info().is_none() || same(pool)) {
        return Ok(pool.clone());
    }
    if let Some(pool) = others.iter().find(same) {
        return Ok(pool.clone());
    }
    let mut builder = Pool::builder().url(url);
    let login = wanted.sentinels.first().map(ConnectionInfo::redis_settings);
    if let Some(password) = login.and_then(redis::RedisConnectionInfo::password) {
        builder = match login.and_then(redis::RedisConnectionInfo::username) {
            Some(name) => builder.sentinel_login(name, password),
            None => builder.sentinel_password(password),
        };
    }
    own(others, builder)
}

#[cfg(feature = "sentinel")]
impl Sentinels<'_> {
    fn url(&self) -> RedisResult<String> {
        let unknown = || unsupported("sentinels are reached by TCP: the shared pool knows no other way");
        let mut hosts = Vec::new();
        for sentinel in self.sentinels {
            let (host, port, _) = network(sentinel.addr()).ok_or_else(unknown)?;
            hosts.push(format!("{}:{port}", in_url(&host)));
        }
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (credentials, hosts, master) = (credentials(self.node), hosts.join(","), encoded(self.master));
        Ok(format!("{scheme}+sentinel://{credentials}{hosts}/{master}/{}", self.node.db()))
    }
}

/// Both are Sentinel's URLs, with a sentinel in common and the same master.
#[cfg(feature = "sentinel")]
fn asks_the_same(one: &str, other: &str) -> bool {
    let parts = |url: &str| {
        let (scheme, rest) = url.split_once("+sentinel://")?;
        let (hosts, master) = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).split_once('/')?;
        let master = percent_encoding::percent_decode_str(master.split('/').next()?).decode_utf8().ok()?;
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        Some((scheme.to_owned(), hosts, master.into_owned()))
    };
    match (parts(one), parts(other)) {
        (Some((scheme, hosts, master)), Some((other_scheme, others, other_master))) => {
            scheme == other_scheme && master == other_master && hosts.iter().any(|host| others.contains(host))
        }
        _ => false,
    }
}

fn same_server(one: &ConnectionAddr, other: &ConnectionAddr) -> bool {
    match (one, other) {
        (ConnectionAddr::Unix(path), ConnectionAddr::Unix(other_path)) => path == other_path,
        _ => network(one).is_some_and(|place| network(other) == Some(place)),
    }
}

/// Host, port, and whether by TLS.
fn network(address: &ConnectionAddr) -> Option<(String, u16, bool)> {
    let (host, port, tls) = match address {
        ConnectionAddr::Tcp(host, port) => (host, port, false),
        ConnectionAddr::TcpTls { host, port, .. } => (host, port, true),
        _ => return None,
    };
    let host = host.to_ascii_lowercase();
    // By TLS the name matters.
    let host = if host == "localhost" && !tls { "127.0.0.1".to_owned() } else { host };
    Some((host, *port, tls))
}

fn url_of(info: &ConnectionInfo) -> RedisResult<String> {
    let settings = info.redis_settings();
    let (name, password) = (settings.username().map(encoded), settings.password().map(encoded));
    let db = settings.db();
    if let ConnectionAddr::Unix(path) = info.addr() {
        let mut url = format!("unix://{}?db={db}", encoded(&path.to_string_lossy()).replace("%2F", "/"));
        for (key, value) in [("user", name), ("pass", password)] {
            if let Some(value) = value {
                url.push_str(&format!("&{key}={value}"));
            }
        }
        return Ok(url);
    }
    if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
        return Err(unsupported("the shared pool checks every certificate: `insecure` cannot be had"));
    }
    let unknown = || unsupported("this kind of address is not known to the shared pool");
    let (host, port, tls) = network(info.addr()).ok_or_else(unknown)?;
    let scheme = if tls { "rediss" } else { "redis" };
    Ok(format!("{scheme}://{}{}:{port}/{db}", credentials(settings), in_url(&host)))
}

fn in_url(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        encoded(host).replace("%2E", ".").replace("%2D", "-")
    }
}

fn credentials(settings: &redis::RedisConnectionInfo) -> String {
    match (settings.username().map(encoded), settings.password().map(encoded)) {
        (None, None) => String::new(),
        (name, None) => format!("{}@", name.unwrap_or_default()),
        (name, Some(password)) => format!("{}:{password}@", name.unwrap_or_default()),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(crate) fn unsupported(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, why))
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn info(url: &str) -> ConnectionInfo {
        url.into_connection_info().unwrap()
    }

    #[test]
    fn a_server_has_one_pool_whatever_the_user_and_the_database() {
        let one = pool_for(&info("redis://localhost:7001/0")).unwrap();
        let same = pool_for(&info("redis://ada:secret@127.0.0.1:7001/3")).unwrap();
        let other = pool_for(&info("redis://127.0.0.1:7002/0")).unwrap();
        let address = |pool: &Pool| pool.connection_info().unwrap().addr().to_string();
        assert_eq!(address(&one), address(&same));
        assert_ne!(address(&one), address(&other));
        assert_eq!(pools().iter().filter(|pool| address(pool).ends_with(":7001")).count(), 1);
    }

    #[test]
    fn every_address_and_credential_survives_the_way_into_a_url() {
        for url in [
            "redis://ada:p%40ss%2Fword%25@cache-1.internal:7000/3",
            "redis://:only%3Apassword@[::1]:7000/0",
            "unix:///run/redis%20dir/r.sock?db=2&user=ada&pass=h%26ush",
        ] {
            let info = info(url);
            let pool = Pool::builder().url(url_of(&info).unwrap()).build().unwrap();
            let its = pool.connection_info().unwrap();
            assert_eq!(its.addr(), info.addr());
            let settings = |info: &ConnectionInfo| {
                let settings = info.redis_settings();
                (
                    settings.db(),
                    settings.username().map(str::to_owned),
                    settings.password().map(str::to_owned),
                )
            };
            assert_eq!(settings(&its), settings(&info), "{url}");
        }
    }

    #[test]
    fn tls_without_a_look_at_the_certificate_is_refused_with_a_reason() {
        let address = ConnectionAddr::TcpTls { host: "h".into(), port: 1, insecure: true, tls_params: None };
        let error = pool_for(&address.into_connection_info().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClientConfig);
        assert!(error.to_string().contains("certificate"), "{error}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_and_plain_are_two_servers() {
        let address =
            |insecure| ConnectionAddr::TcpTls { host: "h".into(), port: 7003, insecure, tls_params: None };
        let pool = pool_for(&address(false).into_connection_info().unwrap()).unwrap();
        assert!(same_server(pool.connection_info().unwrap().addr(), &address(false)));
        assert!(!same_server(&address(false), &ConnectionAddr::Tcp("h".into(), 7003)));
    }
}
