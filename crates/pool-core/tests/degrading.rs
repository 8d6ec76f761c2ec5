//! Degradable connections: what the fallback answers in an outage, and that Redis forgets it afterwards.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Answer, DegradableConn, Error, Outcome, Pool, PoolBuilder, Source, State};
use cenote_testkit::{Proxy, Server, dead_port, eventually_async, is_long, seed, within};
use redis::{AsyncCommands, Value};

const SOON: Duration = Duration::from_secs(10);

fn at(url: String) -> PoolBuilder {
    Pool::builder().url(url).fallback(FallbackLru::default()).socket_timeout(Duration::from_millis(400))
}

fn set(key: &str, value: &str) -> redis::Cmd {
    redis::cmd("SET").arg(key).arg(value).clone()
}

fn get(key: &str) -> redis::Cmd {
    redis::cmd("GET").arg(key).clone()
}

async fn value(conn: &mut DegradableConn, key: &str) -> (Option<String>, Source) {
    let answer = conn.query(&get(key)).await.unwrap();
    (redis::from_redis_value(answer.value).unwrap(), answer.source)
}

/// Waits until nothing is pending and degradable connections read from Redis again.
async fn replayed(pool: &Pool) {
    eventually_async(SOON, "the journal is replayed", || async {
        let status = pool.status();
        !status.journal.local && status.journal.pending_keys == 0
    })
    .await;
}

/// Overwrites one key and deletes another while Redis is away, in both their old values there.
async fn write_in_the_outage(soft: &mut DegradableConn) {
    let written: Answer = soft.query(&set("overwritten", "new")).await.unwrap();
    assert_eq!((written.source, written.pending), (Source::Fallback, true));
    let removed = soft.query(redis::cmd("DEL").arg("deleted")).await.unwrap();
    assert_eq!((removed.source, removed.pending), (Source::Fallback, true));
    // What was written is read back, by the connection and by its clones.
    assert_eq!(value(soft, "overwritten").await, (Some("new".to_owned()), Source::Fallback));
    assert_eq!(value(&mut soft.clone(), "deleted").await, (None, Source::Fallback));
}

async fn nobody_reads_old_values(pool: &Pool, server: &Server) {
    replayed(pool).await;
    let mut soft = pool.degradable().unwrap();
    let other = Pool::builder().url(server.url()).build().unwrap();
    for key in ["overwritten", "deleted"] {
        assert_eq!(value(&mut soft, key).await, (None, Source::Redis), "{key}");
        assert_eq!(other.conn().get::<_, Option<String>>(key).await.unwrap(), None, "{key}");
    }
    assert_eq!(value(&mut soft, "untouched").await, (Some("old".to_owned()), Source::Redis));
    assert_eq!(pool.status().fallback_entries, Some(0));
    assert!(pool.status().journal.epoch >= 1);
}

fn old_values_are_there(server: &Server) {
    for key in ["overwritten", "deleted", "untouched"] {
        assert_eq!(server.observer().get::<Option<String>>(&["GET", key]).as_deref(), Some("old"), "{key}");
    }
}

