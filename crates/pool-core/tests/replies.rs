//! A reply reaches its own caller or nobody; an outcome is what happened. All of it however the server is reached.

mod reach;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use cenote_pool_core::{Conn, Error, Outcome, Pool, State};
use cenote_testkit::{Proxy, Server, Watchdog, seed, within};
use redis::{AsyncCommands, RedisError};

use reach::{Reach, Road};

const COMMANDS: usize = 1_000_000;
const TASKS: usize = 128;
const KILLS: usize = 5;

/// A small generator, so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

#[derive(Default)]
struct Tally {
    issued: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    cancelled: AtomicUsize,
    wrong: AtomicUsize,
}

/// Polls the call a few times and then drops it: before it was enqueued (no poll), queued (one poll), written
/// or in the middle of its reply (more, with the other tasks let run in between).
async fn cancel<F: Future>(call: F, polls: u64) {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        let done = poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// One call of one or several commands, each with a payload nobody else has.
async fn call(conn: &mut Conn, shape: u64, payloads: &[String]) -> Result<Vec<String>, RedisError> {
    if shape == 0 {
        return redis::cmd("ECHO").arg(&payloads[0]).query_async(conn).await.map(|one| vec![one]);
    }
    let mut pipeline = redis::pipe();
    if shape == 2 {
        pipeline.atomic();
    }
    for payload in payloads {
        pipeline.cmd("ECHO").arg(payload);
    }
    pipeline.query_async(conn).await
}

async fn work(task: usize, pool: Pool, tally: Arc<Tally>, commands: usize, seed: u64) {
    let mut random = Random(seed ^ (task as u64) << 32);
    let mut conn = pool.conn();
    let mut states = pool.state_changes();
    let mut n = 0u64;
    loop {
        // A third of the commands go in pipelines of five, half of those atomic.
        let (shape, count) = match random.next(22) {
            0 => (1, 5),
            1 => (2, 5),
            _ => (0, 1),
        };
        let issued = tally.issued.fetch_add(count, Ordering::Relaxed);
        if issued >= commands {
            return;
        }
        // Now and then a reply that takes several reads to arrive.
        let long = " ".repeat(if random.next(500) == 0 { 200_000 } else { 0 });
        let payloads: Vec<String> = (0..count).map(|i| format!("{task}:{n}:{i}:{long}")).collect();
        n += 1;
        if random.next(3) == 0 {
            tally.cancelled.fetch_add(count, Ordering::Relaxed);
            let polls = random.next(6);
            cancel(call(&mut conn, shape, &payloads), polls).await;
            continue;
        }
        match call(&mut conn, shape, &payloads).await {
            Ok(replies) if replies == payloads => {
                tally.answered.fetch_add(count, Ordering::Relaxed);
            }
            Ok(_) => {
                tally.wrong.fetch_add(count, Ordering::Relaxed);
            }
            Err(_) => {
                tally.failed.fetch_add(count, Ordering::Relaxed);
                // While it is away there is nothing to test: wait for its return.
                let _ = states.wait_for(|state| *state == State::Ready).await;
                conn = pool.conn();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_commands_cancelled_at_every_stage_through_five_kills_never_cross() {
    commands_cancelled_at_every_stage_through_five_kills_never_cross(Reach::Plain, COMMANDS).await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_over_tls_cancelled_at_every_stage_through_five_kills_never_cross() {
    let commands = if cenote_testkit::is_long() { COMMANDS } else { COMMANDS / 5 };
    commands_cancelled_at_every_stage_through_five_kills_never_cross(Reach::Tls, commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_through_sentinel_cancelled_at_every_stage_through_five_kills_never_cross() {
    let commands = if cenote_testkit::is_long() { COMMANDS } else { COMMANDS / 5 };
    commands_cancelled_at_every_stage_through_five_kills_never_cross(Reach::Sentinel, commands).await;
}

async fn commands_cancelled_at_every_stage_through_five_kills_never_cross(reach: Reach, commands: usize) {
    let _watchdog = Watchdog::new(Duration::from_secs(400));
    let seed = seed();
    let road = Road::new(reach);
    let server = Arc::new(road.start(Server::builder()));
    let pool = road.pool(road.port(&server)).build().unwrap();
    let tally = Arc::new(Tally::default());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(work(task, pool.clone(), tally.clone(), commands, seed)))
        .collect();
    let killer = {
        let (server, tally) = (server.clone(), tally.clone());
        std::thread::spawn(move || {
            let mut reached = 0;
            for kill in 1..=KILLS {
                let at = commands / (KILLS + 1) * kill;
                cenote_testkit::eventually(Duration::from_secs(300), "the work goes on", || {
                    tally.issued.load(Ordering::Relaxed) >= at
                });
                reached += server.observer().calls("echo");
                server.kill();
                server.restart();
            }
            reached
        })
    };
    for task in tasks {
        task.await.unwrap();
    }
    let reached = killer.join().unwrap() + server.observer().calls("echo");
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "seed {seed}: {} answered, {} failed, {} cancelled; {reached} reached the server",
        count(&tally.answered),
        count(&tally.failed),
        count(&tally.cancelled),
    );
    assert_eq!(count(&tally.wrong), 0, "seed {seed}: replies that were another's");
    assert!(count(&tally.cancelled) >= commands * 3 / 10);
    assert!(reached >= commands as u64 * 7 / 10, "{reached} reached the server");
    assert!(count(&tally.answered) >= commands / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_reported_not_sent_was_stored_and_every_id_answered_was() {
    outcomes_are_what_happened(Reach::Plain).await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_no_id_reported_not_sent_was_stored_and_every_id_answered_was() {
    outcomes_are_what_happened(Reach::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_sentinel_no_id_reported_not_sent_was_stored_and_every_id_answered_was() {
    outcomes_are_what_happened(Reach::Sentinel).await;
}

async fn outcomes_are_what_happened(reach: Reach) {
    let _watchdog = Watchdog::new(Duration::from_secs(200));
    let road = Road::new(reach);
    let server = road.start(Server::builder());
    let proxy = Proxy::start(road.port(&server));
    let pool = road.pool(proxy.addr()).max_retries(0).build().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (pool, next, ended) = (pool.clone(), next.clone(), ended.clone());
            tokio::spawn(async move {
                let mut conn = pool.conn();
                let mut states = pool.state_changes();
                let (mut answered, mut not_sent, mut perhaps) = (Vec::new(), Vec::new(), 0);
                while !ended.load(Ordering::Relaxed) {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    match conn.sadd::<_, _, i64>("ids", id).await {
                        Ok(1) => answered.push(id),
                        Ok(other) => panic!("id {id} was added {other} times"),
                        Err(error) => {
                            match Error::from_redis(&error).map(Error::outcome) {
                                Some(Outcome::NotSent) => not_sent.push(id),
                                Some(Outcome::MayHaveExecuted) => perhaps += 1,
                                other => panic!("{other:?}: {error}"),
                            }
                            let _ = states.wait_for(|state| *state == State::Ready).await;
                        }
                    }
                }
                (answered, not_sent, perhaps)
            })
        })
        .collect();
    for cut in 1..=60 {
        let before = next.load(Ordering::Relaxed);
        within(
            Duration::from_secs(30),
            cenote_testkit::eventually_async(Duration::from_secs(30), "work between the cuts", || async {
                next.load(Ordering::Relaxed) > before + 500
            }),
        )
        .await;
        if cut % 3 == 0 { proxy.truncate_reply_after(37) } else { proxy.cut() }
    }
    ended.store(true, Ordering::Relaxed);
    let (mut answered, mut not_sent, mut perhaps) = (Vec::new(), Vec::new(), 0);
    for task in tasks {
        let (ok, unsent, unknown) = task.await.unwrap();
        answered.extend(ok);
        not_sent.extend(unsent);
        perhaps += unknown;
    }
    let members: std::collections::HashSet<u64> =
        server.observer().get::<Vec<u64>>(&["SMEMBERS", "ids"]).into_iter().collect();
    println!("{} answered, {} not sent, {perhaps} perhaps", answered.len(), not_sent.len());
    assert!(answered.iter().all(|id| members.contains(id)), "an answered id is missing");
    assert!(not_sent.iter().all(|id| !members.contains(id)), "an id reported not sent was stored");
    assert!(answered.len() > 10_000 && perhaps > 20, "the cuts hit something");
}

#[tokio::test]
async fn a_write_whose_reply_is_cut_is_not_replayed_and_a_read_is() {
    only_a_read_is_replayed(Reach::Plain).await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn over_tls_a_write_whose_reply_is_cut_is_not_replayed_and_a_read_is() {
    only_a_read_is_replayed(Reach::Tls).await;
}

#[tokio::test]
async fn through_sentinel_a_write_whose_reply_is_cut_is_not_replayed_and_a_read_is() {
    only_a_read_is_replayed(Reach::Sentinel).await;
}

async fn only_a_read_is_replayed(reach: Reach) {
    let road = Road::new(reach);
    let server = road.start(Server::builder());
    let proxy = Proxy::start(road.port(&server));
    let pool = road.pool(proxy.addr()).build().unwrap();
    let mut conn = pool.conn();
    let () = conn.set("k", "v").await.unwrap();

    proxy.cut_next_reply();
    let error = conn.incr::<_, _, i64>("n", 1).await.unwrap_err();
    assert_eq!(Error::from_redis(&error).unwrap().outcome(), Outcome::MayHaveExecuted, "{error}");
    assert_eq!(server.observer().get::<i64>(&["GET", "n"]), 1);

    assert_eq!(conn.get::<_, String>("k").await.unwrap(), "v");
    proxy.cut_next_reply();
    let before = server.observer().calls("get");
    assert_eq!(conn.get::<_, String>("k").await.unwrap(), "v");
    assert_eq!(server.observer().calls("get") - before, 2, "the first GET was cut, the second answered");

    let _: String = redis::cmd("PING").query_async(&mut conn).await.unwrap();
    proxy.cut_next_reply();
    let mut pipeline = redis::pipe();
    pipeline.get("k").incr("n", 1);
    let error = pipeline.query_async::<redis::Value>(&mut conn).await.unwrap_err();
    assert_eq!(Error::from_redis(&error).unwrap().outcome(), Outcome::MayHaveExecuted, "{error}");
    assert_eq!(server.observer().get::<i64>(&["GET", "n"]), 2, "one write in a pipeline makes it a write");
}
