//! What is there, sold by transactions that start over when somebody was faster.

use cenote::Pool;
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
    let () = pool.conn().set(format!("stock:{article}"), number).await?;
    Ok(())
}

/// Takes so many out of stock and orders them to be shipped: both, or neither.
pub async fn sell(pool: &Pool, article: &str, number: u64) -> Result<Sale, Problem> {
    let key = format!("stock:{article}");
    let watched = [key.clone()];
    let order = format!("{number} {article}");
    let replies: Vec<Option<u64>> = pool
        .transaction(&watched, async move |conn, pipe| {
            let stock: u64 = conn.get::<_, Option<u64>>(&key).await?.unwrap_or(0);
            if stock < number {
                pipe.get(&key);
            } else {
                pipe.decr(&key, number).rpush("orders", &order);
            }
            Ok(())
        })
        .await?;
    Ok(match replies[..] {
        [Some(left), _ordered] => Sale::Sold(left),
        [left, ..] => Sale::Short(left.unwrap_or(0)),
        [] => Sale::Short(0),
    })
}
