//! What the clients before Cenote look like: their packages, types and calls.

use super::finding::{Kind, Style};
use super::manifest::Dependency;
use super::tree::Package;

/// Packages that a crate which goes over to Cenote no longer needs.
pub(super) const PACKAGES: [&str; 6] =
    ["redis", "deadpool-redis", "bb8-redis", "r2d2_redis", "mobc-redis", "redis-pool"];

/// Packages through which code can reach a Redis client, by the names that code has for them.
const ROOTS: [&str; 10] = [
    "redis",
    "deadpool_redis",
    "bb8_redis",
    "r2d2_redis",
    "r2d2",
    "deadpool",
    "bb8",
    "cenote",
    "cenote_pool_core",
    "redis_pool",
];

/// Whether a package is such a client, or is in the place of one: a patch crate, a fork.
pub(super) fn is_client(package: &str) -> bool {
    PACKAGES.contains(&package) || ["r2d2", "deadpool", "bb8"].contains(&package)
}

/// Our own stand-ins for them.
pub(super) const SHIM: &str = "cenote_compat_shim";

/// The names of the types below, by which a glob brings them.
pub(super) const TYPES: [&str; 11] = [
    "ClusterClient",
    "ClusterClientBuilder",
    "Sentinel",
    "SentinelClient",
    "SentinelClientBuilder",
    "ConnectionManager",
    "MultiplexedConnection",
    "RedisConnectionManager",
    "RedisPool",
    "Client",
    "Pool",
];

pub(super) fn is_root(package: &str) -> bool {
    ROOTS.contains(&package)
}

/// r2d2 serves any database: here Redis, if redis has its feature of that name.
pub(super) fn is_r2d2(package: &Package, dependency: &Dependency) -> bool {
    let others = package.manifest.iter().flat_map(|it| &it.dependencies);
    let has_feature = |it: &Dependency| it.package == "redis" && it.features.iter().any(|it| it == "r2d2");
    dependency.package == "r2d2" && others.clone().any(|it| has_feature(it) || it.package == "r2d2_redis")
}

/// Where packages show each other's items, the item's own place.
pub(super) fn canonical(mut path: Vec<String>) -> Vec<String> {
    loop {
        let (Some(root), Some(next)) = (path.first(), path.get(1)) else { return path };
        if root == "cenote" && next == "compat_shim" {
            path.remove(0);
            SHIM.clone_into(&mut path[0]);
            return path;
        }
        let is_shown = matches!(
            (root.as_str(), next.as_str()),
            ("deadpool_redis" | "bb8_redis" | "r2d2_redis" | "cenote" | "cenote_pool_core", "redis")
                | ("bb8_redis", "bb8")
                | ("r2d2_redis", "r2d2")
        );
        if !is_shown {
            break;
        }
        path.remove(0);
    }
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let real: &[&str] = match words[..] {
        ["redis", "client", "Client"] => &["redis", "Client"],
        ["deadpool_redis", "redis"] => &["redis"],
        _ => return path,
    };
    real.iter().map(|&word| word.to_owned()).collect()
}

/// A type whose calls matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legacy {
    Client,
    Cluster,
    ClusterBuilder,
    Sentinel,
    SentinelClient,
    SentinelBuilder,
    ConnectionManager,
    Multiplexed,
    DeadpoolConfig,
    DeadpoolManager,
    DeadpoolPool,
    DeadpoolBuilder,
    Bb8Manager,
    Bb8Pool,
    Bb8Builder,
    R2d2Pool,
    R2d2Builder,
}

/// A pool's type that serves any database, until its manager is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    DeadpoolPool,
    DeadpoolBuilder,
    Bb8Pool,
    Bb8Builder,
    R2d2Pool,
    R2d2Builder,
}

impl Shell {
    /// With a manager of Redis.
    pub(super) fn of_redis(self) -> Legacy {
        match self {
            Self::DeadpoolPool => Legacy::DeadpoolPool,
            Self::DeadpoolBuilder => Legacy::DeadpoolBuilder,
            Self::Bb8Pool => Legacy::Bb8Pool,
            Self::Bb8Builder => Legacy::Bb8Builder,
            Self::R2d2Pool => Legacy::R2d2Pool,
            Self::R2d2Builder => Legacy::R2d2Builder,
        }
    }

    fn of(legacy: Legacy) -> Option<Self> {
        Some(match legacy {
            Legacy::DeadpoolPool => Self::DeadpoolPool,
            Legacy::DeadpoolBuilder => Self::DeadpoolBuilder,
            Legacy::Bb8Pool => Self::Bb8Pool,
            Legacy::Bb8Builder => Self::Bb8Builder,
            Legacy::R2d2Pool => Self::R2d2Pool,
            Legacy::R2d2Builder => Self::R2d2Builder,
            _ => return None,
        })
    }

