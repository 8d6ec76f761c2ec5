//! bb8-redis: a connection of the pool for each call.

use anyhow::Result;
use bb8_redis::RedisConnectionManager;
use bb8_redis::bb8::Pool;

use super::{CONNECTIONS, Client, Handle, commands};

#[derive(Clone)]
pub(crate) struct Bb8(Pool<RedisConnectionManager>);

impl Client for Bb8 {
    const NAME: &'static str = "bb8";
    type Handle = Self;

    async fn connect(url: &str) -> Result<Self> {
        let manager = RedisConnectionManager::new(url)?;
        Ok(Self(Pool::builder().max_size(CONNECTIONS).build(manager).await?))
    }

    fn handle(&self) -> Self {
        self.clone()
    }
}

impl Handle for Bb8 {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        commands::get(&mut *self.0.get().await?, key).await
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        commands::set(&mut *self.0.get().await?, key, value).await
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        commands::pipeline(&mut *self.0.get().await?, keys).await
    }
}
