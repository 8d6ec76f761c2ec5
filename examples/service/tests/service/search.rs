use cenote_testkit::{Server, eventually_async};

use crate::common::{LIMIT, Service, pool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_searches_five_times_at_once_and_is_then_told_when_to_come_again_and_another_is_not() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    for left in (0..5).rev() {
        let answer = service.get("/api/search?q=po&user=ada").await;
        assert_eq!((answer.status, answer.text("source").as_str()), (200, "redis"), "{answer:?}");
        assert!(answer.json()["remaining"].as_u64().unwrap() >= left, "{answer:?}");
        assert_eq!(answer.json()["found"][0], "pool");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"search\";q=5;w=5"));
    }
    // On a slow machine one more has come back by now.
    eventually_async(LIMIT, "it is refused", || async {
        let answer = service.get("/api/search?user=ada").await;
        if answer.status == 200 {
            return false;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        true
    })
    .await;
    assert_eq!(service.get("/api/search?user=bob").await.status, 200);
    let long = format!("/api/search?user={}", "x".repeat(129));
    assert_eq!(service.get(&long).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_this_process_decides_at_its_share_and_says_so() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    server.kill();
    eventually_async(LIMIT, "the fallback decides", || async {
        let answer = service.get("/api/search?user=warm").await;
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        answer.status == 429 || answer.text("source") == "fallback"
    })
    .await;
    let statuses = [(); 5].map(|()| "/api/search?user=ada");
    let mut allowed = 0;
    for path in statuses {
        let answer = service.get(path).await;
        allowed += u64::from(answer.status == 200);
        assert!(answer.status == 429 || answer.text("source") == "fallback", "{answer:?}");
    }
    assert!((2..=4).contains(&allowed), "half of five, and {allowed} were let through");
}
