//! Who still uses what.
#![cfg(all(feature = "globals", feature = "deadpool"))]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use cenote_compat_shim::deadpool::{Config, Runtime};
use cenote_compat_shim::globals::{RedisCache, get_redis};
use cenote_compat_shim::{Usage, report};
use cenote_testkit::{Log, Server};

fn rows(api: &str) -> Vec<Usage> {
    report().into_iter().filter(|row| row.api == api && row.file == file!()).collect()
}

#[test]
fn a_thousand_calls_from_three_places_are_three_rows_with_the_users_own_lines() {
    let log = Log::capture();
    let first = line!() + 2;
    for _ in 0..500 {
        let _ = get_redis();
    }
    for _ in 0..300 {
        let _ = get_redis();
    }
    for _ in 0..200 {
        let _ = get_redis();
    }
    let rows = rows("get_redis()");
    let seen: Vec<_> = rows.iter().map(|row| (row.line, row.count)).collect();
    assert_eq!(seen, [(first, 500), (first + 3, 300), (first + 6, 200)]);
    assert!(rows.iter().all(|row| row.column == 17 && row.replacement.contains("Pool::conn()")), "{rows:?}");
    let text = rows[0].to_string();
    assert!(text.contains(&format!("{}:{first}:17: get_redis(), 500 times", file!())), "{text}");
    let told = log.text().matches("api=get_redis()").count();
    assert_eq!(told, 3, "once for each place: {}", log.text());
}

#[tokio::test]
async fn a_method_that_is_awaited_is_told_with_the_line_of_the_call() {
    let cache = RedisCache::new("p");
    let line = line!() + 1;
    let _ = cache.get::<String>("k").await;
    let rows = rows("RedisCache");
    assert_eq!(rows.iter().map(|row| (row.line, row.count)).collect::<Vec<_>>(), [(line, 1)]);
}

#[tokio::test]
async fn a_pool_of_deadpool_is_told_with_the_place_that_built_it_and_its_checkouts() {
    let server = Server::start();
    let config = Config::from_url(server.url());
    let line = line!() + 1;
    let pool = config.create_pool(Some(Runtime::Tokio1)).unwrap();
    for _ in 0..10 {
        drop(pool.get().await.unwrap());
    }
    let rows = rows("deadpool_redis::Pool");
    assert_eq!(rows.iter().map(|row| (row.line, row.count)).collect::<Vec<_>>(), [(line, 10)]);
}
