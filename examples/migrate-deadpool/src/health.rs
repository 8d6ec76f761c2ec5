//! Whether the shop can be used.

use deadpool_redis::Pool;

pub async fn is_up(pool: &Pool) -> bool {
    let Ok(mut conn) = pool.get().await else { return false };
    redis::cmd("PING").query_async::<String>(&mut conn).await.is_ok()
}
