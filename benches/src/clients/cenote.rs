//! Ours: one pool with default settings.

use anyhow::Result;
use cenote::{Conn, Pool};

use super::{CONNECTIONS, Client, Handle, commands};

/// Over the shared connections: one [`Conn`] per task.
pub(crate) struct Cenote(Pool);

impl Client for Cenote {
    const NAME: &'static str = "cenote";
    type Handle = Shared;

    async fn connect(url: &str) -> Result<Self> {
        let pool = Pool::builder().url(url).build()?;
        pool.start().await?;
        Ok(Self(pool))
    }

    fn handle(&self) -> Shared {
        Shared(self.0.conn())
    }
}

pub(crate) struct Shared(Conn);

impl Handle for Shared {
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

/// Over exclusive connections, checked out for each call.
pub(crate) struct CenoteDedicated(Pool);

impl Client for CenoteDedicated {
    const NAME: &'static str = "cenote";
    type Handle = CheckedOut;

    async fn connect(url: &str) -> Result<Self> {
        // The pool leaves at least one of them to commands that share it.
        let pool = Pool::builder().url(url).max_connections(CONNECTIONS as usize + 1).build()?;
        Ok(Self(pool))
    }

    fn handle(&self) -> CheckedOut {
        CheckedOut(self.0.clone())
    }
}

pub(crate) struct CheckedOut(Pool);

impl Handle for CheckedOut {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        commands::get(&mut self.0.dedicated().await?, key).await
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        commands::set(&mut self.0.dedicated().await?, key, value).await
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        commands::pipeline(&mut self.0.dedicated().await?, keys).await
    }
}
