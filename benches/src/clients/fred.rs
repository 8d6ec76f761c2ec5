//! fred: its `Client`, one connection, set up as its README shows.

use std::time::Duration;

use anyhow::Result;
use fred::prelude::*;

use super::Handle;

#[derive(Clone)]
pub(crate) struct Fred(fred::clients::Client);

impl super::Client for Fred {
    const NAME: &'static str = "fred";
    type Handle = Self;

    async fn connect(url: &str) -> Result<Self> {
        let client = Builder::from_config(Config::from_url(url)?)
            .with_connection_config(|config| {
                config.connection_timeout = Duration::from_secs(5);
                config.tcp = TcpConfig { nodelay: Some(true), ..Default::default() };
            })
            .build()?;
        client.init().await?;
        Ok(Self(client))
    }

    fn handle(&self) -> Self {
        self.clone()
    }
}

impl Handle for Fred {
    async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        Ok(self.0.set(key, value, None, None, false).await?)
    }

    async fn pipeline(&mut self, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        let pipeline = self.0.pipeline();
        for &key in keys {
            let () = pipeline.get(key).await?;
        }
        Ok(pipeline.all().await?)
    }
}
