//! How many processes share a quota, counted in Redis: real ones (this test binary, started again).

mod common;

use std::env;
use std::time::Duration;

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Lease, Quota, RateLimiter, RateLimiterBuilder, Source};
use cenote_testkit::{Server, eventually_async};
use common::process::{Process, ROLE, URL};
use common::{MINUTE, SOON, patient, pool};

const KEY: &str = "ratelimit:1:counted:nodes";
const EVERY: Duration = Duration::from_millis(500);

fn counted(url: String) -> RateLimiterBuilder {
    patient(&pool(url), "counted").quota(Quota::per_hour(40)).count_nodes_every(EVERY)
}

/// Until it counts so many.
async fn counts(limiter: &RateLimiter, nodes: u64) {
    eventually_async(MINUTE, &format!("{nodes} are counted"), || async {
        limiter.check("any").await.unwrap();
        limiter.nodes() == nodes
    })
    .await;
}

/// Not a test of its own: what the processes that the other starts do, until they are killed.
#[tokio::test]
async fn the_other_process() {
    if env::var(ROLE).is_err() {
        return;
    }
    let limiter = counted(env::var(URL).unwrap()).build().unwrap();
    loop {
        limiter.check("other").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn live_processes_are_counted_and_one_that_is_killed_is_forgotten_after_its_time() {
    let server = Server::start();
    let limiter = counted(server.url()).build().unwrap();
    assert_eq!(limiter.nodes(), 1, "before anybody was asked");
    let mut two = [Process::start("a", &server), Process::start("b", &server)];
    counts(&limiter, 3).await;
    two[0].kill();
    counts(&limiter, 2).await;

    // The last count is what the shares are made of, also when Redis is gone.
    server.kill();
    let decision = limiter.check("new").await.unwrap();
    assert_eq!((decision.source, decision.limit), (Source::Fallback, 40 / limiter.nodes()));
}

#[tokio::test]
async fn what_was_said_is_not_counted() {
    let server = Server::start();
    let limiter = counted(server.url()).nodes(4).build().unwrap();
    for _ in 0..20 {
        assert_eq!(limiter.check("a").await.unwrap().source, Source::Redis);
    }
    assert_eq!((limiter.nodes(), server.observer().get::<u64>(&["EXISTS", KEY])), (4, 0));
    server.kill();
    assert_eq!(limiter.check("b").await.unwrap().limit, 10);
}

#[tokio::test]
async fn nobody_is_counted_before_first_use_nor_long_after_the_last() {
    let server = Server::start();
    let limiter = counted(server.url()).build().unwrap();
    let known = || server.observer().get::<u64>(&["ZCARD", KEY]);
    tokio::time::sleep(EVERY * 2).await;
    assert_eq!(known(), 0);
    counts(&limiter, 1).await;
    eventually_async(SOON, "it is told of", || async { known() == 1 }).await;
    eventually_async(SOON, "its key expires", || async { known() == 0 }).await;
}

#[tokio::test]
async fn who_was_told_of_by_a_clock_far_ahead_is_forgotten() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = counted(server.url()).build().unwrap();
    let () =
        cmd("ZADD").arg(&[KEY, "9000000000000000", "ghost"]).query_async(&mut pool.conn()).await.unwrap();
    // The key must not expire meanwhile: so it is used.
    eventually_async(SOON, "only this one is known", || async {
        limiter.check("a").await.unwrap();
        server.observer().get::<Vec<String>>(&["ZRANGE", KEY, "0", "-1"]).iter().all(|one| one != "ghost")
    })
    .await;
    counts(&limiter, 1).await;
}

#[tokio::test]
async fn a_server_that_does_not_let_processes_be_counted_is_told_of_once_and_decides_as_ever() {
    let server = Server::start();
    let () = cmd("SET").arg(&[KEY, "no set"]).query_async(&mut pool(server.url()).conn()).await.unwrap();
    let log = cenote_testkit::Log::capture();
    let limiter = counted(server.url()).count_nodes_every(Duration::from_millis(1)).build().unwrap();
    eventually_async(SOON, "it is told of", || async {
        assert_eq!(limiter.check("a").await.unwrap().limit, 40);
        log.text().contains("processes cannot be counted")
    })
    .await;
    for _ in 0..50 {
        limiter.check("a").await.unwrap();
    }
    assert_eq!(log.text().matches("processes cannot be counted").count(), 1);
    assert_eq!((limiter.nodes(), limiter.stats().misses, limiter.stats().failures), (1, 0, 0));
}

#[tokio::test]
async fn who_spends_a_long_lease_and_asks_redis_nothing_is_counted_all_the_same() {
    let server = Server::start();
    let lease = Lease::of(10_000).for_at_most(MINUTE * 60);
    let builder = patient(&pool(server.url()), "counted").quota(Quota::per_hour(100_000));
    let leasing = builder.count_nodes_every(EVERY).lease(lease).build().unwrap();
    leasing.check("held").await.unwrap();
    let known = || server.observer().get::<u64>(&["ZCARD", KEY]);
    eventually_async(SOON, "it is told of", || async { known() == 1 }).await;
    let () = cmd("DEL").arg(KEY).query_async(&mut pool(server.url()).conn()).await.unwrap();
    eventually_async(SOON, "it is told of again", || async {
        assert_eq!(leasing.check("held").await.unwrap().source, Source::Lease);
        known() == 1
    })
    .await;
}
