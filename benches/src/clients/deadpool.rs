//! deadpool-redis: a connection of the pool for each call.

use anyhow::Result;
use deadpool_redis::{Config, Pool, PoolConfig, Runtime};

use super::{CONNECTIONS, Client, Handle, commands};

#[derive(Clone)]
pub(crate) struct Deadpool(Pool);

impl Client for Deadpool {
    const NAME: &'static str = "deadpool";
    type Handle = Self;

    async fn connect(url: &str) -> Result<Self> {
        let mut config = Config::from_url(url);
        config.pool = Some(PoolConfig::new(CONNECTIONS as usize));
        Ok(Self(config.create_pool(Some(Runtime::Tokio1))?))
    }

    fn handle(&self) -> Self {
        self.clone()
    }
}

impl Handle for Deadpool {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        commands::get(&mut self.0.get().await?, key).await
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        commands::set(&mut self.0.get().await?, key, value).await
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        commands::pipeline(&mut self.0.get().await?, keys).await
    }
}
