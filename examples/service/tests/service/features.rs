use std::time::{Duration, Instant};

use cenote::{FallbackLru, Pool};
use cenote_testkit::{Server, within};

use crate::common::{LIMIT, Service, pool, request};

#[tokio::test]
async fn flags_are_cached_for_five_minutes_and_then_served_from_redis() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;

    let first = service.get("/api/features/me?user=ada").await;
    assert_eq!((first.status, first.text("user").as_str()), (200, "ada"));
    assert_eq!(first.text("source"), "computed");
    let seconds: i64 = server.observer().get(&["TTL", "features:ada"]);
    assert!((295..=300).contains(&seconds), "{seconds}");

    let second = service.get("/api/features/me?user=ada").await;
    assert_eq!(second.text("source"), "redis");
    assert_eq!(second.json()["flags"], first.json()["flags"]);

    // What is in Redis is what is answered, not what would be computed.
    let other = r#"{"new-checkout":true,"quick-search":true,"weekly-report":true,"early-access":true}"#;
    server.observer().get::<()>(&["SET", "features:ada", other]);
    let third = service.get("/api/features/me?user=ada").await;
    assert_eq!(third.json()["flags"], serde_json::from_str::<serde_json::Value>(other).unwrap());
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
}

impl Fault {
    fn begin(self, server: &Server) {
        match self {
            Self::Killed => server.kill(),
            Self::Frozen => server.freeze(),
        }
    }

    fn end(self, server: &Server) {
        match self {
            Self::Killed => drop(server.restart()),
            Self::Frozen => server.thaw(),
        }
    }
}

const OTHERS: &str = r#"{"new-checkout":true,"quick-search":true,"weekly-report":true,"early-access":true}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_flags_come_from_the_fallback_and_afterwards_no_old_value_does() {
    for fault in [Fault::Killed, Fault::Frozen] {
        let server = Server::builder().persistent().start();
        // Soon known to be away, also when frozen.
        let builder = pool(server.url()).socket_timeout(Duration::from_millis(600));
        let service = Service::start(builder.build().unwrap()).await;
        service.wait_for("ready").await;
        let others: serde_json::Value = serde_json::from_str(OTHERS).unwrap();
        for round in 0..2 {
            // What Redis holds and would be read again, were it not removed.
            server.observer().get::<()>(&["SET", "features:demo", OTHERS]);
            let before = service.get("/api/features/me").await;
            assert_eq!((before.text("source").as_str(), &before.json()["flags"]), ("redis", &others));

            fault.begin(&server);
            let first = within(Duration::from_secs(2), service.get("/api/features/me")).await;
            assert_eq!((first.status, first.text("source").as_str()), (200, "computed"), "{fault:?} {round}");
            let computed = first.json()["flags"].clone();
            assert_ne!(computed, others);

            for _ in 0..20 {
                let next = service.get("/api/features/me").await;
                assert_eq!((next.status, next.text("source").as_str()), (200, "fallback"), "{fault:?}");
                assert_eq!(next.json()["flags"], computed);
            }
            service.wait_for("degraded").await;

            tokio::task::block_in_place(|| fault.end(&server));
            let mut sources = Vec::new();
            let give_up = Instant::now() + LIMIT;
            while sources.last().is_none_or(|source| source != "redis") {
                assert!(Instant::now() < give_up, "{fault:?}: {sources:?}");
                let next = service.get("/api/features/me").await;
                assert_eq!((next.status, &next.json()["flags"]), (200, &computed), "never the old ones");
                sources.push(next.text("source"));
            }
            sources.dedup();
            let order = ["fallback", "computed", "redis"];
            let places: Vec<_> =
                sources.iter().map(|source| order.iter().position(|other| other == source)).collect();
            assert!(places.is_sorted(), "{fault:?}: {sources:?}");
            let status = service.get("/health/ready").await.json();
            assert_eq!(
                (&status["journal"]["pending_keys"], &status["journal"]["local"]),
                (&0.into(), &false.into())
            );
        }
    }
}

#[tokio::test]
async fn flags_are_computed_when_there_is_no_fallback_and_no_redis() {
    let pool = Pool::builder().url(format!("redis://{}/0", cenote_testkit::dead_port())).build().unwrap();
    let service = Service::start(pool).await;
    let answer = within(Duration::from_secs(2), service.get("/api/features/me")).await;
    assert_eq!((answer.status, answer.text("source").as_str()), (200, "computed"));
}

#[tokio::test]
async fn a_cached_value_that_cannot_be_read_counts_as_absent() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    server.observer().get::<()>(&["SET", "features:demo", "{\"flags\": 7"]);
    assert_eq!(service.get("/api/features/me").await.text("source"), "computed");
    assert_eq!(service.get("/api/features/me").await.text("source"), "redis");
}

#[tokio::test]
async fn a_user_without_a_name_or_with_one_too_long_is_told_what_would_be_right() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let longest = "x".repeat(128);
    assert_eq!(service.get(&format!("/api/features/me?user={longest}")).await.status, 200);
    for path in ["/api/features/me?user=".to_owned(), format!("/api/features/me?user={longest}y")] {
        let refused = service.get(&path).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(refused.text("detail").contains("1 to 128 characters"), "{refused:?}");
    }
    let named = request(service.addr, "GET", "/api/features/me?user=bob", &[("x-user", "ada")], "").await;
    assert_eq!(named.unwrap().text("user"), "ada", "the header comes first");
}

#[tokio::test]
async fn without_redis_by_choice_the_cache_is_this_process_memory_and_says_so() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    assert_eq!(service.get("/api/features/me").await.text("source"), "computed");
    assert_eq!(service.get("/api/features/me").await.text("source"), "fallback");
}
