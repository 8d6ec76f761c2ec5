//! A real master is killed under load, and its replica takes its place.
//!
//! What is held of writes, of which each has a token of its own: one that was answered is in the old master's file, and
//! in the new master's data if the replica had acknowledged it; one that was reported as not sent is in neither; and
//! none is in the new master's data that the old one had executed and not yet passed on, so none was sent twice. Redis
//! replicates asynchronously: what the old master acknowledged in its last moment may be lost, and no client can help it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Error, Event, Outcome, Pool, Source, State};
use cenote_testkit::{Sentinels, Watchdog, eventually_async, is_long, within};
use redis::AsyncCommands;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);
/// Tasks that write through shared connections, each with one call under way.
const TASKS: usize = 16;
/// How soon after the new master is announced writes succeed.
const RESUMED: Duration = Duration::from_secs(2);
/// After so long the sentinels take a master for dead.
const SILENCE: Duration = Duration::from_millis(600);
/// While none is to die.
const FOR_EVER: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Answered,
    NotSent,
    Perhaps,
}

#[derive(Debug, Clone)]
struct Write {
    token: String,
    began: Instant,
    ended: Instant,
    fate: Fate,
    /// The replica had it before the next one was sent.
    replicated: bool,
}

struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<Write>>>,
}

impl Load {
    fn start(pool: &Pool) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(write(pool.clone(), task, stop.clone(), answered.clone())))
            .collect();
        tasks.push(tokio::spawn(write_and_wait(pool.clone(), stop.clone())));
        Self { stop, answered, tasks }
    }

    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually_async(SOON, "writes are answered", || async {
            self.answered.load(Ordering::Relaxed) > before + 500
        })
        .await;
    }

    /// What each task wrote, in its order.
    async fn end(self) -> Vec<Vec<Write>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(within(SOON, task).await.unwrap());
        }
        all
    }
}

fn fate(error: &redis::RedisError) -> Fate {
    match Error::from_redis(error).map(Error::outcome) {
        Some(Outcome::NotSent) => Fate::NotSent,
        Some(Outcome::MayHaveExecuted) => Fate::Perhaps,
        // A master that was just made a replica.
        _ if error.code() == Some("READONLY") => Fate::NotSent,
        other => panic!("{other:?}: {error}"),
    }
}

