//! Ten thousand commands a second, and every second all connections are ended: what that leaves behind is nothing.
//! A minute of it when there is time, else a few seconds.

use std::alloc::System;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Observer, Server, Watchdog, eventually_async, is_long, within};
use redis::AsyncCommands;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SOON: Duration = Duration::from_secs(30);
const LANES: usize = 4;
const TASKS: u64 = 20;
/// Commands of a task in one turn, and how long a turn is.
const BATCH: usize = 10;
const TURN: Duration = Duration::from_millis(20);
/// What may be on the heap beside what was there before: the pool remembers the last 256 connections that were lost
/// with calls under way. In a minute half a kilobyte for each reconnect would be more.
const HEAP_KB: usize = 128;

#[derive(Debug, Clone, Copy)]
struct Measure {
    sockets: usize,
    tasks: usize,
    heap_kb: usize,
    resident_kb: usize,
}

impl Measure {
    fn take() -> Self {
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let stats = ALLOCATOR.stats();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        Self {
            sockets: open.filter(|target| target.to_string_lossy().starts_with("socket:")).count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            heap_kb: stats.bytes_allocated.saturating_sub(stats.bytes_deallocated) / 1_024,
            resident_kb: resident.and_then(|kb| kb.parse().ok()).unwrap_or_default(),
        }
    }

    /// What the allocator keeps of what it was given back is not ours to say.
    fn is_within(&self, before: &Self) -> bool {
        self.sockets <= before.sockets
            && self.tasks <= before.tasks
            && self.heap_kb <= before.heap_kb + HEAP_KB
            && self.resident_kb <= before.resident_kb + before.resident_kb / 10 + 8_192
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets, tasks, heap_kb, resident_kb } = self;
        write!(f, "{sockets} sockets, {tasks} tasks, {heap_kb} kB of heap, {resident_kb} kB resident")
    }
}

#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    failed: AtomicUsize,
}

/// Keeps its pace whatever happens. What fails was lost with its connection.
async fn work(pool: Pool, task: u64, over: Arc<AtomicBool>, tally: Arc<Tally>) {
    let mut conn = pool.conn();
    let mut pace = tokio::time::interval(TURN);
    while !over.load(Ordering::Relaxed) {
        pace.tick().await;
        let mut pipeline = redis::pipe();
        for n in 0..BATCH / 2 {
            pipeline.set(format!("{task}:{n}"), n).ignore();
        }
        let mut done = vec![pipeline.exec_async(&mut conn).await; BATCH / 2];
        for n in 0..BATCH / 2 {
            done.push(conn.get::<_, Option<usize>>(format!("{task}:{n}")).await.map(drop));
        }
        for result in done {
            match result {
                Ok(()) => tally.answered.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    let outcome = Error::from_redis(&error).map(Error::outcome);
                    assert!(matches!(outcome, Some(Outcome::NotSent | Outcome::MayHaveExecuted)), "{error}");
                    tally.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    }
}

/// With nobody at work, every lane there and all that was ended gone.
async fn at_rest(pool: &Pool, server: &Observer, bound: Option<&Measure>) -> Measure {
    let give_up = Instant::now() + SOON;
    loop {
        pool.conn().ping::<()>().await.unwrap();
        let now = Measure::take();
        if server.client_count() == LANES && bound.is_none_or(|bound| now.is_within(bound)) {
            return now;
        }
        assert!(Instant::now() < give_up, "now {now}; before {bound:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_commands_a_second_and_a_reconnect_every_second_leave_nothing_behind() {
    let seconds = if is_long() { 60 } else { 3 };
    let _watchdog = Watchdog::new(Duration::from_secs(seconds + 120));
    let server = Server::start();
    let observer = server.observer();
    let pool = Pool::builder().url(server.url()).shared_connections(LANES).build().unwrap();
    let (over, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    let run = async |seconds: u64| {
        over.store(false, Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(pool.clone(), task, over.clone(), tally.clone()));
        }
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(observer.get::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]) >= 1);
        }
        let reconnects = pool.status().reconnects;
        eventually_async(SOON, "all goes on", || async {
            pool.status().reconnects >= reconnects && pool.conn().ping::<()>().await.is_ok()
        })
        .await;
        over.store(true, Ordering::Relaxed);
        while let Some(done) = within(SOON, tasks.join_next()).await {
            done.unwrap();
        }
    };
    // All that is made once is made now.
    run(2).await;
    let before = at_rest(&pool, &observer, None).await;
    tally.answered.store(0, Ordering::Relaxed);
    tally.failed.store(0, Ordering::Relaxed);
    let began = Instant::now();
    run(seconds).await;
    let took = began.elapsed().as_secs_f64();
    let after = at_rest(&pool, &observer, Some(&before)).await;
    let (answered, failed) = (tally.answered.load(Ordering::Relaxed), tally.failed.load(Ordering::Relaxed));
    println!(
        "{:.0} commands a second for {took:.1} s: {answered} answered, {failed} lost with a connection, {} reconnects\n\
         before: {before}\nafter:  {after}",
        (answered + failed) as f64 / took,
        pool.status().reconnects
    );
    // A machine that does other things besides may lose some of the pace, of a few seconds half.
    let pace = if is_long() { 9_000 } else { 5_000 };
    assert!(answered >= pace * seconds as usize, "{answered} answered");
    assert!(pool.status().reconnects >= seconds);
}
