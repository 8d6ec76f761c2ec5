//! When L1 answers: for how long after a loss, never past its return, and how soon a change is seen.

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_cache::{Cache, OnDisconnect, Tier, Written};
use cenote_pool_core::Pool;
use cenote_testkit::{Observer, Proxy, Server, eventually, eventually_async, is_long, seed, within};
use common::{MINUTE, SOON, pool};
use tokio::runtime::Builder;
use tokio::time::sleep;

type Numbers = Cache<u64, u64>;

const SECOND: Duration = Duration::from_secs(1);

fn with_l1(pool: &Pool, policy: OnDisconnect) -> Numbers {
    Cache::builder(pool, "n").ttl(MINUTE).l1(10_000, 16 << 20).on_disconnect(policy).build().unwrap()
}

fn without_l1(pool: &Pool) -> Numbers {
    Cache::builder(pool, "n").ttl(MINUTE).build().unwrap()
}

async fn look(cache: &Numbers, key: u64) -> (Option<u64>, Tier) {
    let found = cache.get(&key).await.unwrap();
    (found.value().map(|value| **value), found.tier())
}

async fn l1_has(cache: &Numbers, key: u64, value: u64) {
    eventually_async(SOON, "L1 answers", || async { look(cache, key).await == (Some(value), Tier::L1) })
        .await;
}

/// The connection on which Redis tells of changes.
fn kill_push(observer: &Observer) {
    let clients = observer.clients();
    let push: Vec<_> = clients.iter().filter(|client| client["flags"].contains('B')).collect();
    assert!(!push.is_empty());
    for client in push {
        observer.get::<u64>(&["CLIENT", "KILL", "ID", &client["id"]]);
    }
}

/// Connections of both processes die and Redis is emptied, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_no_reader_sees_an_older_value_after_a_newer_one_nor_waits_long_for_it() {
    const KEYS: u64 = 4;
    /// A push, or an outage with all its pauses.
    const BOUND: Duration = Duration::from_secs(4);
    let server = Server::start();
    let (ours, theirs) = (pool(server.url()), pool(server.url()));
    let (reader, writer) = (with_l1(&ours, OnDisconnect::Flush), without_l1(&theirs));
    let rounds = if is_long() { 50_000 } else { 5_000 };
    let (seed, over) = (seed(), Arc::new(AtomicBool::new(false)));
    let vandal = std::thread::spawn({
        let (observer, over, mut rng) = (server.observer(), over.clone(), fastrand::Rng::with_seed(seed));
        move || {
            let (mut kills, mut flushes) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(rng.u64(4..40)));
                let ids = observer.client_ids();
                if rng.u8(..5) == 0 {
                    observer.get::<()>(&["FLUSHALL"]);
                    flushes += 1;
                } else if !ids.is_empty() {
                    let id = ids[rng.usize(..ids.len())].to_string();
                    kills += u64::from(observer.command(&["CLIENT", "KILL", "ID", &id]).is_ok());
                }
            }
            (kills, flushes)
        }
    });
    let worker = |key: u64| {
        let (reader, writer) = (reader.clone(), writer.clone());
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(1 + key));
        tokio::spawn(async move {
            let truth = Arc::new(AtomicU64::new(1));
            let (mut seen, mut slowest, mut pending, mut round) = (0, Duration::ZERO, 0, 0);
            while round < rounds / KEYS {
                let number = truth.fetch_add(1, Ordering::SeqCst) + 1;
                let written = if rng.u8(..4) == 0 {
                    writer.remove(&key).await
                } else {
                    writer.put(&key, &number).await
                };
                let applied = matches!(written, Ok(Written::Applied));
                round += u64::from(applied);
                pending += u64::from(!applied);
                let written_at = Instant::now();
                // Until it is seen; or once, if the connection died under the write.
                loop {
                    let value = if rng.bool() {
                        look(&reader, key).await.0
                    } else {
                        let truth = truth.clone();
                        let load = |_| async move { Ok::<_, Infallible>(Some(truth.load(Ordering::SeqCst))) };
                        reader.get_or_load(&key, load).await.unwrap().map(|value| *value)
                    };
                    let now = value.unwrap_or(number);
                    assert!(now >= seen, "round {round}: {now} after {seen}");
                    seen = seen.max(value.unwrap_or(0));
                    if !applied {
                        // One that was not acknowledged is no round; the next comes after a moment.
                        sleep(Duration::from_millis(1)).await;
                        break;
                    }
                    if now >= number {
                        break;
                    }
                    assert!(
                        written_at.elapsed() < BOUND,
                        "round {round}: {now} for {BOUND:?} after {number}"
                    );
                    tokio::task::yield_now().await;
                }
                slowest = slowest.max(written_at.elapsed());
            }
            (slowest, pending)
        })
    };
    let workers: Vec<_> = (0..KEYS).map(worker).collect();
    let (mut slowest, mut pending) = (Duration::ZERO, 0);
    for worker in workers {
        let (slow, waits) = within(10 * MINUTE, worker).await.unwrap();
        (slowest, pending) = (slowest.max(slow), pending + waits);
    }
    over.store(true, Ordering::SeqCst);
    let (kills, flushes) = vandal.join().unwrap();
    let stats = reader.stats();
    println!(
        "{rounds} rounds, {kills} kills, {flushes} flushes, {pending} writes not acknowledged; a write was seen after \
         {slowest:?} at most; L1 answered {} reads",
        stats.l1_hits
    );
    assert!(stats.l1_hits > rounds / 50, "L1 takes part");
}

