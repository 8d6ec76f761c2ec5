//! Credentials that change while the master does. Those of the nodes come from a provider, and the sentinels have a login
//! of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cenote_pool_core::{Credentials, Error, Event, Outcome, Pool, RotatingCredentials};
use cenote_testkit::{Observer, Sentinels, Server, Watchdog, eventually, eventually_async};
use redis::{AsyncCommands, RedisError, Value};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(30);

/// Each node has its own users: neither tells the other.
fn add_user(node: &Observer, n: usize) {
    let (name, password) = user(n);
    node.get::<()>(&["ACL", "SETUSER", &name, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
}

fn end_user(node: &Observer, n: usize) {
    assert_eq!(node.get::<i64>(&["ACL", "DELUSER", &user(n).0]), 1);
}

fn user(n: usize) -> (String, String) {
    (format!("app{n}"), format!("app{n}-pw"))
}

fn credentials(n: usize) -> Credentials {
    let (name, password) = user(n);
    Credentials::user(name, password)
}

/// Of the pool, as whom each is logged in: replicas and sentinels have the one other user.
fn ours(node: &Observer) -> Vec<String> {
    let names = node.clients().into_iter().filter_map(|client| client.get("user").cloned());
    names.filter(|name| name.starts_with("app")).collect()
}

fn all_are(node: &Observer, n: usize) -> bool {
    let ours = ours(node);
    !ours.is_empty() && ours.iter().all(|name| *name == user(n).0)
}

/// Workers, of which none may fail a call that begins and ends in calm.
#[derive(Clone, Default)]
struct Watch {
    moving: Arc<AtomicBool>,
    /// How often each has succeeded.
    turns: Arc<[AtomicUsize; 4]>,
}

impl Watch {
    fn is_calm(&self) -> bool {
        !self.moving.load(Ordering::SeqCst)
    }

    /// What may become of a call while the master changes. Nothing of that is a matter of who we are.
    fn tolerate(&self, was_calm: bool, error: &RedisError) {
        let left = !matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
        let outcome = Error::from_redis(error).map(Error::outcome);
        let moved = error.code() == Some("READONLY")
            || matches!(outcome, Some(Outcome::NotSent | Outcome::MayHaveExecuted));
        assert!(left && moved && !(was_calm && self.is_calm()), "{error}");
    }

    async fn all_go_on(&self, tasks: &mut JoinSet<()>) {
        let before = self.turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
        let all = async {
            while !self.turns.iter().zip(before).all(|(turns, n)| turns.load(Ordering::Relaxed) >= n + 3) {
                if let Some(Err(failed)) = tasks.try_join_next() {
                    panic!("{failed}");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let done = tokio::time::timeout(SOON, all).await;
        assert!(done.is_ok(), "one of them stands still: {before:?}, then {:?}", self.turns);
    }
}

async fn shared(pool: Pool, watch: Watch) {
    let mut conn = pool.conn();
    loop {
        let calm = watch.is_calm();
        match conn.incr::<_, _, i64>("n", 1).await {
            Ok(_) => _ = watch.turns[0].fetch_add(1, Ordering::Relaxed),
            Err(error) => watch.tolerate(calm, &error),
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn exclusive(pool: Pool, watch: Watch) {
    loop {
        let calm = watch.is_calm();
        let mut conn = match pool.dedicated().await {
            Ok(conn) => conn,
            Err(error) => {
                watch.tolerate(calm, &error.into());
                // It fails at the first poll while Redis is away: without a pause nothing else had its turn.
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        for _ in 0..20 {
            let calm = watch.is_calm();
            match conn.blpop::<_, Value>("nothing", 0.01).await {
                Ok(none) => assert_eq!(none, Value::Nil),
                Err(error) => {
                    watch.tolerate(calm, &error);
                    break;
                }
            }
            watch.turns[1].fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn publishing(pool: Pool, watch: Watch) {
    let mut conn = pool.conn();
    for n in 0_u64.. {
        let calm = watch.is_calm();
        match conn.publish::<_, _, i64>("n", n).await {
            Ok(_) => _ = watch.turns[2].fetch_add(1, Ordering::Relaxed),
            Err(error) => watch.tolerate(calm, &error),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What it misses, it is told of.
async fn listening(pool: Pool, watch: Watch) {
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("n").await.unwrap();
    let mut last: Option<u64> = None;
    loop {
        match subscriber.next().await {
            Some(Event::Message(message)) => {
                let n = String::from_utf8_lossy(message.payload()).parse().unwrap();
                assert!(last.is_none_or(|last| n > last), "{n} after {last:?}");
                last = Some(n);
                watch.turns[3].fetch_add(1, Ordering::Relaxed);
            }
            Some(Event::Gap) => assert!(!watch.is_calm(), "a gap, and no master changed"),
            other => panic!("{other:?}"),
        }
    }
}

/// While none of the masters changes.
async fn rotate(nodes: &[Server], master: &Server, provider: &RotatingCredentials, n: usize) {
    nodes.iter().for_each(|node| add_user(&node.observer(), n));
    provider.set(credentials(n));
    let master = master.observer();
    eventually(SOON, "every connection has logged in anew", || all_are(&master, n));
    nodes.iter().for_each(|node| end_user(&node.observer(), n - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_credentials_rotate_while_masters_change_and_the_sentinels_have_their_own() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let set = Sentinels::builder().password("n0de-pw").sentinel_password("s3ntinel-pw").start();
    set.nodes().iter().for_each(|node| add_user(&node.observer(), 0));
    let provider = RotatingCredentials::new(credentials(0));
    let hosts = set.sentinels().iter().map(|sentinel| sentinel.addr().to_string());
    let pool = Pool::builder()
        .sentinel(set.master_name(), hosts)
        .sentinel_password("s3ntinel-pw")
        .credentials(provider.clone())
        .shared_connections(2)
        .build()
        .unwrap();
    let (watch, mut tasks) = (Watch::default(), JoinSet::new());
    tasks.spawn(shared(pool.clone(), watch.clone()));
    tasks.spawn(exclusive(pool.clone(), watch.clone()));
    tasks.spawn(listening(pool.clone(), watch.clone()));
    tasks.spawn(publishing(pool.clone(), watch.clone()));
    watch.all_go_on(&mut tasks).await;

    let old = set.master();
    rotate(set.nodes(), old, &provider, 1).await;
    watch.all_go_on(&mut tasks).await;

    // The new credentials are announced while nobody knows who the master will be.
    watch.moving.store(true, Ordering::SeqCst);
    eventually_async(SOON, "a sentinel begins a failover", || async {
        set.sentinels()[0].observer().command(&["SENTINEL", "FAILOVER", set.master_name()]).is_ok()
    })
    .await;
    set.nodes().iter().for_each(|node| add_user(&node.observer(), 2));
    provider.set(credentials(2));
    eventually_async(SOON, "another master", || async { !set.switches().is_empty() }).await;
    let new = set.node(set.switches()[0].master);
    eventually_async(SOON, "all is well there, as the new user", || async {
        all_are(&new.observer(), 2) && ours(&old.observer()).is_empty()
    })
    .await;
    set.heal();
    watch.all_go_on(&mut tasks).await;
    watch.moving.store(false, Ordering::SeqCst);
    set.nodes().iter().for_each(|node| end_user(&node.observer(), 1));
    watch.all_go_on(&mut tasks).await;

    rotate(set.nodes(), new, &provider, 3).await;
    watch.all_go_on(&mut tasks).await;
    assert_eq!(pool.status().node, Some(new.addr().to_string()));

    // Those who listen wait for those who publish: there is no order in which they end by themselves.
    tasks.shutdown().await;
    // A user that a sentinel does not know, or a password that is not its own, would be written there.
    for sentinel in set.sentinels() {
        let refused: Vec<BTreeMap<String, Value>> = sentinel.observer().get(&["ACL", "LOG"]);
        assert!(refused.is_empty(), "{refused:?}");
    }
    println!("{:?} calls", watch.turns);
}
