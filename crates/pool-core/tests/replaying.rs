//! The replay of the outage journal: that it always comes, that it ends, and that nothing slips past it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Pool, PoolBuilder, Source, State};
use cenote_testkit::{Proxy, Server, eventually, eventually_async, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(10);
const HASTE: Duration = Duration::from_millis(20);

fn at(url: String) -> PoolBuilder {
    Pool::builder().url(url).fallback(FallbackLru::default()).socket_timeout(Duration::from_millis(400))
}

fn set(key: &str, value: &str) -> redis::Cmd {
    redis::cmd("SET").arg(key).arg(value).clone()
}

fn get(key: &str) -> redis::Cmd {
    redis::cmd("GET").arg(key).clone()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn reopened(pool: &Pool) {
    eventually_async(SOON, "the journal is closed", || async { !pool.status().journal.local }).await;
}

async fn is_away(pool: &Pool) {
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| matches!(state, State::Degraded { .. }))).await.unwrap();
}

#[test]
fn calls_that_only_read_see_to_the_replay_when_its_runtime_has_gone() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(proxy.url()).build().unwrap();
    let (writing, reading) = (runtime(), runtime());
    reading.block_on(async { pool.degradable().unwrap().query(&get("k")).await.unwrap() });
    writing.block_on(async {
        let mut soft = pool.degradable().unwrap();
        soft.query(&set("k", "old")).await.unwrap();
        proxy.stall_requests();
        assert!(soft.with_timeout(HASTE).query(&set("k", "new")).await.unwrap().pending);
    });
    drop(writing);
    proxy.pass();
    reading.block_on(async {
        let mut soft = pool.degradable().unwrap();
        eventually_async(SOON, "the journal is closed", || {
            let mut soft = soft.clone();
            let pool = &pool;
            async move {
                soft.query(&get("k")).await.unwrap();
                !pool.status().journal.local
            }
        })
        .await;
        let answer = soft.query(&get("k")).await.unwrap();
        assert_eq!((answer.value, answer.source), (redis::Value::Nil, Source::Redis));
    });
}

