//! Real processes that load, write and remove the same keys; also where the date of one of them is wrong.

mod common;
#[path = "common/sides.rs"]
mod sides;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cenote_cache::{Cache, Tier};
use cenote_testkit::{Observer, Server, eventually_async, is_long, seed, within};
use common::{MINUTE, SOON, patient};
use redis::AsyncCommands;
use sides::{Actor, Child, Side, serve};

const MAIN: &str = "another_process";

#[test]
fn another_process() {
    serve();
}

struct Group {
    server: Server,
    truth: Server,
}

impl Group {
    fn new() -> Self {
        Self { server: Server::start(), truth: Server::start() }
    }

    fn here(&self, ttl: u64) -> Side {
        Side::Here(Actor::new(&self.server.url(), &self.truth.url(), ttl))
    }

    fn there(&self, ttl: u64, environment: &[(&str, &str)]) -> Side {
        let settings = format!("{} {} {ttl}", self.server.url(), self.truth.url());
        Side::There(Child::start(MAIN, &settings, environment))
    }

    /// Four keys at once. What is read after an acknowledged change is never older than it.
    async fn run(&self, sides: Vec<Side>, rounds: u64) {
        const KEYS: u64 = 4;
        let (seed, sides) = (seed(), Arc::new(sides));
        let hits = Arc::new(AtomicU64::new(0));
        let worker = |key: u64| {
            let (sides, hits, truth) = (sides.clone(), hits.clone(), patient(self.truth.url()));
            let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(key));
            tokio::spawn(async move {
                let _: () = truth.conn().set(key, 1).await.unwrap();
                for number in 0..rounds.div_ceil(KEYS) {
                    let round = round(&sides, &truth, key, &mut rng, &hits);
                    within(MINUTE, round).await.unwrap_or_else(|stale| panic!("round {number}: {stale}"));
                }
            })
        };
        let workers: Vec<_> = (0..KEYS).map(worker).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let hits = hits.load(Ordering::SeqCst);
        println!("{rounds} rounds, 0 stale values, {hits} values read after a change");
        assert!(hits > rounds, "too few values were read for this to mean anything");
    }
}

