use std::time::{Duration, Instant};

use cenote::{Cache, FallbackLru, Pool};
use cenote_service::App;
use cenote_testkit::{Server, eventually_async, within};
use serde_json::Value;

use crate::common::{LIMIT, Service, pool, request};

/// Where another process of the service would find them.
const ADA: &str = "features:1:{ada}";

/// Stores flags as another process of the service would.
async fn store(server: &Server, user: &str, flags: &str) {
    let pool = pool(server.url()).build().unwrap();
    let cache: Cache<String, Value> = Cache::builder(&pool, "features").build().unwrap();
    let flags = serde_json::from_str(flags).unwrap();
    assert_eq!(cache.put(user, &flags).await.unwrap(), cenote::Written::Applied);
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_are_computed_once_then_served_from_redis_or_this_process_and_kept_past_their_five_minutes() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;

    let first = service.get("/api/features/me?user=ada").await;
    assert_eq!((first.status, first.text("user").as_str()), (200, "ada"));
    assert_eq!((first.text("source").as_str(), &first.json()["stale"]), ("computed", &Value::Bool(false)));
    // Five minutes less a tenth at most, by chance, and ten in which they are served stale.
    let seconds: i64 = server.observer().get(&["TTL", ADA]);
    assert!((869..=900).contains(&seconds), "{seconds}");

    eventually_async(LIMIT, "they are in this process", || async {
        let next = service.get("/api/features/me?user=ada").await;
        assert_eq!(next.json()["flags"], first.json()["flags"]);
        assert!(["redis", "l1"].contains(&next.text("source").as_str()), "{next:?}");
        next.text("source") == "l1"
    })
    .await;

    // What another process stores is what is answered, not what would be computed.
    store(&server, "ada", OTHERS).await;
    let others: Value = serde_json::from_str(OTHERS).unwrap();
    eventually_async(LIMIT, "Redis tells of the change", || async {
        service.get("/api/features/me?user=ada").await.json()["flags"] == others
    })
    .await;
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
        let others: Value = serde_json::from_str(OTHERS).unwrap();
        for round in 0..2 {
            // What Redis holds and would be read again, were it not removed.
            store(&server, "demo", OTHERS).await;
            eventually_async(LIMIT, "they are read", || async {
                let before = service.get("/api/features/me").await;
                ["redis", "l1"].contains(&before.text("source").as_str()) && before.json()["flags"] == others
            })
            .await;

            fault.begin(&server);
            let mut first = within(Duration::from_secs(2), service.get("/api/features/me")).await;
            // Until this process finds that it is no longer told of changes: somebody must ask Redis for that.
            let give_up = Instant::now() + LIMIT;
            while first.text("source") == "l1" {
                assert!(Instant::now() < give_up, "{fault:?} {round}");
                assert_eq!((first.status, &first.json()["flags"]), (200, &others));
                assert_eq!(service.get("/api/features/me?user=another").await.status, 200);
                first = within(Duration::from_secs(2), service.get("/api/features/me")).await;
            }
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
            while sources.last().is_none_or(|source| source != "l1") {
                assert!(Instant::now() < give_up, "{fault:?}: {sources:?}");
                let next = service.get("/api/features/me").await;
                assert_eq!((next.status, &next.json()["flags"]), (200, &computed), "never the old ones");
                sources.push(next.text("source"));
            }
            sources.dedup();
            let order = ["fallback", "computed", "redis", "l1"];
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

#[test]
fn a_pool_without_a_fallback_is_refused_before_anything_is_served() {
    let pool = Pool::builder().url("redis://localhost:6379/0").build().unwrap();
    let error = App::new(pool).unwrap_err();
    let of_cache = error.downcast_ref::<cenote::cache::Error>().unwrap();
    assert!(of_cache.is_config() && error.to_string().contains("fallback"), "{error}");
}

#[tokio::test]
async fn flags_are_computed_when_no_cache_can_be_asked_at_all() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    assert_eq!(service.get("/api/features/me").await.status, 200, "it has started");
    service.pool.close().await;
    for _ in 0..2 {
        let answer = service.get("/api/features/me").await;
        assert_eq!((answer.status, answer.text("source").as_str()), (200, "computed"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cached_value_that_cannot_be_read_counts_as_absent() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    server.observer().get::<()>(&["SET", ADA, "{\"flags\": 7"]);
    assert_eq!(service.get("/api/features/me?user=ada").await.text("source"), "computed");
    assert_ne!(service.get("/api/features/me?user=ada").await.text("source"), "computed");
    assert!(service.get("/api/status").await.json()["caches"]["features"]["corrupt"].as_u64().unwrap() >= 1);
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
