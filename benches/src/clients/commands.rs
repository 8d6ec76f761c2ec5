//! The measured commands for whoever has redis-rs' interface.

use anyhow::Result;
use redis::AsyncCommands;
use redis::aio::ConnectionLike;

pub(super) async fn get(conn: &mut (impl ConnectionLike + Send + Sync), key: &str) -> Result<Vec<u8>> {
    Ok(conn.get(key).await?)
}

pub(super) async fn set(
    conn: &mut (impl ConnectionLike + Send + Sync),
    key: &str,
    value: &[u8],
) -> Result<()> {
    Ok(conn.set(key, value).await?)
}

pub(super) async fn pipeline(
    conn: &mut (impl ConnectionLike + Send + Sync),
    keys: &[&str],
) -> Result<Vec<Vec<u8>>> {
    let mut pipeline = redis::Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.get(key);
    }
    Ok(pipeline.query_async(conn).await?)
}
