use std::time::Duration;

use cenote::{FallbackLru, Pool};
use cenote_testkit::{Server, eventually_async, within};

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

#[tokio::test]
async fn flags_are_answered_while_redis_is_away_and_cached_again_afterwards() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let before = service.get("/api/features/me").await;

    server.kill();
    for _ in 0..20 {
        let during = service.get("/api/features/me").await;
        assert_eq!((during.status, during.text("source").as_str()), (200, "computed"));
        assert_eq!(during.json()["flags"], before.json()["flags"]);
    }
    service.wait_for("degraded").await;

    server.restart();
    eventually_async(LIMIT, "the flags come from Redis", || async {
        service.get("/api/features/me").await.text("source") == "redis"
    })
    .await;
}

#[tokio::test]
async fn flags_are_answered_while_redis_is_frozen() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    server.freeze();
    // Far more than the 50 ms that the service waits, and far less than the pool's own limit of 5 s.
    let during = within(Duration::from_secs(2), service.get("/api/features/me")).await;
    assert_eq!((during.status, during.text("source").as_str()), (200, "computed"));
    server.thaw();
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
    assert_eq!(service.get("/api/features/me").await.text("source"), "memory");
}