#[test]
fn a_late_write_on_a_parked_runtime_holds_up_the_replay_no_longer_than_the_socket_timeout() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(proxy.url()).build().unwrap();
    let parked = Builder::new_current_thread().enable_all().build().unwrap();
    parked.block_on(async {
        let mut soft = pool.degradable().unwrap();
        soft.query(&get("k")).await.unwrap();
        proxy.stall_requests();
        assert!(soft.with_timeout(HASTE).query(&set("k", "new")).await.unwrap().pending);
    });
    proxy.pass();
    runtime().block_on(async {
        let soft = pool.degradable().unwrap();
        eventually_async(SOON, "the journal is closed", || {
            let (mut soft, pool) = (soft.clone(), &pool);
            async move {
                soft.query(&get("other")).await.unwrap();
                !pool.status().journal.local
            }
        })
        .await;
    });
    drop(parked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waited_for_any_more_does_not_land_after_the_replay() {
    for strict in [false, true] {
        let server = Server::start();
        let stalled = Proxy::to(&server);
        let front = Proxy::start(stalled.addr());
        // The caller is to give up long before this one passes, on a busy machine too.
        let pool = at(front.url()).socket_timeout(Duration::from_secs(1)).shared_connections(1);
        let pool = pool.build().unwrap();
        let mut soft = pool.degradable().unwrap();
        soft.query(&get("k")).await.unwrap();
        stalled.stall_requests();
        if strict {
            let mut conn = pool.conn().with_timeout(HASTE);
            assert!(conn.set::<_, _, ()>("k", "late").await.is_err());
        } else {
            assert!(tokio::time::timeout(HASTE, soft.query(&set("k", "late"))).await.is_err());
        }
        eventually(SOON, "the write is on its way", || stalled.held_requests() > 0);
        is_away(&pool).await;
        assert!(soft.query(redis::cmd("DEL").arg("k")).await.unwrap().pending);
        front.set_upstream(server.addr());
        reopened(&pool).await;
        let executed = server.observer().calls("set");
        stalled.release();
        eventually(SOON, "what was held has gone", || stalled.held_requests() == 0 && stalled.open() == 0);
        assert_eq!(server.observer().calls("set"), executed, "strict: {strict}");
        assert_eq!(server.observer().get::<Option<String>>(&["GET", "k"]), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_never_rest_do_not_keep_the_journal_open() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).fallback(FallbackLru::default()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    soft.query(&get("k")).await.unwrap();
    proxy.delay_requests(Duration::from_millis(2));
    soft.clone().with_timeout(Duration::ZERO).query(&set("k", "v")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8u64)
        .map(|writer| {
            let (mut soft, stop) = (soft.clone(), stop.clone());
            tokio::spawn(async move {
                let mut n = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut many = redis::cmd("MSET");
                    for key in 0..50 {
                        many.arg(format!("{writer}:{}", (n * 50 + key) % 40_000)).arg("v");
                    }
                    n += 1;
                    soft.query(&many).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    eventually_async(SOON, "the journal is closed", || async { pool.status().journal.replays > 0 }).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_redis_answered_after_the_fallback_took_over_says_that_it_is_pending() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder()
        .url(proxy.url())
        .fallback(FallbackLru::default())
        .shared_connections(1)
        .build()
        .unwrap();
    let soft = pool.degradable().unwrap();
    soft.clone().query(&get("k")).await.unwrap();
    proxy.stall_requests();
    let mut patient = soft.clone().with_timeout(Duration::from_secs(5));
    let patient = tokio::spawn(async move {
        let written = patient.query(&set("k", "v2")).await.unwrap();
        (written, patient.query(&get("k")).await.unwrap())
    });
    eventually(SOON, "the patient write is on its way", || proxy.held_requests() > 0);
    let hasty = soft.with_timeout(HASTE).query(&set("k", "v1")).await.unwrap();
    assert_eq!((hasty.source, hasty.pending), (Source::Fallback, true));
    proxy.release();
    let (written, read) = patient.await.unwrap();
    assert_eq!((written.source, written.pending), (Source::Redis, true));
    assert_eq!(read.value, redis::Value::Nil, "neither the other's value nor one that is about to go");
    reopened(&pool).await;
    assert_eq!(server.observer().get::<Option<String>>(&["GET", "k"]), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_late_writes_on_one_connection_are_stopped_by_ending_that_one() {
    let server = Server::start();
    let stalled = Proxy::to(&server);
    let front = Proxy::start(stalled.addr());
    let pool = at(front.url()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    soft.query(&get("k")).await.unwrap();
    stalled.stall_requests();
    let calls: Vec<_> = (0..5_000)
        .map(|n| {
            let mut soft = soft.clone();
            tokio::spawn(async move { soft.query(&set(&format!("k{n}"), "v")).await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(pool.status().journal.late_writes <= 2, "{:?}", pool.status().journal);
    is_away(&pool).await;
    front.set_upstream(server.addr());
    reopened(&pool).await;
    assert!(server.observer().calls("client|kill") < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_removal_is_not_hammered_and_gets_it_when_it_allows_it() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(proxy.url()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    soft.query(&set("k0", "old")).await.unwrap();
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    for n in 0..100 {
        soft.query(&set(&format!("k{n}"), "v")).await.unwrap();
    }
    server.observer().command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    proxy.pass();
    let refusals = || {
        let stats: String = server.observer().get(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.contains("_unlink:")).unwrap_or_default().to_owned();
        line.split("rejected_calls=")
            .nth(1)
            .and_then(|rest| rest.split(',').next()?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    eventually(SOON, "Redis refuses", || refusals() > 0);
    let (began, before) = (Instant::now(), refusals());
    eventually(SOON, "a second of refusals", || began.elapsed() > Duration::from_secs(1));
    let more = refusals() - before;
    assert!(more <= 100 * 12, "{more} refusals in a second");
    assert!(pool.status().journal.local, "until it is removed there, Redis is not read");
    server.observer().command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    reopened(&pool).await;
    assert_eq!(server.observer().get::<Option<String>>(&["GET", "k0"]), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_unlink_deletes_and_one_that_may_not_kill_removes_twice() {
    let acl = "app on >pw ~* +@all -unlink -client|kill";
    let server = Server::builder().arg("user", acl).start();
    let stalled = Proxy::to(&server);
    let front = Proxy::start(stalled.addr());
    let pool = at(format!("redis://app:pw@{}/0", front.addr())).shared_connections(1).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    soft.query(&set("k", "old")).await.unwrap();
    stalled.stall_requests();
    assert!(soft.query(&set("k", "late")).await.unwrap().pending);
    is_away(&pool).await;
    front.set_upstream(server.addr());
    eventually(SOON, "removed a first time", || {
        server.observer().get::<Option<String>>(&["GET", "k"]).is_none()
    });
    // Nobody could stop the late write: it lands, and is removed with the rest.
    stalled.release();
    reopened(&pool).await;
    assert_eq!(server.observer().get::<Option<String>>(&["GET", "k"]), None);
}