async fn round(
    sides: &Arc<Vec<Side>>,
    truth: &cenote_pool_core::Pool,
    key: u64,
    rng: &mut fastrand::Rng,
    hits: &AtomicU64,
) -> Result<(), String> {
    if rng.u8(..4) > 0 {
        // So that there is something to load.
        sides[0].ask(&format!("remove {key}")).await;
    }
    let load = |side: usize, seed: u64| {
        let sides = sides.clone();
        async move { sides[side].ask(&format!("load {key} {seed}")).await }
    };
    let loads: Vec<_> =
        (0..rng.usize(1..4)).map(|_| tokio::spawn(load(rng.usize(..sides.len()), rng.u64(..)))).collect();
    for _ in 0..rng.u32(..6) {
        let _: () = truth.conn().ping().await.unwrap();
    }
    let number: u64 = truth.conn().incr(key, 1).await.unwrap();
    let change = match rng.u8(..8) {
        0 | 1 => format!("put {key} {number}"),
        2 | 3 => format!("remove {key}"),
        4..7 => format!("remove_tag {key}"),
        _ => "clear".to_owned(),
    };
    let writer = rng.usize(..sides.len());
    assert_eq!(sides[writer].ask(&change).await, "Applied");
    let check = |when: &str, reply: String| {
        let value = reply.split(' ').next().unwrap();
        let Ok(value) = value.parse::<u64>() else { return Ok(()) };
        hits.fetch_add(1, Ordering::Relaxed);
        if value >= number { Ok(()) } else { Err(format!("{change}, now {number}: {value} was read {when}")) }
    };
    for side in sides.iter() {
        check("after it", side.ask(&format!("get {key}")).await)?;
    }
    check("loaded after it", load(writer, rng.u64(..)).await)?;
    for load in loads {
        load.await.unwrap();
    }
    for index in 0..sides.len() {
        check("at the end", sides[index].ask(&format!("get {key}")).await)?;
        check("loaded at the end", load(index, rng.u64(..)).await)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_undoes_a_change_of_another_real_process() {
    let group = Group::new();
    let sides = vec![group.here(60_000), group.there(60_000, &[]), group.there(60_000, &[])];
    group.run(sides, if is_long() { 1_000 } else { 250 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_that_is_an_hour_wrong_undoes_nothing_and_makes_nothing_older_or_younger() {
    let dir = tempfile::tempdir().unwrap();
    let Some(shim) = shim(dir.path()) else { return };
    let shim = shim.to_str().unwrap();
    let group = Group::new();
    let wrong = |ttl, seconds| group.there(ttl, &[("LD_PRELOAD", shim), ("CENOTE_TEST_DATE", seconds)]);
    let right = group.here(60_000);
    let now: i64 = right.ask("date").await.parse().unwrap();
    for (key, (seconds, expected)) in [("3600", 3_600), ("-3600", -3_600)].into_iter().enumerate() {
        // The first thing that either does is to write: it has not asked the server for the time by then.
        let (first, second) = (wrong(60_000, seconds), wrong(60_000, seconds));
        let date: i64 = first.ask("date").await.parse().unwrap();
        assert!((date - now - expected).abs() < 600, "the date is not wrong: {date} and {now}");
        let [put, put_here, loaded] = [10, 20, 30].map(|tens| tens + key);
        assert_eq!(first.ask(&format!("put {put} 1")).await, "Applied");
        is_fresh_and_young(&right, put).await;
        assert_eq!(right.ask(&format!("put {put_here} 1")).await, "Applied");
        is_fresh_and_young(&second, put_here).await;
        let _: () = patient(group.truth.url()).conn().set(loaded, 1).await.unwrap();
        assert_eq!(second.ask(&format!("load {loaded} 0")).await, "1");
        is_fresh_and_young(&right, loaded).await;
        // And what is short-lived ends in time, everywhere.
        let brief = wrong(300, seconds);
        assert_eq!(brief.ask("put 40 1").await, "Applied");
        for side in [&right, &first, &brief] {
            eventually_async(SOON, "it is stale", || async { side.ask("get 40").await.contains("stale") })
                .await;
        }
    }
    let sides = vec![right, wrong(60_000, "3600"), wrong(60_000, "-3600")];
    group.run(sides, if is_long() { 500 } else { 150 }).await;
}

async fn is_fresh_and_young(side: &Side, key: usize) {
    let reply = side.ask(&format!("get {key}")).await;
    let words: Vec<&str> = reply.split(' ').collect();
    assert_eq!(words[..2], ["1", "fresh"], "{reply}");
    assert!(words[2].parse::<u64>().unwrap() < 30_000, "{reply}");
}

/// A library that gives whoever loads it first another date, and the same clock otherwise.
fn shim(dir: &Path) -> Option<PathBuf> {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t id, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, id, now);
            const char *wrong = getenv("CENOTE_TEST_DATE");
            if (result == 0 && wrong && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
                now->tv_sec += atol(wrong);
            return result;
        }
    "#;
    let not_run = |why: &str| {
        println!("not run: a process with a wrong date needs {why}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"));
        None
    };
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return not_run("a 64-bit Linux");
    }
    let (source, shim) = (dir.join("date.c"), dir.join("date.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    match compiled {
        Ok(status) if status.success() => Some(shim),
        _ => not_run("a C compiler called cc"),
    }
}

/// Another process writes, this one has an L1; connections die, and everything is flushed now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_follows_the_writes_of_another_real_process() {
    let group = Group::new();
    let pool = patient(group.server.url());
    let reader: Cache<u64, u64> = Cache::builder(&pool, "n").ttl(MINUTE).l1(100, 1 << 20).build().unwrap();
    let writer = group.there(60_000, &[]);
    let observer = group.server.observer();
    let (mut rng, mut from_l1) = (fastrand::Rng::with_seed(seed()), 0);
    let rounds = if is_long() { 5_000 } else { 500 };
    let seen: [AtomicU64; 4] = Default::default();
    for round in 1..=rounds {
        let key = rng.u64(..4);
        if round % 20 == 0 {
            disturb(&observer, &mut rng);
        }
        // Only what was acknowledged is sure to be there; the connection may have died under it.
        let applied = writer.ask(&format!("put {key} {round}")).await == "Applied";
        eventually_async(SOON, "the write is seen", || {
            let (reader, seen) = (&reader, &seen);
            async move {
                let found = reader.get(&key).await.unwrap();
                let Some(value) = found.value().map(|value| **value) else { return true };
                let before = seen[key as usize].fetch_max(value, Ordering::SeqCst);
                assert!(value >= before, "round {round}: {value} was read after {before}");
                !applied || value == round
            }
        })
        .await;
        if round % 40 == 39 {
            // Some of it must happen while nothing is being repaired.
            let known = || async { reader.get(&key).await.unwrap().tier() == Tier::L1 };
            eventually_async(SOON, "L1 answers again", known).await;
        }
        from_l1 += u32::from(reader.get(&key).await.unwrap().tier() == Tier::L1);
    }
    println!("{rounds} rounds, {from_l1} of them with an answer of L1");
    // That L1 answered at all; on a busy machine what Redis tells comes late.
    assert!(from_l1 > rounds as u32 / 50, "{from_l1} of {rounds}");
}

fn disturb(observer: &Observer, rng: &mut fastrand::Rng) {
    let ids = observer.client_ids();
    if rng.u8(..4) == 0 {
        observer.get::<()>(&["FLUSHALL"]);
    } else if !ids.is_empty() {
        let _ = observer.command(&["CLIENT", "KILL", "ID", &ids[rng.usize(..ids.len())].to_string()]);
    }
}
