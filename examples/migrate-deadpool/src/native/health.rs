//! Whether the shop can be used: the pool knows, and nothing is sent.

use cenote::{Health, Pool};

pub async fn is_up(pool: &Pool) -> bool {
    pool.status().status != Health::Error
}
