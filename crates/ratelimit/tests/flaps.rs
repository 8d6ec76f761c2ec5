//! A Redis that comes and goes.

mod common;

use cenote_ratelimit::{Quota, RateLimiter, Source};
use cenote_testkit::{Log, Proxy, Server, eventually_async};
use common::{MINUTE, patient, pool};

struct Flaps {
    _server: Server,
    proxy: Proxy,
    limiter: RateLimiter,
    redis: u64,
    local: u64,
}

impl Flaps {
    fn new(nodes: u64) -> Self {
        Self::named("flaps", nodes)
    }

    fn named(name: &str, nodes: u64) -> Self {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let builder = patient(&pool(proxy.url()), name).quota(Quota::per_hour(50)).nodes(nodes);
        let limiter = builder.block_keys(0).build().unwrap();
        Self { _server: server, proxy, limiter, redis: 0, local: 0 }
    }

    async fn take(&mut self, calls: usize) {
        for _ in 0..calls {
            let decision = self.limiter.check("hot").await.unwrap();
            match decision.source {
                Source::Redis => self.redis += u64::from(decision.allowed),
                _ => self.local += u64::from(decision.allowed),
            }
        }
    }

    async fn decides(&self, who: Source) {
        eventually_async(MINUTE, &format!("{who:?} decides"), || async {
            self.limiter.check("any").await.unwrap().source == who
        })
        .await;
    }

    async fn go(&mut self) {
        self.proxy.reset_on_accept(true);
        self.proxy.cut();
        self.decides(Source::Fallback).await;
    }

    async fn come(&mut self) {
        self.proxy.pass();
        self.decides(Source::Redis).await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_and_goes_ten_times_gives_no_burst_anew() {
    let mut flaps = Flaps::new(1);
    flaps.take(30).await;
    assert_eq!(flaps.redis, 30);
    for _ in 0..10 {
        flaps.go().await;
        flaps.take(100).await;
        flaps.come().await;
        flaps.take(100).await;
    }
    // One comes back in 72 s. Of the fallback: what Redis had left when it first went, and nothing after.
    println!("{} by Redis, {} without", flaps.redis, flaps.local);
    assert!((50..=52).contains(&flaps.redis) && (20..=22).contains(&flaps.local));
}

#[tokio::test]
async fn what_was_left_is_divided_among_the_nodes_and_a_key_that_is_new_has_its_share() {
    let mut flaps = Flaps::new(5);
    flaps.take(25).await;
    flaps.go().await;
    flaps.take(100).await;
    assert_eq!(flaps.local, 5, "half of a share of ten");
    assert_eq!(flaps.limiter.check("new").await.unwrap().remaining, 9);
    // Whoever is reset begins anew, here as there.
    flaps.come().await;
    assert!(flaps.limiter.reset("hot").await.unwrap());
    flaps.go().await;
    flaps.take(100).await;
    assert_eq!(flaps.local, 15);
}

/// Here Redis is away at once, so that no call waits in vain and there is no pause whose end could be told of.
#[tokio::test]
async fn the_log_tells_once_that_redis_is_away_and_once_that_it_is_back() {
    let log = Log::capture();
    let mut flaps = Flaps::named("told", 1);
    flaps.take(1).await;
    flaps.go().await;
    flaps.take(3).await;
    flaps.come().await;
    flaps.take(3).await;
    let text = log.text();
    let told = |what: &str| text.lines().filter(|line| line.contains("told") && line.contains(what)).count();
    assert_eq!(told("Redis does not answer the limiter: Fallback decides"), 1, "{text}");
    assert_eq!(told("Redis answers the limiter again"), 1, "{text}");
    assert_eq!(flaps.limiter.stats().pauses, 0);
}
