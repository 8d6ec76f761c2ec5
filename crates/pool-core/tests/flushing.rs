//! What other crates have yet to tell when a pool is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Flush, Pool, State};
use cenote_testkit::{Server, within};
use redis::AsyncCommands;
use tokio::sync::{Notify, Semaphore};

const SOON: Duration = Duration::from_secs(10);

struct Told {
    pool: Pool,
    began: Semaphore,
    go_on: Notify,
}

impl Told {
    fn to(pool: &Pool) -> Arc<Self> {
        let told = Arc::new(Self { pool: pool.clone(), began: Semaphore::new(0), go_on: Notify::new() });
        let weak = Arc::downgrade(&told);
        pool.flush_before_close(weak);
        told
    }
}

impl Flush for Told {
    fn flush(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            self.began.add_permits(1);
            self.go_on.notified().await;
            let () = self.pool.conn().last_words().set("told", 1).await.unwrap();
        })
    }
}

#[tokio::test]
async fn last_words_are_said_before_the_end_and_nothing_else_is_admitted_meanwhile() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let told = Told::to(&pool);
    let mut before = pool.conn();
    let () = before.set("before", 1).await.unwrap();
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    within(SOON, told.began.acquire()).await.unwrap().forget();
    for error in [
        before.get::<_, i64>("before").await.map(drop).unwrap_err(),
        pool.conn().get::<_, i64>("before").await.map(drop).unwrap_err(),
    ] {
        assert!(Error::from_redis(&error).unwrap().is_closed(), "{error}");
    }
    assert!(pool.dedicated().await.unwrap_err().is_closed());
    assert!(pool.subscriber().subscribe("news").await.unwrap_err().is_closed());
    told.go_on.notify_one();
    let report = within(SOON, closing).await.unwrap();
    assert_eq!((report.cut_calls, pool.state()), (0, State::Closed));
    let after = pool.conn().last_words().get::<_, i64>("told").await.unwrap_err();
    assert!(Error::from_redis(&after).unwrap().is_closed(), "the end is the end");
    assert_eq!(server.observer().get::<i64>(&["GET", "told"]), 1);
}

#[tokio::test]
async fn words_that_never_end_are_cut_off_at_the_limit_and_a_call_that_is_dropped_does_not_stop_the_end() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).close_timeout(Duration::from_millis(300)).build().unwrap();
    let told = Told::to(&pool);
    let () = pool.conn().set("before", 1).await.unwrap();
    let began = Instant::now();
    let mut states = pool.state_changes();
    drop(tokio::time::timeout(Duration::from_millis(1), pool.close()).await);
    within(SOON, states.wait_for(|state| *state == State::Closed)).await.unwrap();
    let report = within(SOON, pool.close()).await;
    assert!(report.waited >= Duration::from_millis(300) && began.elapsed() < SOON, "{report:?}");
    within(SOON, told.began.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn what_nobody_holds_any_more_is_not_flushed() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    drop(Told::to(&pool));
    let () = pool.conn().set("before", 1).await.unwrap();
    within(SOON, pool.close()).await;
    assert_eq!(server.observer().get::<Option<i64>>(&["GET", "told"]), None);
}
