use cenote::{FallbackLru, Pool};
use cenote_testkit::{Server, dead_port};

use crate::common::{Service, pool};

#[tokio::test]
async fn readiness_follows_redis_and_liveness_does_not() {
    let server = Server::builder().password("hush-hush").start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let ready = service.get("/health/ready").await;
    assert_eq!((ready.status, ready.text("status").as_str()), (200, "ok"));
    assert_eq!(ready.json()["initialized"], true);
    assert!(ready.text("server_version").contains('.'), "{ready:?}");
    assert_eq!(ready.header("cache-control"), Some("no-store"));

    server.kill();
    service.wait_for("degraded").await;
    let degraded = service.get("/health/ready").await;
    assert_eq!((degraded.status, degraded.text("status").as_str()), (200, "degraded"));
    // The end of the connection is told first, and then why there is no other.
    let cause = degraded.text("last_error");
    assert!(cause.contains("unavailable") || cause.contains("was lost"), "{degraded:?}");
    assert_eq!(degraded.text("breaker"), "open");
    let live = service.get("/health/live").await;
    assert_eq!((live.status, live.body.as_str()), (200, r#"{"status":"ok"}"#));

    server.restart();
    service.wait_for("ready").await;
    for response in [ready, degraded, service.get("/health/ready").await] {
        assert!(!response.body.contains("hush-hush"), "{response:?}");
    }
}

#[tokio::test]
async fn a_required_redis_that_goes_away_makes_the_service_not_ready_and_leaves_it_alive() {
    let server = Server::start();
    let service = Service::start(
        pool(server.url()).required(true).connect_timeout(crate::common::LIMIT).build().unwrap(),
    )
    .await;
    service.wait_for("ready").await;
    // What a required Redis leaves unanswered at the start ends the service.
    let was_answered = || async { service.pool.status().latency_ms.is_some() };
    cenote_testkit::eventually_async(crate::common::LIMIT, "start-up is complete", was_answered).await;
    server.kill();
    service.wait_for("degraded").await;
    let away = service.get("/health/ready").await;
    assert_eq!((away.status, away.text("status").as_str()), (503, "error"));
    assert_eq!(service.get("/health/live").await.status, 200);
    server.restart();
    service.wait_for("ready").await;
    assert_eq!(service.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn without_redis_by_choice_the_service_is_ready() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let ready = service.get("/health/ready").await;
    assert_eq!((ready.status, ready.text("state").as_str()), (200, "embedded"));
    assert_eq!(ready.json()["enabled"], false);
}

#[tokio::test]
async fn stopping_closes_the_pool_for_everybody() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    assert!(server.observer().client_count() > 0);
    let (pool, addr) = (service.pool.clone(), service.addr);
    let report = service.stop().await.unwrap();
    assert_eq!((report.cut_connections, report.cut_calls), (0, 0));
    assert_eq!(pool.state(), cenote::State::Closed);
    assert!(crate::common::request(addr, "GET", "/health/live", &[], "").await.is_err());
    let observer = server.observer();
    cenote_testkit::eventually(crate::common::LIMIT, "the connections are gone", || {
        observer.client_count() == 0
    });
}

#[tokio::test]
async fn a_service_whose_required_redis_is_away_stops_with_the_cause() {
    let dead = dead_port();
    let service = Service::start(pool(format!("redis://{dead}/0")).required(true).build().unwrap()).await;
    let pool = service.pool.clone();
    let error = service.wait().await.unwrap_err();
    assert!(error.is_unavailable());
    assert!(error.to_string().contains(&dead.to_string()), "{error}");
    assert_eq!(pool.state(), cenote::State::Closed);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_that_says_where_the_page_is() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let missing = service.get("/nowhere").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    assert!(missing.text("detail").contains("GET /"), "{missing:?}");
}
