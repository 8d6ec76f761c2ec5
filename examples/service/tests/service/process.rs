use std::time::{Duration, Instant};

use cenote_testkit::{Server, blackhole_addr, dead_port, eventually};

use crate::common::{LIMIT, Process, get, request};

#[test]
fn a_configuration_that_cannot_be_used_exits_2_with_one_sentence_and_no_password() {
    let (exit, log) = Process::start(&[
        ("REDIS_URL", "redis://:hunter2@localhost:70000/0"),
        ("REDIS_MAX_CONNECTIONS", "none"),
    ])
    .wait();
    assert_eq!(exit.code(), Some(2), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in ["cenote-service: ", "REDIS_URL", "1 to 65535", "REDIS_MAX_CONNECTIONS is \"none\""] {
        assert!(log.contains(part), "{part} is missing from: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_port_that_is_none_exits_2_and_one_that_is_taken_exits_1() {
    let (exit, log) = Process::start(&[("PORT", "http")]).wait();
    assert_eq!(exit.code(), Some(2), "{log}");
    assert!(log.contains("PORT is \"http\", but must be a whole number"), "{log}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (exit, log) = Process::start(&[("PORT", &port), ("REDIS_ENABLED", "false")]).wait();
    assert_eq!(exit.code(), Some(1), "{log}");
    assert!(log.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{log}");
}

#[test]
fn a_required_redis_that_is_absent_exits_1_and_names_address_cause_and_variable() {
    let dead = dead_port();
    let url = format!("redis://:hunter2@{dead}/0");
    let (exit, log) = Process::start(&[("REDIS_URL", &url), ("REDIS_REQUIRED", "true")]).wait();
    assert_eq!(exit.code(), Some(1), "{log}");
    let sentence = log.lines().last().unwrap();
    for part in ["cenote-service: ", &dead.to_string(), "refused", "REDIS_REQUIRED"] {
        assert!(sentence.contains(part), "{part} is missing from: {sentence}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_required_redis_that_hangs_is_waited_for_no_longer_than_the_connect_timeout() {
    let hole = blackhole_addr();
    let began = Instant::now();
    let process = Process::start(&[
        ("REDIS_URL", &hole.url()),
        ("REDIS_REQUIRED", "true"),
        ("REDIS_CONNECT_TIMEOUT", "1"),
    ]);
    let addr = process.addr();
    assert_eq!(get(addr, "/health/live").await.status, 200, "it lives while it starts");
    assert_eq!(get(addr, "/health/ready").await.status, 503, "and is not ready");
    let (exit, log) = process.wait();
    assert_eq!(exit.code(), Some(1), "{log}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let sentence = log.lines().last().unwrap();
    for part in [&hole.addr().to_string(), "1s", "REDIS_REQUIRED"] {
        assert!(sentence.contains(part), "{part} is missing from: {sentence}");
    }
}

#[test]
fn a_start_reads_as_a_story_and_sigterm_closes_the_pool() {
    let server = Server::builder().password("hush-hush").start();
    let process = Process::start(&[("REDIS_URL", &server.url())]);
    eventually(LIMIT, "it is started", || process.log().contains("start-up complete"));
    assert!(server.observer().client_count() > 0);
    process.terminate();
    let (exit, log) = process.wait();
    assert_eq!(exit.code(), Some(0), "{log}");
    let story = [
        "Redis pool configured",
        "listening on http://127.0.0.1:",
        "connecting to Redis",
        "Redis is ready",
        "start-up complete: Redis is ready",
        "asked to terminate",
        "closing the Redis pool",
        "the Redis pool is closed",
        "stopped",
    ];
    let mut rest = log.as_str();
    for part in story {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("{part} is missing, or out of order: {log}")
        };
        rest = after;
    }
    assert!(!log.contains("hush-hush"), "{log}");
}

#[tokio::test]
async fn a_service_that_a_demo_started_asks_for_its_redis_on_standard_output() {
    let own = [("sec-fetch-site", "same-origin")];
    let mut process = Process::start(&[("REDIS_ENABLED", "false"), ("CENOTE_DEMO", "1")]);
    let addr = process.addr();
    for word in ["away", "back"] {
        let path = format!("/demo/redis/{word}");
        assert_eq!(request(addr, "POST", &path, &own, "").await.unwrap().status, 200);
        assert_eq!(process.said(), format!("{word}\n"));
    }

    let process = Process::start(&[("REDIS_ENABLED", "false")]);
    assert_eq!(request(process.addr(), "POST", "/demo/redis/away", &own, "").await.unwrap().status, 404);
}
