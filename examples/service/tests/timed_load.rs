//! The service under load while Redis is killed, frozen and restarted. Run alone, not beside other tests.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cenote_testkit::Server;
use common::{LIMIT, Service, get, pool, post};

/// The pool's own, said here for the bound on it.
const DEGRADE_AFTER: Duration = Duration::from_millis(250);
/// HTTP and a machine with other work.
const MARGIN: Duration = Duration::from_millis(250);
const WORKERS: usize = 16;
/// Redis is killed twice and frozen twice.
const OUTAGES: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_and_faults_nothing_is_5xx_but_the_webhook_and_readiness_tells_the_truth() {
    let server = Server::builder().persistent().start();
    let builder = pool(server.url()).socket_timeout(Duration::from_millis(300)).degrade_after(DEGRADE_AFTER);
    let service = Service::start(builder.build().unwrap()).await;
    service.wait_for("ready").await;
    let (addr, over) = (service.addr, Arc::new(AtomicBool::new(false)));
    let (handled, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // How long each took, and whether it began in an outage.
    let times: Arc<Mutex<Vec<(Duration, bool)>>> = Arc::default();
    let away = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (over, handled, asked) = (over.clone(), handled.clone(), asked.clone());
            let (times, away) = (times.clone(), away.clone());
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
                            let (began, away) = (Instant::now(), away.load(Ordering::Relaxed));
                            assert_eq!(get(addr, &path).await.status, 200);
                            times.lock().unwrap().push((began.elapsed(), away));
                        }
                    }
                }
            })
        })
        .collect();

    // Until Redis is read again: an outage that begins before is the last one going on, and nobody waits in it.
    let settled = async || {
        cenote_testkit::eventually_async(LIMIT, "the journal is replayed", || async {
            service.get("/health/ready").await.json()["journal"]["local"] == false
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    for _ in 0..OUTAGES / 2 {
        settled().await;
        away.store(true, Ordering::Relaxed);
        server.kill();
        service.wait_for("degraded").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(service.get("/health/ready").await.text("state"), "degraded");
        tokio::task::block_in_place(|| server.restart());
        service.wait_for("ready").await;

        away.store(false, Ordering::Relaxed);
        settled().await;
        away.store(true, Ordering::Relaxed);
        server.freeze();
        service.wait_for("degraded").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(service.get("/health/ready").await.text("state"), "degraded");
        server.thaw();
        service.wait_for("ready").await;
        away.store(false, Ordering::Relaxed);
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 1000, "{asked:?}");
    let times = std::mem::take(&mut *times.lock().unwrap());
    figure("with Redis", times.iter().filter(|(_, away)| !away));
    let (waited, worst) = figure("without", times.iter().filter(|(_, away)| *away));
    // Nobody waits for Redis longer than `degrade_after`, and once the breaker is open nobody waits: a worker waits
    // in one call of an outage at most, however many calls the machine makes.
    assert!(worst < DEGRADE_AFTER + MARGIN, "{worst:?}");
    assert!(waited <= WORKERS * OUTAGES, "{waited} calls waited");
    // Each counted answer is one effect; an effect whose answer was lost in an outage is there uncounted.
    let effects: u64 = server.observer().get(&["GET", "webhook:handled"]);
    assert!(effects >= handled.load(Ordering::Relaxed), "{effects} effects, {handled:?} answered");
    let report = service.stop().await.unwrap();
    assert_eq!(report.cut_calls, 0);
}

/// Prints how long the calls took; returns how many waited for Redis, and the longest.
fn figure<'a>(name: &str, times: impl Iterator<Item = &'a (Duration, bool)>) -> (usize, Duration) {
    let mut times: Vec<_> = times.map(|(took, _)| *took).collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let (count, median, p99, worst) = (times.len(), at(50), at(99), at(100));
    let waited = times.iter().filter(|took| **took >= DEGRADE_AFTER).count();
    println!(
        "/api/features/me {name}: {count} calls, {waited} waited, median {median:.1?}, p99 {p99:.1?}, \
         longest {worst:.1?}"
    );
    (waited, worst)
}
