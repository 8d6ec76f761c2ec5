use cenote::{FallbackLru, Pool};
use cenote_testkit::{Server, eventually_async};
use serde_json::Value;

use crate::common::{LIMIT, Response, Service, get, pool, put, request};

const TEAM: &str = r#"{"plan":"team"}"#;

async fn service(server: &Server) -> Service {
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    service
}

async fn stats(service: &Service) -> Value {
    service.get("/api/status").await.json()["caches"]["subscriptions"].clone()
}

fn assert_problem(answer: &Response, status: u16, detail: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/problem+json")));
    assert!(answer.text("detail").contains(detail), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_billing_system_is_asked_once_for_all_who_ask_meanwhile() {
    let server = Server::start();
    let service = service(&server).await;
    let addr = service.addr;
    let asking: Vec<_> = (0..50).map(|_| tokio::spawn(get(addr, "/api/subscriptions/sub_42"))).collect();
    for answer in asking {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.text("customer").as_str()), (200, "cus_11"));
        assert_eq!((answer.text("plan").as_str(), &answer.json()["revision"]), ("basic", &0.into()));
    }
    let seen = stats(&service).await;
    assert_eq!(seen["loads"], 1, "{seen}");
    assert!(seen["coalesced"].as_u64().unwrap() > 0, "{seen}");
    eventually_async(LIMIT, "it is in this process", || async {
        service.get("/api/subscriptions/sub_42").await.text("source") == "l1"
    })
    .await;
    let seen = stats(&service).await;
    assert_eq!((&seen["loads"], seen["l1_hits"].as_u64() >= Some(1)), (&1.into(), true), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_at_once_and_no_load_under_way_undoes_it() {
    let server = Server::start();
    let service = service(&server).await;
    let addr = service.addr;
    for number in 1..=20 {
        let path = format!("/api/subscriptions/sub_{number}");
        // Nobody has it yet: whoever asks now waits for the billing system, which answers what was.
        let asking = path.clone();
        let asking = tokio::spawn(async move { get(addr, &asking).await });
        let changed = service.put(&path, TEAM).await;
        assert_eq!((changed.status, changed.text("cache").as_str()), (200, "applied"));
        assert_eq!(changed.json()["subscription"]["revision"], 1);
        assert_eq!(service.get(&path).await.text("plan"), "team");
        assert_eq!(asking.await.unwrap().status, 200);
        assert_eq!(service.get(&path).await.json()["revision"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_subscriptions_end_together_by_their_tag_and_nobody_elses() {
    let server = Server::start();
    let service = service(&server).await;
    for number in 1..=5 {
        assert_eq!(service.get(&format!("/api/subscriptions/sub_{number}")).await.json()["active"], true);
    }
    let ended = request(service.addr, "DELETE", "/api/customers/cus_1/subscriptions", &[], "").await.unwrap();
    assert_eq!((ended.status, ended.text("cache").as_str()), (200, "applied"));
    assert_eq!(ended.json()["ended"], 4);
    for number in 1..=5 {
        let next = service.get(&format!("/api/subscriptions/sub_{number}")).await;
        assert_eq!(next.json()["active"], number == 5, "{next:?}");
        assert_eq!(next.text("source") == "billing", number != 5, "{next:?}");
    }
    let nobody = request(service.addr, "DELETE", "/api/customers/cus_2501/subscriptions", &[], "").await;
    assert_problem(&nobody.unwrap(), 404, "cus_1 to cus_2500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_redis_is_away_is_pending_acted_by_at_once_and_not_forgotten_when_it_is_back() {
    let server = Server::builder().persistent().start();
    let service = service(&server).await;
    let path = "/api/subscriptions/sub_7";
    for _ in 0..2 {
        assert_eq!(service.get(path).await.status, 200);
    }
    server.kill();
    service.wait_for("degraded").await;
    let changed = service.put(path, TEAM).await;
    assert_eq!((changed.status, changed.text("cache").as_str()), (200, "pending"));
    for source in ["billing", "fallback", "fallback"] {
        let next = service.get(path).await;
        assert_eq!((next.text("plan").as_str(), next.text("source").as_str()), ("team", source));
    }
    let ended = request(service.addr, "DELETE", "/api/customers/cus_2/subscriptions", &[], "").await.unwrap();
    assert_eq!((ended.text("cache").as_str(), &ended.json()["ended"]), ("pending", &4.into()));
    assert_eq!(service.get(path).await.json()["active"], false);

    tokio::task::block_in_place(|| server.restart());
    eventually_async(LIMIT, "Redis is read again", || async {
        let next = service.get(path).await;
        assert_eq!((next.status, next.text("plan").as_str()), (200, "team"), "never the old one");
        assert_eq!(next.json()["active"], false);
        ["redis", "l1"].contains(&next.text("source").as_str())
    })
    .await;
    // A process that starts now reads what Redis has.
    let another = self::service(&server).await;
    let read = another.get(path).await;
    assert_eq!((read.text("source").as_str(), read.text("plan").as_str()), ("redis", "team"));
    assert_eq!(service.put(path, TEAM).await.text("cache"), "applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_404_and_remembered_and_a_wrong_change_says_what_would_be_right() {
    let server = Server::start();
    let service = service(&server).await;
    for _ in 0..3 {
        let missing = service.get("/api/subscriptions/sub_10001").await;
        assert_problem(&missing, 404, "sub_1 to sub_10000");
    }
    let seen = stats(&service).await;
    assert_eq!((&seen["loads"], &seen["absent_hits"]), (&1.into(), &2.into()), "{seen}");
    for id in ["sub_01", "sub_+1", "sub_", "7", "sub_99999999999"] {
        assert_problem(
            &service.get(&format!("/api/subscriptions/{id}")).await,
            404,
            "There is no subscription",
        );
    }
    assert_problem(&service.get("/api/subscriptions/%ff").await, 400, "UTF-8");
    for body in ["", "{}", r#"{"plan":"gold"}"#] {
        let refused = service.put("/api/subscriptions/sub_1", body).await;
        assert_problem(&refused, 400, "must be JSON such as");
    }
    assert_problem(&service.put("/api/subscriptions/sub_10001", TEAM).await, 404, "There is no subscription");
    assert_eq!(stats(&service).await["loads"], 1, "nothing was asked for these");
}

#[tokio::test]
async fn without_any_cache_the_billing_system_answers() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    assert_eq!(service.get("/api/subscriptions/sub_1").await.text("source"), "billing");
    assert_eq!(service.get("/api/subscriptions/sub_1").await.text("source"), "fallback");
    service.pool.close().await;
    assert_eq!(service.get("/api/subscriptions/sub_1").await.text("source"), "billing");
    let changed = put(service.addr, "/api/subscriptions/sub_1", TEAM).await;
    assert_eq!((changed.status, changed.text("cache").as_str()), (200, "not told"));
}
