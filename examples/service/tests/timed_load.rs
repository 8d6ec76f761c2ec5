//! The service under load while Redis is killed, frozen and restarted. Run alone, not beside other tests.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cenote_testkit::Server;
use common::{Service, get, pool, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_and_faults_nothing_is_5xx_but_the_webhook_and_readiness_tells_the_truth() {
    let server = Server::builder().persistent().start();
    let builder = pool(server.url()).socket_timeout(Duration::from_millis(300));
    let service = Service::start(builder.build().unwrap()).await;
    service.wait_for("ready").await;
    let (addr, over) = (service.addr, Arc::new(AtomicBool::new(false)));
    let (handled, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let (over, handled, asked) = (over.clone(), handled.clone(), asked.clone());
            tokio::spawn(async move {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    match turn % 4 {
                        0 => {
                            let body = format!(r#"{{"id":"evt_{worker}_{turn}","type":"load"}}"#);
                            let answer = post(addr, "/webhooks/stripe", &body).await;
                            match answer.status {
                                200 => drop(handled.fetch_add(1, Ordering::Relaxed)),
                                503 => assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}"),
                                _ => panic!("{answer:?}"),
                            }
                        }
                        1 => assert_eq!(get(addr, "/health/live").await.status, 200),
                        2 => assert_eq!(get(addr, "/health/ready").await.status, 200),
                        _ => {
                            let path = format!("/api/features/me?user=user-{}", turn % 50);
                            assert_eq!(get(addr, &path).await.status, 200);
                        }
                    }
                }
            })
        })
        .collect();

    for _ in 0..2 {
        server.kill();
        service.wait_for("degraded").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(service.get("/health/ready").await.text("state"), "degraded");
        tokio::task::block_in_place(|| server.restart());
        service.wait_for("ready").await;

        server.freeze();
        service.wait_for("degraded").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(service.get("/health/ready").await.text("state"), "degraded");
        server.thaw();
        service.wait_for("ready").await;
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 1000, "{asked:?}");
    // Each counted answer is one effect; an effect whose answer was lost in an outage is there uncounted.
    let effects: u64 = server.observer().get(&["GET", "webhook:handled"]);
    assert!(effects >= handled.load(Ordering::Relaxed), "{effects} effects, {handled:?} answered");
    let report = service.stop().await.unwrap();
    assert_eq!(report.cut_calls, 0);
}
