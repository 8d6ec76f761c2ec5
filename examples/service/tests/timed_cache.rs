//! How often the sources are asked while Redis is killed, restarted, frozen and thawed under load. Run alone, not beside
//! other tests.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cenote_service::App;
use cenote_testkit::{Server, eventually_async};
use common::{LIMIT, Service, get, pool, post, put};

/// So many users, and so many subscriptions.
const KEYS: u64 = 20;
/// Subscriptions expire in the test; their jitter takes a tenth.
const SHORTEST_TTL: Duration = Duration::from_secs(18);
const OUTAGE: Duration = Duration::from_millis(800);

/// Which key was loaded when.
type Loads = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

struct Load {
    service: Service,
    server: Server,
    loads: Loads,
    over: Arc<AtomicBool>,
    /// How many answers came from where.
    sources: Arc<Mutex<HashMap<String, u64>>>,
    webhooks: [Arc<AtomicU64>; 2],
}

fn path(turn: u64) -> String {
    let key = turn / 2 % KEYS + 1;
    match turn % 2 {
        0 => format!("/api/features/me?user=user-{key}"),
        _ => format!("/api/subscriptions/sub_{key}"),
    }
}

impl Load {
    async fn begin() -> Self {
        let server = Server::builder().persistent().start();
        let builder = pool(server.url()).socket_timeout(Duration::from_millis(600));
        let pool = builder.degrade_after(Duration::from_millis(500)).build().unwrap();
        let loads = Loads::default();
        let sink = loads.clone();
        let told = move |cache: &str, key: &str| {
            sink.lock().unwrap().entry(format!("{cache} {key}")).or_default().push(Instant::now());
        };
        let app = App::new(pool.clone()).unwrap().on_load(told);
        let service = Service::start_app(pool, app).await;
        service.wait_for("ready").await;
        let (sources, webhooks) = Default::default();
        Self { service, server, loads, over: Arc::default(), sources, webhooks }
    }

    /// Any answer but a 200 panics, and so does any of a webhook but a 200 and a 503.
    fn workers(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let addr = self.service.addr;
        let mut workers: Vec<_> = (0..8)
            .map(|worker| {
                let (over, sources) = (self.over.clone(), self.sources.clone());
                tokio::spawn(async move {
                    for turn in worker * 7.. {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let answer = get(addr, &path(turn)).await;
                        assert_eq!(answer.status, 200, "{answer:?}");
                        *sources.lock().unwrap().entry(answer.text("source")).or_default() += 1;
                    }
                })
            })
            .collect();
        workers.extend((0..2).map(|worker| tokio::spawn(change(addr, worker, self.over.clone()))));
        workers.push(tokio::spawn(deliver(addr, self.over.clone(), self.webhooks.clone())));
        workers
    }

    /// Until Redis is read again, and every key was asked for since.
    async fn settled(&self) {
        self.service.wait_for("ready").await;
        eventually_async(LIMIT, "the journal is replayed", || async {
            self.service.get("/health/ready").await.json()["journal"]["local"] == false
        })
        .await;
        for turn in 0..KEYS * 2 {
            eventually_async(LIMIT, "every key is in this process again", || async {
                get(self.service.addr, &path(turn)).await.text("source") == "l1"
            })
            .await;
        }
    }

    /// How often a key was loaded in this span at most, and how many were.
    fn loaded(&self, span: std::ops::Range<Instant>, allowed: usize) -> usize {
        let loads = self.loads.lock().unwrap().clone();
        let expired = (span.end - span.start).as_nanos() / SHORTEST_TTL.as_nanos();
        let mut loaded = 0;
        for (key, times) in loads.iter().filter(|(key, _)| is_counted(key)) {
            let times: Vec<_> = times.iter().filter(|time| span.contains(*time)).collect();
            let since: Vec<_> = times.iter().map(|time| **time - span.start).collect();
            assert!(times.len() <= allowed + expired as usize, "{key} was loaded {since:?} after");
            loaded += usize::from(!times.is_empty());
        }
        loaded
    }
}

/// Subscriptions that are changed are loaded after each change.
fn is_counted(key: &str) -> bool {
    key.rsplit_once(' ').and_then(|(_, key)| key.parse().ok()).is_none_or(|number: u64| number <= KEYS)
}