/// The push connection is lost, and no new one can be had for a while.
struct Outage {
    server: Server,
    proxy: Proxy,
    reader: Numbers,
    writer: Numbers,
}

impl Outage {
    /// L1 knows key 1 as 1.
    async fn new(policy: OnDisconnect) -> Self {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let (reader, writer) = (with_l1(&pool(proxy.url()), policy), without_l1(&pool(server.url())));
        let _ = writer.put(&1, &1).await.unwrap();
        l1_has(&reader, 1, 1).await;
        Self { server, proxy, reader, writer }
    }

    async fn begin(&self) {
        self.proxy.reset_on_accept(true);
        kill_push(&self.server.observer());
        let _ = self.writer.put(&1, &2).await.unwrap();
    }

    /// Reads until `until`, and tells when L1 last answered.
    async fn watch(&self, until: Instant) -> Option<Instant> {
        let mut last = None;
        while Instant::now() < until {
            let (value, tier) = look(&self.reader, 1).await;
            if tier == Tier::L1 {
                last = Some(Instant::now());
                assert_eq!(value, Some(1), "L1 cannot know what it was not told");
            }
            sleep(Duration::from_millis(1)).await;
        }
        last
    }

    /// Tracking is back: from the first answer with the new value on there is no other.
    async fn end(&self) {
        self.proxy.reset_on_accept(false);
        let is_back = AtomicBool::new(false);
        eventually_async(SOON, "L1 answers again", || async {
            let (value, tier) = look(&self.reader, 1).await;
            let before = is_back.fetch_or(value == Some(2), Ordering::SeqCst);
            assert!(!before || value == Some(2) || tier == Tier::Fallback, "{value:?} from {tier:?}");
            (value, tier) == (Some(2), Tier::L1)
        })
        .await;
        for _ in 0..100 {
            assert_eq!(look(&self.reader, 1).await, (Some(2), Tier::L1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_that_flushes_answers_nothing_from_the_loss_until_tracking_is_back() {
    let outage = Outage::new(OnDisconnect::Flush).await;
    outage.begin().await;
    eventually_async(SECOND, "the loss is noticed", || async { look(&outage.reader, 1).await.1 != Tier::L1 })
        .await;
    assert_eq!(outage.watch(Instant::now() + SECOND).await, None);
    outage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_that_serves_on_does_so_for_as_long_as_it_may_and_not_past_the_return() {
    const FOR: Duration = Duration::from_millis(1_500);
    let outage = Outage::new(OnDisconnect::ServeFor(FOR)).await;
    let begun = Instant::now();
    outage.begin().await;
    let last = outage.watch(begun + FOR + SECOND).await.expect("it serves on");
    let served = last - begun;
    println!("served for {served:?}");
    assert!(served > FOR / 2, "{served:?}");
    assert!(served < FOR + Duration::from_millis(300), "{served:?}");
    outage.end().await;
    // And where it may serve for long, it does not once tracking is back.
    let outage = Outage::new(OnDisconnect::ServeFor(MINUTE)).await;
    outage.begin().await;
    assert!(outage.watch(Instant::now() + SECOND / 2).await.is_some());
    outage.end().await;
}

/// A runtime that nobody drives hears nothing. Another one's readers must not be served what it knew, neither for long
/// meanwhile, nor when it wakes up.
#[test]
fn while_the_runtime_that_listens_stands_still_l1_soon_answers_nothing_and_wakes_up_with_nothing_old() {
    const KEYS: u64 = 500;
    let server = Server::start();
    let (ours, theirs) = (pool(server.url()), pool(server.url()));
    let (reader, writer) = (with_l1(&ours, OnDisconnect::Flush), without_l1(&theirs));
    let single = || Builder::new_current_thread().enable_all().build().unwrap();
    let (listens, others) = (single(), Builder::new_multi_thread().enable_all().build().unwrap());
    for turn in 0..if is_long() { 20 } else { 3 } {
        others.block_on(async {
            for key in 0..KEYS {
                let _ = writer.put(&key, &(turn * 2)).await.unwrap();
            }
        });
        listens.block_on(within(MINUTE, async {
            for key in 0..KEYS {
                l1_has(&reader, key, turn * 2).await;
            }
        }));
        let still = Instant::now();
        others.block_on(async {
            for key in 0..KEYS {
                let _ = writer.put(&key, &(turn * 2 + 1)).await.unwrap();
            }
        });
        let news = |key| others.block_on(look(&reader, key));
        eventually(SOON, "L1 answers nothing", || news(0) == (Some(turn * 2 + 1), Tier::L2));
        println!("L1 answered nothing {:?} after its runtime stood still", still.elapsed());
        assert!(still.elapsed() < Duration::from_millis(500) + SECOND, "{:?}", still.elapsed());
        // One reads on as it wakes up.
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    for key in 0..KEYS {
                        let found = others.block_on(look(&reader, key));
                        assert_eq!(found.0, Some(turn * 2 + 1), "from {:?}", found.1);
                    }
                }
            });
            listens.block_on(within(MINUTE, l1_has(&reader, KEYS - 1, turn * 2 + 1)));
            over.store(true, Ordering::SeqCst);
            reading.join().unwrap();
        });
    }
}
