//! The worker: takes one order after the other and ships it.

use std::time::Duration;

use cenote::Pool;
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
    // It blocks, so it has a connection of its own.
    let mut conn = pool.dedicated().await?;
    let order: Option<(String, String)> = conn.blpop("orders", 0.3).await?;
    if let Some((_, order)) = order {
        let () = conn.rpush("shipped", order).await?;
    }
    Ok(())
}

/// How many orders were shipped.
pub async fn shipped(pool: &Pool) -> Result<u64, Problem> {
    Ok(pool.conn().llen("shipped").await?)
}

impl From<cenote::Error> for Problem {
    fn from(error: cenote::Error) -> Self {
        if error.is_timeout() { Self::Busy } else { Self::Pool(error.to_string()) }
    }
}
