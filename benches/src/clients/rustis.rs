//! rustis: one multiplexed client, cloned for each task.

use anyhow::Result;
use rustis::client::{BatchPreparedCommand, Client};
use rustis::commands::StringCommands;
use rustis::resp::{BulkString, RefBulkString};

use super::Handle;

#[derive(Clone)]
pub(crate) struct Rustis(Client);

impl super::Client for Rustis {
    const NAME: &'static str = "rustis";
    type Handle = Self;

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Client::connect(url).await?))
    }

    fn handle(&self) -> Self {
        self.clone()
    }
}

// Its type for bytes is `BulkString`, which holds the `Vec` that comes out of it.
impl Handle for Rustis {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        let value: BulkString = self.0.get(key).await?;
        Ok(value.into())
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        Ok(self.0.set(key, RefBulkString::new(value)).await?)
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        let mut pipeline = self.0.create_pipeline();
        for key in keys {
            pipeline.get::<BulkString>(key).queue();
        }
        let values: Vec<BulkString> = pipeline.execute().await?;
        Ok(values.into_iter().map(Vec::from).collect())
    }
}
