//! The pools of connections.

use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolConfig, PoolError, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, RedisResult};

use crate::problem::Problem;

pub type Redis = Pool;

/// For requests.
pub fn for_requests(url: &str) -> RedisResult<Redis> {
    pool(url, 8, Some(Duration::from_secs(5)))
}

/// For workers, whose commands block: a reply may take as long as it likes.
pub fn for_workers(url: &str) -> RedisResult<Redis> {
    pool(url, 2, None)
}

fn pool(url: &str, max_size: usize, reply: Option<Duration>) -> RedisResult<Redis> {
    let connection = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(10)))
        .set_response_timeout(reply);
    let timeouts = Timeouts { wait: Some(Duration::from_secs(10)), create: None, recycle: None };
    Ok(Pool::builder(Manager::new_with_config(url, connection)?)
        .config(PoolConfig { timeouts, ..PoolConfig::new(max_size) })
        .runtime(Runtime::Tokio1)
        .build()
        .expect("there is a runtime"))
}

impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(_) => Self::Busy,
            PoolError::Backend(error) => Self::Redis(error),
            other => Self::Pool(other.to_string()),
        }
    }
}
