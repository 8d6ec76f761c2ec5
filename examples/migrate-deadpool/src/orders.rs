//! The worker: takes one order after the other and ships it.

use std::time::Duration;

use deadpool_redis::Pool;
use redis::AsyncCommands;
use tokio::sync::watch;

use crate::problem::Problem;

/// Until `open` is false.
pub async fn ship(pool: Pool, open: watch::Receiver<bool>) {
    while *open.borrow() {
        if let Err(problem) = ship_next(&pool).await {
            eprintln!("an order: {problem}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn ship_next(pool: &Pool) -> Result<(), Problem> {
    let mut conn = pool.get().await?;
    let order: Option<(String, String)> = conn.blpop("orders", 0.3).await?;
    if let Some((_, order)) = order {
        let () = conn.rpush("shipped", order).await?;
    }
    Ok(())
}

/// How many orders were shipped.
pub async fn shipped(pool: &Pool) -> Result<u64, Problem> {
    let mut conn = pool.get().await?;
    Ok(conn.llen("shipped").await?)
}
