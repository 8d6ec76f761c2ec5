//! A URL that takes a sentinel for a Redis: it answers, and stores nothing.

use std::time::Duration;

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Sentinels, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_sentinel_that_is_taken_for_a_redis_is_refused_with_the_url_that_would_be_right() {
    let set = Sentinels::start();
    let sentinel = set.sentinels()[0].addr();
    let right = format!("redis+sentinel://{sentinel}/master_name");
    for (rest, right) in [("", right.clone()), ("/2", format!("{right}/2")), ("?protocol=resp2", right)] {
        let url = format!("redis://{sentinel}{rest}");
        let pool = Pool::builder().url(&url).required(true).build().unwrap();
        let error = within(SOON, pool.start()).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("a sentinel, which stores nothing"), "{text}");
        assert!(text.contains(&right), "{right} is missing from: {text}");

        let pool = Pool::builder().url(&url).build().unwrap();
        assert!(matches!(within(SOON, pool.start()).await, Ok(State::Degraded { .. })));
        let error = within(SOON, pool.conn().set::<_, _, ()>("k", "v")).await.unwrap_err();
        assert!(error.to_string().contains(&right), "{error}");
        let error = within(SOON, pool.dedicated()).await.expect_err("no connection to a sentinel");
        assert!(error.to_string().contains(&right), "{error}");
        let last = pool.status().last_error.expect("an error");
        assert!(last.contains(&right), "{last}");
    }
}
