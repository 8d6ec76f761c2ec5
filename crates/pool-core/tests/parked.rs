//! What belongs to one runtime is of no use in another, and says so.

use std::time::Duration;

use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Server, Watchdog, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(5);

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_dedicated_connection_used_in_another_runtime_is_a_configuration_error() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let (home, away) = (single(), single());
    let mut held = home.block_on(pool.dedicated()).unwrap();
    let error = away.block_on(within(SOON, held.set::<_, _, ()>("k", 1))).unwrap_err();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert!(error.is_config() && error.to_string().contains("runtime"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    let pipeline = away.block_on(within(SOON, redis::pipe().set("k", 1).exec_async(&mut held))).unwrap_err();
    assert!(Error::from_redis(&pipeline).unwrap().is_config(), "{pipeline}");
    // At home it goes on.
    let value: Option<i64> = home.block_on(within(SOON, held.get("k"))).unwrap();
    assert_eq!(value, None);
}

#[test]
fn every_handle_moves_between_runtimes_that_take_turns() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let runtimes = [single(), single(), single()];
    let mut conn = pool.conn();
    for (turn, runtime) in (1..).zip(runtimes.iter().cycle().take(12)) {
        let n: i64 = runtime.block_on(within(SOON, conn.incr("n", 1))).unwrap();
        assert_eq!(n, turn);
    }
}

#[test]
fn every_handle_moves_between_tasks_of_runtimes_that_take_turns() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let runtimes = [single(), single(), single()];
    let mut conn = pool.conn();
    for (turn, runtime) in (1..).zip(runtimes.iter().cycle().take(12)) {
        let task = runtime.spawn(async move {
            for step in 1..=2 {
                let n: i64 = within(SOON, conn.incr("n", 1)).await.unwrap();
                assert_eq!(n, (turn - 1) * 2 + step);
            }
            conn
        });
        conn = runtime.block_on(task).unwrap();
    }
}

/// One blocking task is one task, whatever runtimes it makes use of.
#[test]
fn every_handle_moves_between_runtimes_that_one_blocking_task_runs() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let mut conn = pool.conn();
    let task = move || {
        let mut step = |runtime: &Runtime, expected: i64| {
            assert_eq!(runtime.block_on(within(SOON, conn.incr::<_, _, i64>("n", 1))).unwrap(), expected);
        };
        let parked = [single(), single()];
        for (turn, runtime) in (1..=6).zip(parked.iter().cycle()) {
            step(runtime, turn);
        }
        for turn in 7..=9 {
            step(&single(), turn);
        }
    };
    let outer = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    outer.block_on(async { tokio::task::spawn_blocking(task).await.unwrap() });
}
