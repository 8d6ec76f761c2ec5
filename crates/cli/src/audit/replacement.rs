//! What takes a place's place.

use serde::Serialize;

use super::finding::{Kind, Style};
use super::legacy::Legacy;

/// Names that exist in Cenote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Replacement {
    /// What to write in the end.
    pub(super) replacement: &'static str,
    /// What keeps the old code as it is until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until_then: Option<&'static str>,
    /// What to write until then, where nothing can keep the call itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) write_until_then: Option<&'static str>,
}

const fn first(replacement: &'static str, until_then: &'static str) -> Replacement {
    Replacement { replacement, until_then: Some(until_then), write_until_then: None }
}

const fn at_once(replacement: &'static str) -> Replacement {
    Replacement { replacement, until_then: None, write_until_then: None }
}

/// Methods of redis-rs' own client make its own manager: no shim is in their place.
fn of_manager_method(method: &str) -> Replacement {
    let write = if method.ends_with("_lazy") {
        "cenote_compat_shim::connection_manager::aio::ConnectionManager::new_lazy_with_config(client, config)"
    } else if method.ends_with("_with_config") {
        "cenote_compat_shim::connection_manager::aio::ConnectionManager::new_with_config(client, config)"
    } else {
        "cenote_compat_shim::connection_manager::aio::ConnectionManager::new(client)"
    };
    Replacement { write_until_then: Some(write), ..at_once(CONN) }
}

const POOL: &str = "cenote::Pool::builder";
const CONN: &str = "cenote::Pool::conn";
const SUBSCRIBER: &str = "cenote::Pool::subscriber";
const DEADPOOL: &str = "cenote_compat_shim::deadpool";
const BB8: &str = "cenote_compat_shim::bb8";
const MANAGER: &str = "cenote_compat_shim::connection_manager";
const R2D2: &str = "cenote_compat_shim::r2d2";
/// Nothing serves it yet.
const NONE: &str = "none yet: Cenote has no Cluster";
/// Its stream has no end, and a connection that it took over is of no use to others.
const NO_MONITOR: &str = "none: Cenote has no MONITOR";

pub(super) fn of_call(on: Legacy, method: &str, kind: Kind, style: Style) -> Replacement {
    match on {
        Legacy::Cluster | Legacy::ClusterBuilder => at_once(NONE),
        // With a `redis+sentinel://` URL.
        Legacy::SentinelClient if kind == Kind::Connection => at_once(CONN),
        Legacy::Sentinel | Legacy::SentinelClient | Legacy::SentinelBuilder => at_once(POOL),
        Legacy::Client if method.contains("monitor") => at_once(NO_MONITOR),
        Legacy::Client if method.contains("pubsub") => at_once(SUBSCRIBER),
        Legacy::Client => match (kind, style) {
            (Kind::Manager, _) => of_manager_method(method),
            (Kind::Connection, Style::Sync) => first(CONN, R2D2),
            (Kind::Connection, _) => at_once(CONN),
            // Whatever it is for: what takes it is told at its own place.
            _ => at_once(POOL),
        },
        Legacy::ConnectionManager => first(CONN, MANAGER),
        Legacy::Multiplexed => at_once(CONN),
        Legacy::DeadpoolPool if kind == Kind::Checkout => first(CONN, DEADPOOL),
        Legacy::Bb8Pool if kind == Kind::Checkout => first(CONN, BB8),
        Legacy::R2d2Pool if kind == Kind::Checkout => first(CONN, R2D2),
        Legacy::DeadpoolConfig | Legacy::DeadpoolManager | Legacy::DeadpoolPool | Legacy::DeadpoolBuilder => {
            first(POOL, DEADPOOL)
        }
        Legacy::Bb8Manager | Legacy::Bb8Pool | Legacy::Bb8Builder => first(POOL, BB8),
        Legacy::R2d2Pool | Legacy::R2d2Builder => first(POOL, R2D2),
    }
}

impl Replacement {
    /// Of a client that goes into an r2d2 pool.
    pub(super) const FOR_R2D2: Self = first(POOL, R2D2);

    /// A shim that the code already uses is not offered to it.
    pub(super) fn leave_out(&mut self, used: &dyn Fn(&str) -> bool) {
        self.until_then = self.until_then.filter(|shim| !used(shim));
    }
}

pub(super) fn of_package(package: &str) -> Replacement {
    match package {
        "deadpool-redis" => first("cenote", DEADPOOL),
        "bb8-redis" => first("cenote", BB8),
        "r2d2_redis" => first("cenote", R2D2),
        "redis" => at_once("cenote::redis"),
        _ => at_once("cenote"),
    }
}