async fn seeded(server: &Server, proxy: &Proxy) -> (Pool, DegradableConn) {
    for key in ["overwritten", "deleted", "untouched"] {
        server.observer().command(&["SET", key, "old"]).unwrap();
    }
    let pool = at(proxy.url()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    assert_eq!(value(&mut soft, "overwritten").await, (Some("old".to_owned()), Source::Redis));
    (pool, soft)
}

async fn is_away(pool: &Pool) {
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| matches!(state, State::Degraded { .. }))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_its_data_on_disk_nothing_written_meanwhile_survives_there() {
    let server = Server::builder().persistent().start();
    let proxy = Proxy::to(&server);
    let (pool, mut soft) = seeded(&server, &proxy).await;
    proxy.refuse_after_accept(true);
    server.kill();
    is_away(&pool).await;
    write_in_the_outage(&mut soft).await;
    server.restart();
    old_values_are_there(&server);
    let mut epochs = pool.epochs();
    proxy.pass();
    nobody_reads_old_values(&pool, &server).await;
    assert!(epochs.borrow_and_update().server_changed, "another process came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_nothing_written_meanwhile_survives_there() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let (pool, mut soft) = seeded(&server, &proxy).await;
    server.freeze();
    while pool.state() == State::Ready {
        let _ = value(&mut soft, "untouched").await;
    }
    write_in_the_outage(&mut soft).await;
    proxy.stall_requests();
    server.thaw();
    old_values_are_there(&server);
    proxy.pass();
    nobody_reads_old_values(&pool, &server).await;
    assert!(!pool.epochs().borrow().server_changed, "the same process came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_nothing_written_meanwhile_survives_there() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let (pool, mut soft) = seeded(&server, &proxy).await;
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    write_in_the_outage(&mut soft).await;
    old_values_are_there(&server);
    proxy.pass();
    nobody_reads_old_values(&pool, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_stalled_on_its_way_does_not_land_after_the_replay() {
    let server = Server::start();
    let stalled = Proxy::to(&server);
    let front = Proxy::start(stalled.addr());
    let (pool, mut soft) = seeded(&server, &front).await;
    stalled.stall_requests();
    let written = soft.query(&set("overwritten", "late")).await.unwrap();
    assert_eq!((written.source, written.pending), (Source::Fallback, true));
    soft.query(redis::cmd("DEL").arg("deleted")).await.unwrap();
    is_away(&pool).await;
    // The way back leads past the place where the write is held.
    front.set_upstream(server.addr());
    nobody_reads_old_values(&pool, &server).await;
    let executed = server.observer().calls("set");
    stalled.release();
    eventually_async(SOON, "what was held has gone", || async {
        stalled.held_requests() == 0 && stalled.open() == 0
    })
    .await;
    assert_eq!(server.observer().calls("set"), executed, "the late write was executed");
    nobody_reads_old_values(&pool, &server).await;
}

#[test]
fn when_every_runtime_but_one_ended_during_the_outage_that_one_replays() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = Server::builder().persistent().start();
    let proxy = Proxy::to(&server);
    let (writing, other, survivor) = (runtime(), runtime(), runtime());
    let (pool, mut soft) = writing.block_on(seeded(&server, &proxy));
    other.block_on(async { pool.degradable().unwrap().query(&get("untouched")).await }).unwrap();
    proxy.refuse_after_accept(true);
    proxy.cut();
    writing.block_on(async {
        is_away(&pool).await;
        write_in_the_outage(&mut soft).await;
    });
    drop(writing);
    drop(other);
    old_values_are_there(&server);
    proxy.pass();
    survivor.block_on(async {
        let mut soft = pool.degradable().unwrap();
        within(SOON, async {
            while pool.status().journal.local || pool.state() != State::Ready {
                let _ = soft.query(&get("untouched")).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        nobody_reads_old_values(&pool, &server).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_degradable_fails_in_an_outage_and_deletes_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    for words in [&["SET", "counter", "5"][..], &["HSET", "hash", "f", "v"], &["RPUSH", "list", "a"]] {
        server.observer().command(words).unwrap();
    }
    let pool = at(proxy.url()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    assert_eq!(soft.incr::<_, _, i64>("counter", 1).await.unwrap(), 6, "with Redis it does everything");
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    for line in [
        "INCR counter",
        "SET counter 1 NX",
        "SETNX counter 1",
        "HSET hash f w",
        "RPUSH list b",
        "GETDEL counter",
        "SADD set m",
        "EVAL return(1) 0",
        "SCAN 0",
        "APPEND counter x",
    ] {
        let mut cmd = redis::Cmd::new();
        line.split(' ').for_each(|word| {
            cmd.arg(word);
        });
        let error = soft.query(&cmd).await.unwrap_err();
        assert!(error.to_string().contains("not degradable"), "{line}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{line}");
    }
    for atomic in [false, true] {
        let mut pipeline = redis::pipe();
        if atomic {
            pipeline.atomic();
        }
        pipeline.set("counter", 0).incr("counter", 1);
        let error = pipeline.query_async::<Value>(&mut soft).await.unwrap_err();
        assert!(Error::from_redis(&error).unwrap().to_string().contains("not degradable"), "{error}");
    }
    assert_eq!(value(&mut soft, "counter").await, (None, Source::Fallback), "the pipelines ran nothing");
    assert_eq!(pool.status().journal.pending_keys, 0);
    proxy.pass();
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| *state == State::Ready)).await.unwrap();
    replayed(&pool).await;
    assert_eq!(value(&mut soft, "counter").await, (Some("6".to_owned()), Source::Redis));
    assert_eq!(server.observer().get::<i64>(&["EXISTS", "hash", "list", "counter"]), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_and_transactions_of_degradable_commands_are_served_whole() {
    let pool = at(format!("redis://{}", dead_port())).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    let mut pipeline = redis::pipe();
    pipeline.set("a", 1).ignore().get("a").mget(&["a", "b"]);
    let (one, both): (i64, (i64, Option<i64>)) = pipeline.query_async(&mut soft).await.unwrap();
    assert_eq!((one, both), (1, (1, None)));
    let (one, both): (i64, (i64, Option<i64>)) = pipeline.atomic().query_async(&mut soft).await.unwrap();
    assert_eq!((one, both), (1, (1, None)));
}

#[tokio::test]
async fn a_full_journal_refuses_writes_to_new_keys_and_serves_the_others() {
    let mut config = cenote_pool_core::PoolConfig::default();
    config.url = format!("redis://{}", dead_port());
    config.journal_keys = 3;
    let pool = Pool::builder().config(config).fallback(FallbackLru::default()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    for key in ["a", "b", "c"] {
        soft.query(&set(key, "1")).await.unwrap();
    }
    let error = soft.query(&set("d", "1")).await.unwrap_err();
    assert!(error.is_overloaded() && error.outcome() == Outcome::NotSent, "{error}");
    assert!(error.to_string().contains("3 keys of 3"), "{error}");
    soft.query(&set("a", "2")).await.unwrap();
    assert_eq!(value(&mut soft, "a").await.0.as_deref(), Some("2"));
    assert_eq!(value(&mut soft, "d").await.0, None);
}

#[tokio::test]
async fn without_a_fallback_a_degradable_connection_says_what_to_add() {
    let pool = Pool::builder().url("redis://localhost").build().unwrap();
    let error = pool.degradable().unwrap_err();
    assert!(error.is_config() && error.to_string().contains(".fallback("), "{error}");
}

/// Writers race the end of thousands of small outages. A write answered by Redis must be there afterwards; one
/// answered by the fallback must be gone, there and in the fallback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_racing_the_reopening_are_neither_lost_nor_resurrected() {
    let rounds: u64 = if is_long() { 10_000 } else { 1_000 };
    let seed = seed();
    let server = Server::start();
    let pool = at(server.url()).socket_timeout(Duration::from_secs(5)).build().unwrap();
    pool.start().await.unwrap();
    // Each writer alone writes its key; now and then without giving Redis any time, which is an outage of one call.
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut soft = pool.degradable().unwrap();
                let mut hasty = soft.clone().with_timeout(Duration::ZERO);
                let mut random = seed.wrapping_add(writer).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut n = 0u64;
                let (mut redis, mut fallback, mut overtaken) = (0u64, 0u64, 0u64);
                while pool.status().journal.replays < rounds {
                    n += 1;
                    // The fallback answers at once: the replay has its turn.
                    tokio::task::yield_now().await;
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = format!("key:{writer}:{}", random % 3);
                    let conn = if random.is_multiple_of(4) { &mut hasty } else { &mut soft };
                    let replays = pool.status().journal.replays;
                    let written = conn.query(&set(&key, &n.to_string())).await.unwrap();
                    let (seen, by) = value(&mut soft, &key).await;
                    let mine = Some(n.to_string());
                    match (written.source, by) {
                        // Another call's outage began while Redis answered this one: the key is to go, and may
                        // have gone.
                        (Source::Redis, Source::Redis) if written.pending => {
                            overtaken += u64::from(seen.is_none());
                            assert!(seen == mine || seen.is_none(), "seed {seed}: {seen:?}");
                        }
                        (Source::Redis, Source::Redis) => {
                            redis += 1;
                            assert_eq!(seen, mine, "seed {seed}: an answered write is lost");
                        }
                        // Pending, and read before or after the reopening.
                        (Source::Fallback, Source::Fallback) => {
                            fallback += 1;
                            let same_outage = pool.status().journal.replays == replays;
                            assert!(
                                seen == mine || (seen.is_none() && !same_outage),
                                "seed {seed}: {seen:?}"
                            );
                        }
                        (Source::Fallback, Source::Redis) => {
                            fallback += 1;
                            assert_eq!(seen, None, "seed {seed}: a forgotten write came back");
                        }
                        // Another key's outage began in between; the fallback never had this key.
                        (Source::Redis, _) => assert_eq!(seen, None, "seed {seed}: of an earlier outage"),
                        other => panic!("{other:?}"),
                    }
                }
                (redis, fallback, overtaken)
            })
        })
        .collect();
    let (mut redis, mut fallback, mut overtaken) = (0, 0, 0);
    for writer in writers {
        let (by_redis, by_fallback, gone) = within(Duration::from_secs(300), writer).await.unwrap();
        redis += by_redis;
        fallback += by_fallback;
        overtaken += gone;
    }
    replayed(&pool).await;
    println!(
        "seed {seed}: {} reopenings, {redis} writes by Redis, {fallback} by the fallback, {overtaken} answered as pending and gone",
        pool.status().journal.replays
    );
    assert!(pool.status().journal.replays >= rounds && redis > 1_000 && fallback > 1_000);
    assert_eq!(pool.status().fallback_entries, Some(0));
}
