//! What was sold, counted in a pipeline.

use cenote::Pool;
use redis::pipe;

use crate::problem::Problem;

const DAY: i64 = 24 * 60 * 60;

/// Counts a sale, and returns how many were sold today.
pub async fn count(pool: &Pool, article: &str, number: u64) -> Result<u64, Problem> {
    let key = format!("sales:{article}");
    let (sold,): (u64,) =
        pipe().atomic().incr(&key, number).expire(&key, DAY).ignore().query_async(&mut pool.conn()).await?;
    Ok(sold)
}

/// How many were sold today, and what one costs.
pub async fn today(pool: &Pool, article: &str) -> Result<(u64, u64), Problem> {
    let (sold, price): (Option<u64>, Option<u64>) = pipe()
        .get(format!("sales:{article}"))
        .get(format!("price:{article}"))
        .query_async(&mut pool.conn())
        .await?;
    Ok((sold.unwrap_or(0), price.unwrap_or(0)))
}