    /// What a call of it makes, and whether it is that call that is handed the manager.
    pub(super) fn call(self, method: &str) -> Option<(Self, bool)> {
        let effect = call(self.of_redis(), method)?;
        let makes = effect.makes.and_then(Self::of)?;
        let takes_manager = match self {
            Self::DeadpoolPool => method == "builder",
            Self::R2d2Pool => method == "new",
            Self::Bb8Builder | Self::R2d2Builder => method.starts_with("build"),
            Self::DeadpoolBuilder | Self::Bb8Pool => false,
        };
        Some((makes, takes_manager))
    }
}

/// What a path of a type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Legacy(Legacy),
    Shell(Shell),
}

pub(super) fn named(path: &[String]) -> Option<Named> {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let legacy = match words[..] {
        ["redis", "Client"] => Legacy::Client,
        ["redis", "cluster" | "cluster_async", "ClusterClient"] => Legacy::Cluster,
        ["redis", "cluster", "ClusterClientBuilder"] => Legacy::ClusterBuilder,
        ["redis", "sentinel", "Sentinel"] => Legacy::Sentinel,
        ["redis", "sentinel", "SentinelClient"] => Legacy::SentinelClient,
        ["redis", "sentinel", "SentinelClientBuilder"] => Legacy::SentinelBuilder,
        ["redis", "aio", "ConnectionManager"] => Legacy::ConnectionManager,
        ["redis", "aio", "MultiplexedConnection"] => Legacy::Multiplexed,
        ["deadpool_redis", "Config"] | ["deadpool_redis", "cluster" | "sentinel", "Config"] => {
            Legacy::DeadpoolConfig
        }
        ["deadpool_redis", "Manager"] | ["deadpool_redis", "cluster" | "sentinel", "Manager"] => {
            Legacy::DeadpoolManager
        }
        ["deadpool_redis", "Pool"] | ["deadpool_redis", "cluster" | "sentinel", "Pool"] => {
            Legacy::DeadpoolPool
        }
        ["deadpool_redis", "PoolBuilder"] | ["deadpool_redis", "cluster" | "sentinel", "PoolBuilder"] => {
            Legacy::DeadpoolBuilder
        }
        ["bb8_redis" | "r2d2_redis", "RedisConnectionManager"] => Legacy::Bb8Manager,
        ["r2d2_redis", "RedisPool"] => Legacy::R2d2Pool,
        ["deadpool", "managed", "Pool"] => return Some(Named::Shell(Shell::DeadpoolPool)),
        ["deadpool", "managed", "PoolBuilder"] => return Some(Named::Shell(Shell::DeadpoolBuilder)),
        ["bb8", "Pool"] => return Some(Named::Shell(Shell::Bb8Pool)),
        ["bb8", "Builder"] => return Some(Named::Shell(Shell::Bb8Builder)),
        ["r2d2", "Pool"] => return Some(Named::Shell(Shell::R2d2Pool)),
        ["r2d2", "Builder"] => return Some(Named::Shell(Shell::R2d2Builder)),
        _ => return None,
    };
    Some(Named::Legacy(legacy))
}

impl Legacy {
    /// The type's name, as its library's documentation has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "redis::Client",
            Self::Cluster => "redis::cluster::ClusterClient",
            Self::ClusterBuilder => "redis::cluster::ClusterClientBuilder",
            Self::Sentinel => "redis::sentinel::Sentinel",
            Self::SentinelClient => "redis::sentinel::SentinelClient",
            Self::SentinelBuilder => "redis::sentinel::SentinelClientBuilder",
            Self::ConnectionManager => "redis::aio::ConnectionManager",
            Self::Multiplexed => "redis::aio::MultiplexedConnection",
            Self::DeadpoolConfig => "deadpool_redis::Config",
            Self::DeadpoolManager => "deadpool_redis::Manager",
            Self::DeadpoolPool => "deadpool_redis::Pool",
            Self::DeadpoolBuilder => "deadpool_redis::PoolBuilder",
            Self::Bb8Manager => "bb8_redis::RedisConnectionManager",
            Self::Bb8Pool => "bb8::Pool",
            Self::Bb8Builder => "bb8::Builder",
            Self::R2d2Pool => "r2d2::Pool",
            Self::R2d2Builder => "r2d2::Builder",
        }
    }

    /// What a pool of any database may be made of to be one of Redis.
    pub(super) fn is_manager(self) -> bool {
        matches!(self, Self::Client | Self::Cluster | Self::DeadpoolManager | Self::Bb8Manager)
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    /// What is told of it; nothing for a step on the way.
    pub(super) told: Option<(Kind, Style)>,
    /// What it returns, if its calls matter in turn.
    pub(super) makes: Option<Legacy>,
}

const fn tells(kind: Kind, style: Style, makes: Option<Legacy>) -> Option<Effect> {
    Some(Effect { told: Some((kind, style)), makes })
}

const fn makes(makes: Legacy) -> Option<Effect> {
    Some(Effect { told: None, makes: Some(makes) })
}

