//! The clients, each used as its own documentation recommends and with its own defaults.

mod bb8;
mod cenote;
mod commands;
mod deadpool;
mod fred;
pub(crate) mod redis_rs;
mod rustis;

use std::future::Future;

use anyhow::Result;

pub(crate) use self::bb8::Bb8;
pub(crate) use self::cenote::{Cenote, CenoteDedicated};
pub(crate) use self::deadpool::Deadpool;
pub(crate) use self::fred::Fred;
pub(crate) use self::redis_rs::{Manager, Multiplexed};
pub(crate) use self::rustis::Rustis;

/// Connections of every pool that hands them out.
const CONNECTIONS: u32 = 20;

/// A client with its connections.
pub(crate) trait Client: Sized + Send + Sync + 'static {
    /// How it is called in the tables.
    const NAME: &'static str;

    /// What one task holds.
    type Handle: Handle;

    /// Connects to the server at `url`.
    fn connect(url: &str) -> impl Future<Output = Result<Self>> + Send;

    /// Something for one more task to hold.
    fn handle(&self) -> Self::Handle;
}

/// The commands that are measured. Every client turns its reply into plain bytes.
///
/// Static dispatch, as a boxed future per call would burden the fast clients most.
pub(crate) trait Handle: Send + 'static {
    /// `GET` of a key that exists.
    fn get(&mut self, key: &str) -> impl Future<Output = Result<Vec<u8>>> + Send;

    /// `SET`.
    fn set(&mut self, key: &str, value: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// A pipeline of `GET`s.
    fn pipeline(&mut self, keys: &[&str]) -> impl Future<Output = Result<Vec<Vec<u8>>>> + Send;
}

#[cfg(test)]
mod tests {
    use cenote_testkit::Server;

    use super::*;

    async fn reads_what_it_wrote<C: Client>(server: &Server) -> Result<()> {
        let mut handle = C::connect(&server.url()).await?.handle();
        let value = |name: &str| [C::NAME.as_bytes(), name.as_bytes(), b"\r\n\x00\xff"].concat();
        handle.set("a", &value("a")).await?;
        handle.set("b", &value("b")).await?;
        assert_eq!(handle.get("a").await?, value("a"), "{}", C::NAME);
        assert_eq!(handle.pipeline(&["b", "a"]).await?, [value("b"), value("a")], "{}", C::NAME);
        Ok(())
    }

    #[tokio::test]
    async fn every_client_reads_what_it_wrote_byte_for_byte() -> Result<()> {
        let server = Server::start();
        reads_what_it_wrote::<Cenote>(&server).await?;
        reads_what_it_wrote::<CenoteDedicated>(&server).await?;
        reads_what_it_wrote::<Multiplexed>(&server).await?;
        reads_what_it_wrote::<Manager>(&server).await?;
        reads_what_it_wrote::<Deadpool>(&server).await?;
        reads_what_it_wrote::<Bb8>(&server).await?;
        reads_what_it_wrote::<Fred>(&server).await?;
        reads_what_it_wrote::<Rustis>(&server).await
    }
}
