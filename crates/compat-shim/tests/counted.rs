//! The rows of the report are the user's own places, whoever calls and however often.
#![cfg(feature = "globals")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::thread;
use std::time::Duration;

use cenote_compat_shim::globals::{RedisCache, close_redis, get_redis, init_redis};
use cenote_compat_shim::report;
use cenote_pool_core::Pool;
use cenote_testkit::{Server, dead_port};

fn generic<T: Default>() -> u32 {
    let _ = (get_redis(), T::default());
    line!() - 1
}

macro_rules! by_macro {
    () => {
        get_redis()
    };
}

fn counts(lines: &[u32]) -> Vec<u64> {
    let rows = report();
    lines
        .iter()
        .map(|line| {
            rows.iter().filter(|row| row.file == file!() && row.line == *line).map(|row| row.count).sum()
        })
        .collect()
}

#[test]
fn calls_of_many_threads_through_generics_closures_and_macros_are_counted_at_their_places() {
    let of_generic = generic::<u8>();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..250 {
                    generic::<u16>();
                    generic::<String>();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|it| it.join().unwrap());
    let closure = || drop(get_redis());
    let of_closure = line!() - 1;
    (0..100).for_each(|_| closure());
    let dynamic: Box<dyn Fn()> = Box::new(closure);
    dynamic();
    let _ = by_macro!();
    let of_macro = line!() - 1;
    assert_eq!(counts(&[of_generic, of_closure, of_macro]), [1 + 16 * 500, 101, 1]);
}

#[tokio::test]
async fn a_pool_that_could_not_start_does_not_stay_in_the_way_of_the_next() {
    let server = Server::start();
    let wrong = Pool::builder().url(format!("redis://{}/0", dead_port())).required(true).build().unwrap();
    assert!(init_redis(wrong).await.is_err());
    let right = Pool::builder()
        .url(server.url())
        .required(true)
        .connect_timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    init_redis(right).await.unwrap();
    redis::cmd("PING").exec_async(&mut get_redis().unwrap()).await.unwrap();
    let _ = RedisCache::new("p").get::<String>("k").await.unwrap();
    close_redis().await;
}
