//! Re-exports, and types that hold what matters.

mod inner;
pub mod names;

pub use self::names::*;
pub use inner::make;
use std::ops::Deref;

#[derive(Clone)]
pub struct Store {
    pub client: redis::Client,
    pub(crate) pool: pools::Pool,
    other: deadpool_postgres::Pool,
    many: Vec<pools::Pool>,
}

pub struct Wrapped(pub bb8::Pool<bb8_redis::RedisConnectionManager>);

impl Deref for Wrapped {
    type Target = bb8::Pool<bb8_redis::RedisConnectionManager>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Store {
    pub fn pool(&self) -> &pools::Pool {
        &self.pool
    }

    pub async fn use_all(&self) {
        let _ = self.pool.get().await; //~ checkout module async
        let _ = self.pool().get().await; //~ checkout module async
        let _ = self.other.get().await;
        let _ = self.many.get(0);
        let _ = self.many[0].get().await; //~ checkout module async
        for one in &self.many {
            let _ = one.get().await; //~ checkout module async
        }
        let _ = self.client.get_multiplexed_async_connection().await; //~ connection module async
    }
}
