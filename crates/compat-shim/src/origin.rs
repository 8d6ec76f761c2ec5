//! Where a legacy pool's connections come from.

use std::fmt;
use std::sync::{Arc, OnceLock};

use cenote_pool_core::Pool;
use redis::{ConnectionInfo, RedisConnectionInfo, RedisResult};

use crate::bridge;

pub(crate) const REPLACEMENT: &str =
    "cenote::Pool::conn(), or Pool::dedicated() for WATCH and blocking commands";

#[derive(Clone)]
pub(crate) enum Origin {
    /// The pool that serves this server, once it was looked for.
    Info(Arc<ConnectionInfo>, Arc<OnceLock<Pool>>),
    Shared(Pool),
}

impl Origin {
    pub(crate) fn of(info: ConnectionInfo) -> Self {
        Self::Info(Arc::new(info), Arc::default())
    }

    /// The pool, and as whom to greet the server.
    pub(crate) fn pool(&self) -> RedisResult<(Pool, RedisConnectionInfo)> {
        match self {
            Self::Shared(pool) => {
                let info = pool.connection_info().map(|info| info.redis_settings().clone());
                Ok((pool.clone(), info.unwrap_or_default()))
            }
            // Looked for at the first connection, so that a pool may be installed after a static was built.
            Self::Info(info, known) => {
                let pool = match known.get() {
                    Some(pool) => pool.clone(),
                    None => {
                        let pool = bridge::pool_for(info)?;
                        known.get_or_init(|| pool).clone()
                    }
                };
                Ok((pool, info.redis_settings().clone()))
            }
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Info(info, _) => write!(f, "{}", info.addr()),
            Self::Shared(pool) => pool.fmt(f),
        }
    }
}
