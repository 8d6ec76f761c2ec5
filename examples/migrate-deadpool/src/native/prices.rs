//! What things cost.

use cenote::Pool;
use redis::AsyncCommands;

use crate::problem::Problem;

pub async fn set(pool: &Pool, article: &str, price: u64) -> Result<(), Problem> {
    let () = pool.conn().set(format!("price:{article}"), price).await?;
    Ok(())
}

pub async fn of(pool: &Pool, article: &str) -> Result<Option<u64>, Problem> {
    Ok(pool.conn().get(format!("price:{article}")).await?)
}
