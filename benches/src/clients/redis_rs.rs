//! redis-rs: one multiplexed connection, with and without its manager, cloned for each task.

use anyhow::Result;
use redis::aio::{ConnectionManager, MultiplexedConnection};

use super::{Client, Handle, commands};

/// `MultiplexedConnection`.
pub(crate) struct Multiplexed(MultiplexedConnection);

impl Client for Multiplexed {
    const NAME: &'static str = "redis-rs mux";
    type Handle = Shared<MultiplexedConnection>;

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(open(url)?.get_multiplexed_async_connection().await?))
    }

    fn handle(&self) -> Self::Handle {
        Shared(self.0.clone())
    }
}

/// `ConnectionManager`, which reconnects.
pub(crate) struct Manager(ConnectionManager);

impl Client for Manager {
    const NAME: &'static str = "redis-rs manager";
    type Handle = Shared<ConnectionManager>;

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(open(url)?.get_connection_manager().await?))
    }

    fn handle(&self) -> Self::Handle {
        Shared(self.0.clone())
    }
}

#[expect(clippy::disallowed_methods, reason = "the peer that is measured")]
pub(crate) fn open(url: &str) -> Result<redis::Client> {
    Ok(redis::Client::open(url)?)
}

pub(crate) struct Shared<C>(C);

impl<C: redis::aio::ConnectionLike + Send + Sync + 'static> Handle for Shared<C> {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        commands::get(&mut self.0, key).await
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        commands::set(&mut self.0, key, value).await
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        commands::pipeline(&mut self.0, keys).await
    }
}