/// Changes a subscription of its own, and reads it: never an older one than it was told of.
async fn change(addr: SocketAddr, worker: u64, over: Arc<AtomicBool>) {
    let path = format!("/api/subscriptions/sub_{}", 1000 + worker);
    while !over.load(Ordering::Relaxed) {
        let changed = put(addr, &path, r#"{"plan":"team"}"#).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert!(["applied", "pending"].contains(&changed.text("cache").as_str()), "{changed:?}");
        let told = changed.json()["subscription"]["revision"].clone();
        for _ in 0..5 {
            let read = get(addr, &path).await;
            assert_eq!((read.status, &read.json()["revision"]), (200, &told), "{read:?}");
        }
    }
}

async fn deliver(addr: SocketAddr, over: Arc<AtomicBool>, counts: [Arc<AtomicU64>; 2]) {
    for turn in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let body = format!(r#"{{"id":"evt_{turn}","type":"load"}}"#);
        let answer = post(addr, "/webhooks/stripe", &body).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        counts[usize::from(answer.status == 503)].fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_each_outage_every_key_is_loaded_once_on_entering_and_once_on_leaving_and_nothing_is_5xx() {
    let load = Load::begin().await;
    let workers = load.workers();
    let (service, server) = (&load.service, &load.server);
    let all = 2 * KEYS as usize;
    let began = Instant::now();
    let mut leaving = began;
    for (outage, frozen) in [false, true, false, true].into_iter().enumerate() {
        load.settled().await;
        let entering = Instant::now();
        // What is loaded on entering and on leaving is told apart by when the fault began and ended.
        let loaded = load.loaded(leaving..entering, 1);
        println!("before outage {outage}: {loaded} of {all} keys loaded, each once");
        if outage == 0 {
            assert_eq!(loaded, all);
        }
        if frozen {
            server.freeze();
        } else {
            server.kill();
        }
        service.wait_for("degraded").await;
        // An outage has its length; that things have happened in it is seen below.
        tokio::time::sleep(OUTAGE).await;
        for turn in 0..KEYS * 2 {
            let answer = service.get(&path(turn)).await;
            assert!(
                ["fallback", "billing", "computed"].contains(&answer.text("source").as_str()),
                "{answer:?}"
            );
        }
        assert_eq!(service.get("/health/ready").await.text("state"), "degraded");
        leaving = Instant::now();
        let loaded = load.loaded(entering..leaving, 1);
        println!("in outage {outage}: {loaded} of {all} keys loaded, each once");
        assert_eq!(loaded, all, "each had to be loaded");
        if frozen {
            server.thaw();
        } else {
            let _port = tokio::task::block_in_place(|| server.restart());
        }
    }
    load.settled().await;
    let settled = Instant::now();
    let loaded = load.loaded(leaving..settled, 1);
    println!("after the last: {loaded} of {all} keys loaded, each once");
    assert_eq!(loaded, all, "what the fallback had is forgotten");
    load.over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    // In the whole: one for each outage's beginning and end, and one before.
    load.loaded(began..Instant::now(), 1 + 2 * 4);

    let sources = load.sources.lock().unwrap().clone();
    println!("{:.1?}: {sources:?}, webhooks {:?}", began.elapsed(), load.webhooks);
    for source in ["l1", "redis", "fallback", "computed", "billing"] {
        assert!(sources.contains_key(source), "{source}: {sources:?}");
    }
    assert!(load.webhooks.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{:?}", load.webhooks);
    let before: usize = load.loads.lock().unwrap().values().map(Vec::len).sum();
    for turn in 0..KEYS * 2 {
        let answer = load.service.get(&path(turn)).await;
        assert!(["l1", "redis"].contains(&answer.text("source").as_str()), "{answer:?}");
    }
    let stale = load.service.get("/api/status").await.json()["caches"]["subscriptions"]["refreshes"].clone();
    let after: usize = load.loads.lock().unwrap().values().map(Vec::len).sum();
    assert!(after - before <= stale.as_u64().unwrap() as usize, "{before} loads before, {after} after");
}
