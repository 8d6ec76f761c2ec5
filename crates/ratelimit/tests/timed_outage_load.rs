//! An outage under load, of all processes or of one: what is let through in any time, how long decisions take, and what
//! Redis finds afterwards.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_ratelimit::{OnOutage, Quota, RateLimiter, Source};
use cenote_testkit::{Proxy, Server, eventually_async, is_long, within};
use common::{MINUTE, SOON, pool};
use tokio::task::JoinSet;

const NODES: usize = 3;
/// Of each node.
const CALLERS: usize = 4;
/// One that Redis knows, and one that is new when Redis is away.
static KEYS: [&str; 2] = ["hot", "late"];
const RATE: u64 = 60;
const BURST: u64 = 60;
const LIMIT: Duration = Duration::from_millis(50);
/// For nearly all calls; a noisy machine may stop at one of them.
const ROOM: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Killed,
    Frozen,
    /// The first node alone: its connections are reset, and so are new ones.
    CutOff,
    /// The first node alone: nothing comes and goes, and all of it later, as TCP does.
    Silent,
}

/// A process, but for its own memory: nothing is shared between two of these.
struct Node {
    pool: Pool,
    limiter: RateLimiter,
}

/// One call, in microseconds of the test. It was decided between the two.
#[derive(Debug, Clone, Copy)]
struct Call {
    node: usize,
    key: &'static str,
    began: u64,
    ended: u64,
    source: Source,
    allowed: bool,
}

struct Outage {
    fault: Fault,
    calls: Vec<Call>,
    began: u64,
    ended: u64,
    /// Tokens that Redis has counted afterwards.
    counted: u64,
    /// Calls of which nobody knows whether Redis has counted them.
    vague: u64,
}

fn node(url: String, on_outage: OnOutage) -> Node {
    let pool = pool(url);
    let limiter = RateLimiter::builder(&pool, "load")
        .policy("rate", Quota::per_second(RATE).burst(BURST))
        // Nothing comes back of it while a test lasts, so it counts what was charged.
        .policy("count", Quota::per_month(100_000))
        .nodes(NODES as u64)
        .on_outage(on_outage)
        .build()
        .unwrap();
    Node { pool, limiter }
}

