//! Optimistic transactions: `WATCH`, decide, `MULTI` / `EXEC`, and again if somebody was faster.

use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};

use super::checkout::check_out;
use super::connection::Dedicated;
use crate::error::{Error, Kind};
use crate::pool::Shared;

pub(crate) async fn transaction<T, F>(
    shared: Arc<Shared>,
    at: &'static Location<'static>,
    watch: Option<Cmd>,
    mut decide: F,
) -> RedisResult<T>
where
    T: FromRedisValue,
    F: AsyncFnMut(&mut Dedicated, &mut Pipeline) -> RedisResult<()>,
{
    let limit = shared.context.config.socket_timeout;
    let began = Instant::now();
    let mut conn = check_out(shared, at).await?;
    let mut rounds = 0u32;
    loop {
        if let Some(watch) = &watch {
            conn.watch(watch).await?;
        }
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        decide(&mut conn, &mut pipeline).await?;
        rounds += 1;
        let result = pipeline.query_async::<Option<T>>(&mut conn).await?;
        conn.unwatched();
        // EXEC answers nil when a watched key was changed: nothing ran.
        if let Some(result) = result {
            return Ok(result);
        }
        if began.elapsed() >= limit {
            let why =
                format!("the transaction lost to other writers {rounds} times within its limit of {limit:?}");
            return Err(Error::not_sent(Kind::Timeout, why).into());
        }
    }
}
