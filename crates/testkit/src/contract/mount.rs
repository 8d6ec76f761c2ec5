//! Makes a test of each check.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Backend, Keys};
use crate::within;

const LIMIT: Duration = Duration::from_secs(60);

/// Mounts the [checks](mod@crate::contract) on a backend: `contract!(name, connect)` or, for a backend that does not
/// serve all of them, `contract!(name, connect, [strings, expiry])`.
///
/// `connect` is an async function or closure without arguments whose connection is `ConnectionLike + Clone`. Each
/// check becomes a `#[test]` in a module called `name`, on a runtime of its own.
#[macro_export]
macro_rules! contract {
    ($name:ident, $connect:expr) => {
        $crate::contract!(
            $name,
            $connect,
            [strings, counters, expiry, hashes, sets, lists, binary, errors, pipelines, transactions, sharing]
        );
    };
    ($name:ident, $connect:expr, [$($group:ident),+ $(,)?]) => {
        mod $name {
            #[allow(unused_imports, reason = "the backend's expression may be a path from the root")]
            use super::*;
            $($crate::__contract_group!($group, $connect);)+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_group {
    (strings, $mount:tt) => {
        $crate::__contract_checks! { strings, $mount,
            what_was_set_is_read set_overwrites a_missing_key_is_nil set_nx_and_xx_look_first
            set_get_returns_the_old_value getdel_takes_it_away append_and_strlen ranges many_at_once
            deleting_counts_what_was_there exists_counts_repeats types_are_named
        }
    };
    (counters, $mount:tt) => {
        $crate::__contract_checks! { counters, $mount,
            a_counter_starts_at_zero counters_go_both_ways floats_are_added an_overflow_is_refused
        }
    };
    (expiry, $mount:tt) => {
        $crate::__contract_checks! { expiry, $mount,
            a_ttl_is_kept no_ttl_and_no_key_differ set_clears_a_ttl_unless_told incr_keeps_a_ttl
            persist_ends_it an_expired_key_is_gone a_ttl_in_the_past_deletes
        }
    };
    (hashes, $mount:tt) => {
        $crate::__contract_checks! { hashes, $mount,
            fields_are_set_and_read the_whole_hash_is_a_map fields_are_counted an_emptied_hash_is_gone
        }
    };
    (sets, $mount:tt) => {
        $crate::__contract_checks! { sets, $mount,
            members_are_unique membership sets_combine an_emptied_set_is_gone
        }
    };
    (lists, $mount:tt) => {
        $crate::__contract_checks! { lists, $mount,
            both_ends_grow both_ends_shrink indexes_count_from_either_end lists_are_trimmed
            elements_are_removed an_emptied_list_is_gone
        }
    };
    (binary, $mount:tt) => {
        $crate::__contract_checks! { binary, $mount,
            any_byte_survives empty_values_are_values line_ends_are_data a_large_value_survives
        }
    };
    (errors, $mount:tt) => {
        $crate::__contract_checks! { errors, $mount,
            a_wrong_type_is_an_error_with_its_code not_a_number wrong_number_of_arguments
            a_syntax_error_changes_nothing the_connection_goes_on_after_an_error
        }
    };
    (pipelines, $mount:tt) => {
        $crate::__contract_checks! { pipelines, $mount,
            replies_come_in_order ignored_replies_are_left_out an_error_does_not_stop_the_others
            a_long_pipeline_is_answered
        }
    };
    (transactions, $mount:tt) => {
        $crate::__contract_checks! { transactions, $mount,
            all_replies_come_in_order an_error_inside_does_not_roll_back ignored_replies_are_left_out
        }
    };
    (sharing, $mount:tt) => {
        $crate::__contract_checks! { sharing, $mount,
            clones_see_the_same_keys concurrent_increments_are_all_counted
            each_clone_gets_its_own_replies a_dropped_call_does_not_shift_replies
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_checks {
    ($group:ident, compiled, $($check:ident)+) => {
        pub mod $group {
            $(
                pub fn $check<'a>(conn: &'a mut $crate::contract::Backend, keys: &'a $crate::contract::Keys)
                    -> $crate::contract::Checking<'a>
                {
                    Box::pin($crate::contract::$group::$check(conn, keys))
                }
            )+
        }
    };
    ($group:ident, $connect:expr, $($check:ident)+) => {
        mod $group {
            #[allow(unused_imports, reason = "the backend's expression may be a path from the root")]
            use super::*;
            $(
                #[test]
                fn $check() {
                    let connecting = async { $crate::contract::Backend::new(($connect)().await) };
                    $crate::contract::drive(
                        stringify!($check),
                        Box::pin(connecting),
                        $crate::contract::compiled::$group::$check,
                    );
                }
            )+
        }
    };
}

/// The checks, compiled here once and not again wherever they are mounted: that took the better part of a minute.
#[doc(hidden)]
pub mod compiled {
    crate::__contract_group!(strings, compiled);
    crate::__contract_group!(counters, compiled);
    crate::__contract_group!(expiry, compiled);
    crate::__contract_group!(hashes, compiled);
    crate::__contract_group!(sets, compiled);
    crate::__contract_group!(lists, compiled);
    crate::__contract_group!(binary, compiled);
    crate::__contract_group!(errors, compiled);
    crate::__contract_group!(pipelines, compiled);
    crate::__contract_group!(transactions, compiled);
    crate::__contract_group!(sharing, compiled);
}

#[doc(hidden)]
pub type Checking<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

#[doc(hidden)]
pub fn drive(
    name: &str,
    connecting: Pin<Box<dyn Future<Output = Backend>>>,
    check: for<'a> fn(&'a mut Backend, &'a Keys) -> Checking<'a>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(within(LIMIT, async {
        let mut conn = connecting.await;
        check(&mut conn, &Keys::new(name)).await;
    }));
}

#[cfg(test)]
mod tests {
    /// A check that no group names would never run.
    #[test]
    fn every_check_is_mounted() {
        let groups = [
            ("strings", include_str!("strings.rs")),
            ("counters", include_str!("counters.rs")),
            ("expiry", include_str!("expiry.rs")),
            ("hashes", include_str!("hashes.rs")),
            ("sets", include_str!("sets.rs")),
            ("lists", include_str!("lists.rs")),
            ("binary", include_str!("binary.rs")),
            ("errors", include_str!("errors.rs")),
            ("pipelines", include_str!("pipelines.rs")),
            ("transactions", include_str!("transactions.rs")),
            ("sharing", include_str!("sharing.rs")),
        ];
        let mount = include_str!("mount.rs");
        for (group, source) in groups {
            let list = mount.split(&format!("__contract_checks! {{ {group},")).nth(1).unwrap();
            let list = list.split('}').next().unwrap();
            let mounted: Vec<_> = list.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let checks =
                source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next());
            let mut count = 0;
            for check in checks {
                assert!(mounted.contains(&check), "{group}::{check} is in no list");
                count += 1;
            }
            assert!(count > 2, "{group} has only {count} checks");
        }
    }
}