async fn write(pool: Pool, task: usize, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Vec<Write> {
    let mut conn = pool.conn();
    let mut writes = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (token, began) = (format!("{task}-{}", writes.len()), Instant::now());
        let result = conn.rpush::<_, _, i64>("log", &token).await;
        let fate = result.map_or_else(|error| fate(&error), |_| Fate::Answered);
        writes.push(Write { token, began, ended: Instant::now(), fate, replicated: false });
        match fate {
            Fate::Answered => _ = answered.fetch_add(1, Ordering::Relaxed),
            Fate::NotSent | Fate::Perhaps => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    writes
}

/// On an exclusive connection, and only `WAIT` tells what the replica has.
async fn write_and_wait(pool: Pool, stop: Arc<AtomicBool>) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut conn) = pool.dedicated().await else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        loop {
            let (token, began) = (format!("exclusive-{}", writes.len()), Instant::now());
            let result = conn.rpush::<_, _, i64>("log", &token).await;
            let fate = result.map_or_else(|error| fate(&error), |_| Fate::Answered);
            let replicas = redis::cmd("WAIT").arg(1).arg(50).query_async::<i64>(&mut conn).await;
            let replicated = fate == Fate::Answered && matches!(replicas, Ok(1..));
            writes.push(Write { token, began, ended: Instant::now(), fate, replicated });
            if fate != Fate::Answered || replicas.is_err() || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    writes
}

fn log_of(set: &Sentinels, node: SocketAddr) -> Vec<String> {
    set.node(node).observer().get(&["LRANGE", "log", "0", "-1"])
}

/// The end of a master: it was there until `struck`, and no longer from `gone` on.
#[derive(Debug, Clone, Copy)]
struct End {
    struck: Instant,
    gone: Instant,
}

/// What became of the writes of one failover. `old` is all that the old master had executed.
fn judge(tasks: &[Vec<Write>], old: &[String], new: &[String], end: End) -> String {
    let unique = |list: &[String]| list.iter().cloned().collect::<HashSet<String>>();
    let (in_old, in_new) = (unique(old), unique(new));
    assert_eq!((in_old.len(), in_new.len()), (old.len(), new.len()), "a token is there twice");
    let passed_on = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let again: Vec<_> = new[passed_on..].iter().filter(|token| in_old.contains(*token)).collect();
    assert!(again.is_empty(), "sent again to the new master: {again:?}");

    let mut lost = 0;
    let mut count = HashMap::new();
    for writes in tasks {
        let mut tail = false;
        for Write { token, began, ended, fate, replicated } in writes {
            *count.entry(*fate).or_insert(0usize) += 1;
            match fate {
                Fate::NotSent => {
                    assert!(!in_old.contains(token) && !in_new.contains(token), "{token} was sent");
                }
                Fate::Perhaps => {}
                Fate::Answered if *began > end.gone => assert!(in_new.contains(token), "{token} is lost"),
                Fate::Answered => {
                    assert!(in_old.contains(token) || in_new.contains(token), "{token} was never executed");
                    assert!(!replicated || in_new.contains(token), "{token} had reached the replica");
                    if *ended < end.struck {
                        // What is lost of each task is its last, as the replica has what came before something.
                        tail |= !in_new.contains(token);
                        assert!(
                            !tail || !in_new.contains(token),
                            "{token} is there and one before it is not"
                        );
                    }
                    lost += usize::from(!in_new.contains(token));
                }
            }
        }
    }
    let perhaps = count.get(&Fate::Perhaps).copied().unwrap_or_default();
    // Only what was under way can be in doubt: no call whose reply had come is.
    assert!(perhaps <= TASKS + 1, "{perhaps} calls are in doubt, and fewer were under way");
    let of = |fate| count.get(&fate).copied().unwrap_or_default();
    format!(
        "{} answered, {} not sent, {perhaps} in doubt; {lost} answered ones the replica never had",
        of(Fate::Answered),
        of(Fate::NotSent)
    )
}

/// When the first write after this was answered.
fn resumed_at(tasks: &[Vec<Write>], gone: Instant) -> Instant {
    let answered = tasks.iter().flatten().filter(|it| it.fate == Fate::Answered && it.began > gone);
    answered.map(|it| it.ended).min().expect("writes were answered again")
}

/// How much later than `then` it was, in seconds.
fn later(at: Instant, then: Instant) -> f64 {
    match at.checked_duration_since(then) {
        Some(later) => later.as_secs_f64(),
        None => -(then - at).as_secs_f64(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_killed_under_load_and_all_kinds_of_connections_go_on_at_the_new_one() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let set = Sentinels::builder().persistent().start();
    let pool = Pool::builder().url(set.url()).fallback(FallbackLru::default()).build().unwrap();
    pool.start().await.unwrap();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    let mut soft = pool.degradable().unwrap();
    let mut epochs = pool.epochs();
    epochs.mark_unchanged();
    // What the outage overwrites is at the replica, too.
    let mut held = pool.dedicated().await.unwrap();
    let () = held.set("flag", "before").await.unwrap();
    let wait = redis::cmd("WAIT").arg(1).arg(0).query_async::<i64>(&mut held).await;
    assert_eq!(wait.unwrap(), 1, "the replica has it");
    drop(held);
    assert_eq!(pool.conn().publish::<_, _, i64>("news", "before").await.unwrap(), 1);
    assert!(
        matches!(within(SOON, subscriber.next()).await, Some(Event::Message(it)) if it.payload() == b"before")
    );

    let load = Load::start(&pool);
    load.goes_on().await;
    let old = set.master().addr();
    let struck = Instant::now();
    set.node(old).kill();
    let end = End { struck, gone: Instant::now() };
    set.be_patient_for(SILENCE);
    let mut overwrite = redis::cmd("SET");
    overwrite.arg("flag").arg("meanwhile");
    assert_eq!(within(SOON, soft.query(&overwrite)).await.unwrap().source, Source::Fallback);
    eventually_async(SOON, "a failover", || async { !set.switches().is_empty() }).await;
    let switch = set.switches()[0].clone();
    set.be_patient_for(FOR_EVER);
    load.goes_on().await;
    eventually_async(SOON, "the pool is ready", || async { pool.state() == State::Ready }).await;

    let told = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            match subscriber.next().await {
                Some(Event::Gap) => seen.push("a gap".to_owned()),
                Some(Event::Message(it)) => {
                    seen.push(String::from_utf8_lossy(it.payload()).into_owned());
                    return seen;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    eventually_async(SOON, "a message after the failover", || async {
        let _ = pool.conn().publish::<_, _, i64>("news", "after").await;
        told.is_finished()
    })
    .await;
    assert_eq!(told.await.unwrap(), ["a gap", "after"]);

    eventually_async(SOON, "the outage's writes are forgotten", || async { !pool.journal_status().local })
        .await;
    assert!(epochs.borrow_and_update().server_changed, "the epoch tells of another server");
    let flag = soft.query(redis::cmd("GET").arg("flag")).await.unwrap();
    assert_eq!((flag.source, flag.value), (Source::Redis, redis::Value::Nil));

    let status = pool.status();
    assert_eq!(
        (status.node, status.server_role.as_deref()),
        (Some(switch.master.to_string()), Some("master"))
    );
    let tasks = load.end().await;
    within(SOON, pool.close()).await;
    let new = log_of(&set, switch.master);
    // Nobody shall make the old master a replica before it is read.
    set.sentinels().iter().for_each(cenote_testkit::Server::kill);
    set.node(old).restart();
    let figures = judge(&tasks, &log_of(&set, old), &new, end);

    let resumed = later(resumed_at(&tasks, end.gone), switch.at);
    println!(
        "another master is announced {:.3} s after the kill, and a write answered {resumed:.3} s after that; {figures}",
        later(switch.at, end.gone)
    );
    assert!(resumed <= RESUMED.as_secs_f64(), "writes resume within two seconds");
}

/// Killed, stopped, and told to step down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_of_all_kinds_in_a_row_each_let_writes_resume_and_send_none_twice() {
    // The last master is killed: one that steps down still takes writes for a moment, and forgets them.
    let rounds = if is_long() { 12 } else { 3 };
    let _watchdog = Watchdog::new(Duration::from_secs(600));
    let set = Sentinels::start();
    let pool = Pool::builder().url(set.url()).socket_timeout(Duration::from_secs(30)).build().unwrap();
    let load = Load::start(&pool);
    let mut ends = Vec::new();
    for round in 0..rounds {
        load.goes_on().await;
        let (old, before) = (set.master().addr(), set.switches().len());
        let struck = Instant::now();
        match round % 3 {
            0 => step_down(&set).await,
            1 => set.node(old).freeze(),
            _ => set.node(old).kill(),
        }
        set.be_patient_for(SILENCE);
        let gone = Instant::now();
        let announced = || set.switches().into_iter().skip(before).find(|switch| switch.master != old);
        eventually_async(SOON, "a failover", || async { announced().is_some() }).await;
        let switch = announced().unwrap();
        set.be_patient_for(FOR_EVER);
        load.goes_on().await;
        ends.push((End { struck, gone: gone.max(switch.at) }, switch.at));
        if round % 3 == 1 {
            set.node(old).thaw();
        }
        set.heal();
    }
    load.goes_on().await;
    let tasks = load.end().await;
    within(SOON, pool.close()).await;
    let log = log_of(&set, set.switches().last().unwrap().master);
    let kept: HashSet<&String> = log.iter().collect();
    assert_eq!(kept.len(), log.len(), "a token is there twice");
    let last = ends.last().unwrap().0.gone;
    let mut count = [0usize; 3];
    for Write { token, began, fate, replicated, .. } in tasks.iter().flatten() {
        count[*fate as usize] += 1;
        match fate {
            Fate::Answered => {
                assert!(kept.contains(token) || !(*replicated || *began > last), "{token} is lost");
            }
            Fate::NotSent => assert!(!kept.contains(token), "{token} was sent"),
            Fate::Perhaps => {}
        }
    }
    let [answered, not_sent, perhaps] = count;
    assert!(perhaps <= rounds * (TASKS + 1), "{perhaps} calls are in doubt, and fewer were under way");
    let resumed: Vec<_> = ends
        .iter()
        .map(|(end, announced)| later(resumed_at(&tasks, end.struck.max(*announced)), *announced))
        .collect();
    println!(
        "{answered} answered, {not_sent} not sent, {perhaps} in doubt; after the announcement {resumed:.3?} s"
    );
    assert!(resumed.iter().all(|resumed| *resumed <= RESUMED.as_secs_f64()), "{resumed:?}");
}

/// A sentinel refuses while it remembers the failover before.
async fn step_down(set: &Sentinels) {
    eventually_async(SOON, "a sentinel begins a failover", || async {
        set.sentinels()[0].observer().command(&["SENTINEL", "FAILOVER", set.master_name()]).is_ok()
    })
    .await;
}
