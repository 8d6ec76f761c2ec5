use std::time::Duration;

use cenote::{FallbackLru, Pool};
use cenote_testkit::{Proxy, Server, eventually_async};

use crate::common::{LIMIT, Response, Service, pool, post};

const PATH: &str = "/webhooks/stripe";

fn event(id: &str) -> String {
    format!(r#"{{"id":"{id}","type":"charge.succeeded"}}"#)
}

fn handled(server: &Server) -> i64 {
    server.observer().get::<Option<i64>>(&["GET", "webhook:handled"]).unwrap_or_default()
}

fn assert_problem(response: &Response, status: u16, says: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert!(response.text("detail").contains(says), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deliveries_at_once_are_handled_exactly_once() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    for round in 1..=5 {
        let body = event(&format!("evt_round_{round}"));
        let deliveries: Vec<_> = (0..50)
            .map(|_| {
                let (addr, body) = (service.addr, body.clone());
                tokio::spawn(async move { post(addr, PATH, &body).await })
            })
            .collect();
        let mut first = 0;
        for delivery in deliveries {
            let response = delivery.await.unwrap();
            match response.status {
                200 if response.text("status") == "handled" => first += 1,
                200 => assert_eq!(response.text("status"), "duplicate"),
                409 => assert!(response.header("retry-after").is_some(), "{response:?}"),
                _ => panic!("{response:?}"),
            }
        }
        assert_eq!((first, handled(&server)), (1, round));
    }
}

#[tokio::test]
async fn a_duplicate_is_answered_200_for_a_day_and_not_handled_again() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    assert_eq!(service.post(PATH, &event("evt_1")).await.text("status"), "handled");
    for _ in 0..3 {
        let again = service.post(PATH, &event("evt_1")).await;
        assert_eq!((again.status, again.text("status").as_str()), (200, "duplicate"));
    }
    assert_eq!(handled(&server), 1);
    let seconds: i64 = server.observer().get(&["TTL", "webhook:evt_1"]);
    assert!((86_390..=86_400).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_event_that_another_handles_is_409_until_its_claim_runs_out() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    server.observer().get::<()>(&["SET", "webhook:evt_1", "somebody", "EX", "37"]);
    let taken = service.post(PATH, &event("evt_1")).await;
    assert_problem(&taken, 409, "Another delivery");
    let seconds: u64 = taken.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=37).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn while_redis_is_away_deliveries_are_503_and_afterwards_handled() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    server.kill();
    service.wait_for("degraded").await;
    let during = service.post(PATH, &event("evt_1")).await;
    assert_problem(&during, 503, "nothing was claimed");
    assert_eq!(during.header("retry-after"), Some("1"));

    server.restart();
    eventually_async(LIMIT, "the delivery is handled", || async {
        service.post(PATH, &event("evt_1")).await.status == 200
    })
    .await;
    assert_eq!(handled(&server), 1);
}

#[tokio::test]
async fn a_claim_whose_reply_was_lost_says_so_and_is_not_made_twice() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let service = Service::start(pool(proxy.url()).shared_connections(1).build().unwrap()).await;
    assert_eq!(service.post(PATH, &event("evt_warm")).await.status, 200);
    server.observer().reset_stats();

    proxy.cut_next_reply();
    let lost = service.post(PATH, &event("evt_1")).await;
    assert_problem(&lost, 503, "did not say whether the event was claimed");
    assert!(lost.text("detail").contains("60 s"), "{lost:?}");
    assert_eq!(lost.header("retry-after"), Some("1"));
    assert_eq!(server.observer().calls("set"), 1);
    assert_eq!(handled(&server), 1, "only the one before it");

    // The claim that nobody knows of holds until it runs out.
    let next = eventually_answered(&service, "evt_1").await;
    assert_problem(&next, 409, "Another delivery");
}

async fn eventually_answered(service: &Service, id: &str) -> Response {
    service.wait_for("ready").await;
    let mut answer = service.post(PATH, &event(id)).await;
    let give_up = std::time::Instant::now() + LIMIT;
    while answer.status == 503 {
        assert!(std::time::Instant::now() < give_up, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        answer = service.post(PATH, &event(id)).await;
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_lost_to_another_is_neither_handled_nor_marked() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let service = Service::start(pool(proxy.url()).shared_connections(1).build().unwrap()).await;
    assert_eq!(service.post(PATH, &event("evt_warm")).await.status, 200);

    // The claim is made and its reply kept back; meanwhile it runs out and another takes the event.
    proxy.stall_replies();
    let addr = service.addr;
    let delivery = tokio::spawn(async move { post(addr, PATH, &event("evt_1")).await });
    let observer = server.observer();
    eventually_async(LIMIT, "the claim is made", || async {
        observer.get::<bool>(&["EXISTS", "webhook:evt_1"])
    })
    .await;
    observer.get::<()>(&["SET", "webhook:evt_1", "another", "EX", "60"]);
    proxy.release();

    assert_problem(&delivery.await.unwrap(), 409, "Another delivery");
    assert_eq!(handled(&server), 1, "only the one before it");
    assert_eq!(observer.get::<String>(&["GET", "webhook:evt_1"]), "another");
}

#[tokio::test]
async fn a_body_that_is_no_event_is_400_and_says_what_would_be_right() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let long = event(&format!("evt_{}", "x".repeat(252)));
    for (body, says) in [
        ("", "must be JSON such as"),
        ("{\"id\": \"evt_1\"", "must be JSON such as"),
        ("{\"type\": \"x\"}", "missing field `id`"),
        ("{\"id\": \"evt_1\"}", "missing field `type`"),
        ("{\"id\": 7, \"type\": \"x\"}", "expected a string"),
        ("{\"id\": \"\", \"type\": \"x\"}", "must begin with evt_"),
        ("{\"id\": \"evt_1\\r\\n\", \"type\": \"x\"}", "letters, digits and underscores"),
        ("{\"id\": \"evt_1\", \"type\": \"\"}", "The type must have"),
        (&long, "at most 255"),
    ] {
        assert_problem(&service.post(PATH, body).await, 400, says);
    }
    let huge = format!("{{\"id\": \"evt_1\", \"type\": \"{}\"}}", "x".repeat(70_000));
    assert_problem(&service.post(PATH, &huge).await, 413, "at most 64 KiB");
}

#[tokio::test]
async fn an_embedded_pool_refuses_webhooks_since_its_claim_would_protect_nothing() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let refused = service.post(PATH, &event("evt_1")).await;
    assert_problem(&refused, 503, "runs without Redis");
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(service.get("/health/ready").await.json()["fallback_entries"], 0);
}