async fn outage(fault: Fault, on_outage: OnOutage) -> Outage {
    let server = Server::builder().persistent().start();
    let proxy = Proxy::to(&server);
    let nodes: Vec<_> = (0..NODES)
        .map(|number| node(if number == 0 { proxy.url() } else { server.url() }, on_outage))
        .collect();
    for node in &nodes {
        answers(&node.limiter).await;
    }
    let start = Instant::now();
    let (stop, away) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let now = move || u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut callers = JoinSet::new();
    for number in 0..NODES * CALLERS {
        let (node, stop, away) = (number % NODES, stop.clone(), away.clone());
        let limiter = nodes[node].limiter.clone();
        callers.spawn(async move {
            let mut calls = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for &key in if away.load(Ordering::Relaxed) { &KEYS[..] } else { &KEYS[..1] } {
                    let began = now();
                    let decision = within(SOON, limiter.check(key)).await.unwrap();
                    let (source, allowed) = (decision.source, decision.allowed);
                    calls.push(Call { node, key, began, ended: now(), source, allowed });
                }
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            calls
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut states: Vec<_> = nodes.iter().map(|node| node.pool.state_changes()).collect();
    for states in &mut states {
        states.mark_unchanged();
    }
    let began = now();
    match fault {
        Fault::Killed => server.kill(),
        Fault::Frozen => server.freeze(),
        Fault::CutOff => {
            proxy.reset_on_accept(true);
            proxy.cut();
        }
        Fault::Silent => {
            proxy.stall_requests();
            proxy.stall_replies();
        }
    }
    away.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(if is_long() { 3_500 } else { 1_500 })).await;
    let ended = now();
    // What the limiter gave up within its short limit is nothing to the pool.
    for (node, states) in states.iter().enumerate() {
        if matches!(fault, Fault::Frozen | Fault::Silent) || (fault == Fault::CutOff && node > 0) {
            assert!(!states.has_changed().unwrap(), "{fault:?}: the pool of {node}");
            assert_eq!(nodes[node].pool.state(), State::Ready);
        }
    }
    match fault {
        Fault::Killed => drop(server.restart()),
        Fault::Frozen => server.thaw(),
        Fault::CutOff | Fault::Silent => proxy.pass(),
    }
    for node in &nodes {
        answers(&node.limiter).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let calls = within(MINUTE, callers.join_all()).await.concat();
    // By one who does not know the policy that is tighter.
    let count = RateLimiter::builder(&nodes[1].pool, "load").policy("count", Quota::per_month(100_000));
    let count = count.timeout(SOON).build().unwrap();
    let left = count.peek("hot").await.unwrap();
    assert_eq!(left.source, Source::Redis);
    // Those that ran out of time, and those that were in flight when their connection was lost.
    let missed: u64 = nodes.iter().map(|node| node.limiter.stats().misses).sum();
    let vague = missed + (NODES * CALLERS) as u64;
    Outage { fault, calls, began, ended, counted: 100_000 - left.remaining, vague }
}

async fn answers(limiter: &RateLimiter) {
    eventually_async(MINUTE, "Redis decides", || async {
        limiter.check("any").await.unwrap().source == Source::Redis
    })
    .await;
}

impl Outage {
    fn admitted(&self, which: impl Fn(&Call) -> bool) -> Vec<Call> {
        let mut calls: Vec<_> =
            self.calls.iter().copied().filter(|call| call.allowed && which(call)).collect();
        calls.sort_unstable_by_key(|call| call.began);
        calls
    }

    /// In no time from one call's beginning to another's end more than this were decided.
    fn within_bound(&self, what: &str, calls: &[Call], burst: u64, rate: f64) {
        for (index, first) in calls.iter().enumerate() {
            let mut ends: Vec<u64> = calls[index..].iter().map(|call| call.ended).collect();
            ends.sort_unstable();
            for (count, end) in (1..).zip(ends) {
                // Two clocks are not the same to a thousandth, and times are cut to microseconds.
                let time = (end - first.began) as f64 / 1e6 * 1.001 + 0.001;
                let most = burst as f64 + rate * time;
                assert!(
                    f64::from(count) <= most,
                    "{:?}, {what}: {count} in {time} s, not {most}",
                    self.fault
                );
            }
        }
    }

    fn while_it_lasts(&self, from: Duration) -> impl Iterator<Item = &Call> {
        let from = self.began + u64::try_from(from.as_micros()).unwrap();
        self.calls.iter().filter(move |call| call.began >= from && call.ended <= self.ended)
    }

    fn out(&self, node: usize) -> bool {
        node == 0 || matches!(self.fault, Fault::Killed | Fault::Frozen)
    }

    /// Whatever the policy: what Redis let through, and that it has counted just that; and how long all took.
    fn judge(&self, alone: Source) {
        for key in KEYS {
            let redis = self.admitted(|call| call.source == Source::Redis && call.key == key);
            self.within_bound(&format!("Redis, {key}"), &redis, BURST, RATE as f64);
        }
        let redis = self.admitted(|call| call.source == Source::Redis && call.key == KEYS[0]);
        let counted = redis.len() as u64..=redis.len() as u64 + self.vague;
        assert!(counted.contains(&self.counted), "{:?}: {} of {counted:?}", self.fault, self.counted);
        for node in 0..NODES {
            let of = |source| {
                let calls = self.while_it_lasts(LIMIT * 4).filter(move |call| call.node == node);
                calls.filter(move |call| call.source == source).count()
            };
            let (local, asked) = (of(alone), of(Source::Redis));
            if self.out(node) {
                assert!(local > 50 && asked == 0, "{:?}: {node} decided {local}, Redis {asked}", self.fault);
            } else {
                assert!(asked > 0, "{:?}: {node} reaches Redis", self.fault);
            }
        }
        let took = |call: &Call| Duration::from_micros(call.ended - call.began);
        let mut times: Vec<_> = self.while_it_lasts(Duration::ZERO).map(took).collect();
        times.sort_unstable();
        let nearly_all = times[(times.len() - 1) * 97 / 100];
        assert!(nearly_all < LIMIT + ROOM, "{:?}: {nearly_all:?} of {}", self.fault, times.len());
        // When three calls have waited in vain, one a second waits.
        let later: Vec<_> =
            self.while_it_lasts(LIMIT * 6).filter(|call| self.out(call.node)).map(took).collect();
        let slow = later.iter().filter(|took| **took >= LIMIT / 2).count();
        assert!(slow * 20 <= later.len(), "{:?}: {slow} of {} were slow", self.fault, later.len());
        println!(
            "{:?}: {} calls, Redis {} let through, {} counted (vague {}), 97 % in {nearly_all:?}, {slow} of {} slow",
            self.fault,
            self.calls.len(),
            redis.len(),
            self.counted,
            self.vague,
            later.len()
        );
    }
}

fn some_faults() -> Vec<Fault> {
    let all = vec![Fault::Frozen, Fault::CutOff, Fault::Killed, Fault::Silent];
    if is_long() { all } else { all[..2].to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_those_who_are_out_and_the_quota_of_those_who_are_not_are_all_that_passes_in_any_time() {
    for fault in [Fault::Frozen, Fault::CutOff, Fault::Killed, Fault::Silent] {
        let outage = outage(fault, OnOutage::Fallback).await;
        outage.judge(Source::Fallback);
        let (share, part) = (BURST / NODES as u64, RATE as f64 / NODES as f64);
        for key in KEYS {
            let mut out = 0;
            for node in 0..NODES {
                let of =
                    |call: &Call| call.source == Source::Fallback && call.key == key && call.node == node;
                let local = outage.admitted(of);
                outage.within_bound(&format!("a share of {key}"), &local, share, part);
                out += u64::from(!local.is_empty());
                println!("{node} let through {} of {key}", local.len());
            }
            let all = outage.admitted(|call| call.key == key);
            outage.within_bound(
                &format!("all of {key}"),
                &all,
                BURST + out * share,
                RATE as f64 + out as f64 * part,
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limiter_that_is_open_lets_all_through_where_redis_is_away_and_only_there() {
    for fault in some_faults() {
        let outage = outage(fault, OnOutage::Open).await;
        outage.judge(Source::Open);
        assert!(outage.calls.iter().all(|call| call.allowed || call.source != Source::Open));
        assert!(outage.calls.iter().all(|call| call.source != Source::Fallback));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limiter_that_is_closed_lets_nothing_through_where_redis_is_away_and_only_there() {
    for fault in some_faults() {
        let outage = outage(fault, OnOutage::Closed).await;
        outage.judge(Source::Closed);
        assert!(outage.calls.iter().all(|call| !call.allowed || call.source == Source::Redis));
    }
}
