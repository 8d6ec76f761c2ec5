//! What things cost.

use deadpool_redis::Pool;
use redis::AsyncCommands;

use crate::problem::Problem;

pub async fn set(pool: &Pool, article: &str, price: u64) -> Result<(), Problem> {
    let mut conn = pool.get().await?;
    let () = conn.set(format!("price:{article}"), price).await?;
    Ok(())
}

pub async fn of(pool: &Pool, article: &str) -> Result<Option<u64>, Problem> {
    let mut conn = pool.get().await?;
    Ok(conn.get(format!("price:{article}")).await?)
}
