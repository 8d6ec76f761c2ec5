//! What is there, sold by transactions that start over when somebody was faster.

use deadpool_redis::Pool;
use redis::AsyncCommands;

use crate::problem::Problem;

#[derive(Debug)]
pub enum Sale {
    /// So many are left.
    Sold(u64),
    /// There are only so many.
    Short(u64),
}

pub async fn set(pool: &Pool, article: &str, number: u64) -> Result<(), Problem> {
    let mut conn = pool.get().await?;
    let () = conn.set(format!("stock:{article}"), number).await?;
    Ok(())
}

/// Takes so many out of stock and orders them to be shipped: both, or neither.
pub async fn sell(pool: &Pool, article: &str, number: u64) -> Result<Sale, Problem> {
    let mut conn = pool.get().await?;
    let key = format!("stock:{article}");
    loop {
        redis::cmd("WATCH").arg(&key).exec_async(&mut conn).await?;
        let stock: u64 = conn.get::<_, Option<u64>>(&key).await?.unwrap_or(0);
        if stock < number {
            redis::cmd("UNWATCH").exec_async(&mut conn).await?;
            return Ok(Sale::Short(stock));
        }
        let sold: Option<(u64,)> = redis::pipe()
            .atomic()
            .decr(&key, number)
            .rpush("orders", format!("{number} {article}"))
            .ignore()
            .query_async(&mut conn)
            .await?;
        if let Some((left,)) = sold {
            return Ok(Sale::Sold(left));
        }
    }
}