/// Calls of the type itself and of its values.
pub(super) fn call(on: Legacy, method: &str) -> Option<Effect> {
    use Kind::{Checkout, Client, Connection, Manager, Pool};
    use Style::{Async, Either, Sync};

    match on {
        Legacy::Client => match method {
            "open" | "build_with_tls" => tells(Client, Either, Some(Legacy::Client)),
            _ => connects(method),
        },
        Legacy::Cluster => match method {
            "new" | "open" => tells(Client, Either, Some(Legacy::Cluster)),
            "builder" => tells(Client, Either, Some(Legacy::ClusterBuilder)),
            _ => connects(method),
        },
        Legacy::ClusterBuilder => match method {
            "new" => tells(Client, Either, Some(Legacy::ClusterBuilder)),
            "build" => makes(Legacy::Cluster),
            _ => makes(Legacy::ClusterBuilder),
        },
        Legacy::Sentinel => match method {
            "build" => tells(Client, Either, Some(Legacy::Sentinel)),
            "master_for" | "replica_for" | "replica_rotate_for" => tells(Client, Sync, Some(Legacy::Client)),
            "async_master_for" | "async_replica_for" | "async_replica_rotate_for" => {
                tells(Client, Async, Some(Legacy::Client))
            }
            _ => None,
        },
        Legacy::SentinelClient => match method {
            "build" => tells(Client, Either, Some(Legacy::SentinelClient)),
            _ => connects(method),
        },
        Legacy::SentinelBuilder => match method {
            "new" => tells(Client, Either, Some(Legacy::SentinelBuilder)),
            "build" => makes(Legacy::SentinelClient),
            _ => makes(Legacy::SentinelBuilder),
        },
        Legacy::ConnectionManager => (method.starts_with("new"))
            .then(|| tells(Manager, Async, Some(Legacy::ConnectionManager)))
            .flatten(),
        Legacy::Multiplexed => {
            (method.starts_with("new")).then(|| tells(Connection, Async, Some(Legacy::Multiplexed))).flatten()
        }
        Legacy::DeadpoolConfig => match method {
            "create_pool" => tells(Pool, Async, Some(Legacy::DeadpoolPool)),
            "builder" => tells(Pool, Async, Some(Legacy::DeadpoolBuilder)),
            "from_url" | "from_urls" | "from_connection_info" | "new" | "default" => {
                makes(Legacy::DeadpoolConfig)
            }
            _ => None,
        },
        Legacy::DeadpoolManager => match method {
            "new" | "new_with_config" | "from_config" => tells(Client, Async, Some(Legacy::DeadpoolManager)),
            _ => None,
        },
        Legacy::DeadpoolPool => match method {
            "builder" => tells(Pool, Async, Some(Legacy::DeadpoolBuilder)),
            "get" | "timeout_get" | "try_get" => tells(Checkout, Async, None),
            "manager" => makes(Legacy::DeadpoolManager),
            _ => None,
        },
        Legacy::DeadpoolBuilder => match method {
            "build" => makes(Legacy::DeadpoolPool),
            _ => makes(Legacy::DeadpoolBuilder),
        },
        Legacy::Bb8Manager => match method {
            "new" => tells(Client, Async, Some(Legacy::Bb8Manager)),
            _ => None,
        },
        Legacy::Bb8Pool => match method {
            "builder" => makes(Legacy::Bb8Builder),
            "get" | "get_owned" | "dedicated_connection" => tells(Checkout, Async, None),
            _ => None,
        },
        Legacy::Bb8Builder => match method {
            "build" | "build_unchecked" => tells(Pool, Async, Some(Legacy::Bb8Pool)),
            _ => makes(Legacy::Bb8Builder),
        },
        Legacy::R2d2Pool => match method {
            "new" => tells(Pool, Sync, Some(Legacy::R2d2Pool)),
            "builder" => makes(Legacy::R2d2Builder),
            "get" | "get_timeout" | "try_get" => tells(Checkout, Sync, None),
            _ => None,
        },
        Legacy::R2d2Builder => match method {
            "build" | "build_unchecked" => tells(Pool, Sync, Some(Legacy::R2d2Pool)),
            _ => makes(Legacy::R2d2Builder),
        },
    }
}

fn connects(method: &str) -> Option<Effect> {
    use Kind::{Connection, Manager};

    if method == "get_connection" || method.starts_with("get_connection_with_") {
        return tells(Connection, Style::Sync, None);
    }
    if method.starts_with("get_connection_manager") || method == "get_tokio_connection_manager" {
        return tells(Manager, Style::Async, Some(Legacy::ConnectionManager));
    }
    let opens = method.starts_with("get_multiplexed_")
        || method.starts_with("create_multiplexed_")
        || method.starts_with("get_async_")
        || method.starts_with("get_tokio_connection");
    opens.then(|| tells(Connection, Style::Async, Some(Legacy::Multiplexed))).flatten()
}

/// Calls that nothing but a Redis client has: they are known without knowing what they are called on.
pub(super) fn is_distinctive(method: &str) -> bool {
    [
        "get_multiplexed_async_",
        "get_multiplexed_tokio_",
        "create_multiplexed_async_",
        "get_connection_manager",
        "get_async_pubsub",
    ]
    .iter()
    .any(|known| method.starts_with(known))
}
