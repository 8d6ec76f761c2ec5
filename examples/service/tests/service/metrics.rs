use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cenote::{FallbackLru, Pool};
use cenote_testkit::{Server, eventually_async, metric};

use crate::common::{LIMIT, Process, Service, get, post};

/// What a Prometheus server would read.
async fn scrape(addr: SocketAddr) -> String {
    let response = get(addr, "/metrics").await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.body
}

async fn until(addr: SocketAddr, what: &str, holds: impl Fn(&str) -> bool) -> String {
    let last = parking_lot::Mutex::new(String::new());
    eventually_async(LIMIT, what, || async {
        let text = scrape(addr).await;
        let done = holds(&text);
        *last.lock() = text;
        done
    })
    .await;
    last.into_inner()
}

fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    metric(text, name, labels).unwrap_or(0.0)
}

fn assert_kinds_are_those_of_the_guide(text: &str) {
    const GUIDE: &str = include_str!("../../../../docs/telemetry.md");
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut count = 0;
    for (name, kind) in kinds {
        assert!(
            GUIDE.contains(&format!("| `{name}` | {kind} |")),
            "{name} is no {kind} in docs/telemetry.md"
        );
        count += 1;
    }
    assert!(count > 30, "{text}");
}

/// Requests without a pause, in as many tasks, until it is dropped. A `#` becomes the number of the request.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    errors: Arc<AtomicUsize>,
}

impl Load {
    fn on(addr: SocketAddr, paths: &'static [&'static str]) -> Self {
        let load = Self { over: Arc::default(), answered: Arc::default(), errors: Arc::default() };
        for path in paths {
            let (over, answered, errors) = (load.over.clone(), load.answered.clone(), load.errors.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let number = answered.fetch_add(1, Ordering::Relaxed).to_string();
                    let status = get(addr, &path.replace('#', &number)).await.status;
                    errors.fetch_add(usize::from(status >= 500), Ordering::Relaxed);
                }
            });
        }
        load
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_prometheus_server_reads_the_service_under_load_and_through_an_outage() {
    let server = Server::builder().password("hush-hush").start();
    let process = Process::start(&[("REDIS_URL", &server.url())]);
    let addr = process.addr();
    let load =
        Load::on(addr, &["/api/features/me?user=ada", "/api/features/me?user=#", "/api/search?q=a&user=ada"]);

    assert!(post(addr, "/api/jobs", "{}").await.status < 300);
    let busy = until(addr, "calls of four kinds are counted", |text| {
        value(text, "cenote_command_duration_seconds_count", &[]) > 50.0
            && value(text, "cenote_cache_hits_total", &[("cache", "features")]) > 0.0
            && value(text, "cenote_cache_load_duration_seconds_count", &[("cache", "features")]) > 0.0
            && value(text, "cenote_ratelimit_decisions_total", &[("source", "redis")]) > 0.0
            && value(text, "cenote_progress_reports_total", &[("outcome", "published")]) > 0.0
    })
    .await;
    assert_eq!(value(&busy, "cenote_breaker_open", &[]), 0.0);
    assert!(value(&busy, "cenote_connections_in_use", &[]) >= 1.0, "{busy}");
    assert_eq!(value(&busy, "cenote_connections_max", &[]), 20.0);
    assert_kinds_are_those_of_the_guide(&busy);
    assert!(busy.contains("# HELP cenote_command_duration_seconds "), "{busy}");
    assert!(busy.contains("le=\"0.001\""), "{busy}");

    server.kill();
    let away = until(addr, "the outage is told, and who answers in it", |text| {
        value(text, "cenote_breaker_open", &[]) == 1.0
            && value(text, "cenote_degradable_calls_total", &[("source", "fallback")]) > 0.0
            && value(text, "cenote_ratelimit_decisions_total", &[("source", "fallback")]) > 0.0
    })
    .await;
    assert!(value(&away, "cenote_breaker_transitions_total", &[("to", "open")]) >= 1.0);
    assert!(value(&away, "cenote_command_errors_total", &[]) >= 1.0, "{away}");

    server.restart();
    let back = until(addr, "the end of the outage is told", |text| {
        value(text, "cenote_breaker_open", &[]) == 0.0 && value(text, "cenote_journal_keys", &[]) == 0.0
    })
    .await;
    assert!(value(&back, "cenote_reconnects_total", &[]) >= 1.0, "{back}");
    assert!(load.answered.load(Ordering::Relaxed) > 50);
    assert_eq!(load.errors.load(Ordering::Relaxed), 0, "no request failed");
    for text in [busy, away, back] {
        assert!(!text.contains("hush-hush"), "{text}");
    }
}

#[tokio::test]
async fn an_application_without_a_recorder_says_so() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let none = service.get("/metrics").await;
    assert_eq!((none.status, none.text("title").as_str()), (404, "Not recorded"));
}
