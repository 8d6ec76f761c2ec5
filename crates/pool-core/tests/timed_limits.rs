//! Limits on the wall clock, and how often Redis is dialled in a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Pool, State};
use cenote_testkit::{Answer, Canned, Proxy, Server, Watchdog, eventually_async, within};
use redis::{AsyncCommands, Value};
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(5);
/// What a busy machine may add to any bound.
const NOISE: Duration = Duration::from_millis(250);
const GREETING: &[u8] = b"%1\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n+PONG\r\n$-1\r\n$-1\r\n";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_redis_turns_away_cuts_off_no_other_and_does_not_storm() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::builder().arg("maxclients", "2").start();
    let [pool, filler] =
        [0, 1].map(|_| Pool::builder().url(server.url()).shared_connections(1).build().unwrap());
    let inside = multi();
    inside.block_on(pool.start()).unwrap();
    inside.block_on(filler.start()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let served = inside.spawn({
        let (mut conn, stop) = (pool.conn(), stop.clone());
        async move {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let _: Option<i64> = conn.get("k").await.expect("who is in is served");
                served += 1;
                tokio::time::sleep(ms(1)).await;
            }
            served
        }
    });
    let before = pool.status().dials;
    single().block_on(async {
        let (began, mut conn) = (Instant::now(), pool.conn());
        while began.elapsed() < Duration::from_secs(2) {
            let error = conn.get::<_, Option<i64>>("k").await.unwrap_err();
            assert!(error.to_string().contains("max number of clients"), "{error}");
            tokio::time::sleep(ms(1)).await;
        }
    });
    stop.store(true, Ordering::Relaxed);
    let dials = pool.status().dials - before;
    let served = inside.block_on(served).unwrap();
    println!("{dials} dials; {served} served");
    assert!((2..20).contains(&dials), "{dials} dials in 2 s");
    assert!(served > 100, "{served}");
    assert_eq!(pool.state(), State::Ready);
}

/// Sixteen tasks for two seconds; returns the longest time in which none of them was answered.
fn busy(pool: &Pool) -> Duration {
    single().block_on(async {
        let began = Instant::now();
        let (last, longest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (mut conn, last, longest) = (pool.conn(), last.clone(), longest.clone());
                tokio::spawn(async move {
                    while began.elapsed() < Duration::from_secs(2) {
                        let _: i64 = conn.incr("n", 1).await.unwrap();
                        let now = began.elapsed().as_millis() as usize;
                        let before = last.swap(now, Ordering::Relaxed);
                        longest.fetch_max(now - before.min(now), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        ms(longest.load(Ordering::Relaxed) as u64)
    })
}

#[test]
fn one_connection_is_shared_out_among_runtimes_that_are_always_busy() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(1).build().unwrap();
    let threads = [0, 1].map(|_| {
        let pool = pool.clone();
        thread::spawn(move || busy(&pool))
    });
    let longest = threads.map(|thread| thread.join().unwrap());
    println!("longest times without an answer: {longest:?}");
    assert!(longest.iter().all(|longest| *longest < ms(300)), "{longest:?}");
}

#[test]
fn a_handle_works_in_another_runtime_at_once_while_its_first_is_parked() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let (first, second) = (single(), single());
    let mut conn = pool.conn();
    let () = first.block_on(conn.set("k", 1)).unwrap();
    let began = Instant::now();
    let value: i64 = second.block_on(within(SOON, conn.get("k"))).unwrap();
    assert_eq!(value, 1);
    assert!(began.elapsed() < ms(300), "{:?}", began.elapsed());
    drop(first);
}

#[tokio::test]
async fn a_command_whose_lost_connection_cannot_be_replaced_in_time_keeps_its_limit() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).build().unwrap();
    let mut held = pool.dedicated().await.unwrap().with_timeout(ms(50));
    proxy.cut();
    proxy.stall_replies();
    let began = Instant::now();
    let error = within(SOON, held.get::<_, Option<i64>>("k")).await.unwrap_err();
    let took = began.elapsed();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert!(error.is_timeout(), "{error}");
    assert!(took <= ms(50) + NOISE, "a limit of 50 ms took {took:?}");
    assert_eq!(error.outcome(), Outcome::NotSent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_limit_is_kept_while_a_huge_reply_arrives_on_the_same_connection() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).shared_connections(1).build().unwrap();
    server.observer().command(&["SETRANGE", "huge", "100000000", "x"]).unwrap();
    pool.start().await.unwrap();
    let mut conn = pool.conn();
    let huge = tokio::spawn(async move { conn.get::<_, Vec<u8>>("huge").await });
    let mut hurried = pool.conn().with_timeout(ms(20));
    let (mut worst, mut calls) = (Duration::ZERO, 0);
    while !huge.is_finished() {
        let began = Instant::now();
        let _ = hurried.get::<_, Option<i64>>("k").await;
        worst = worst.max(began.elapsed());
        calls += 1;
    }
    assert_eq!(huge.await.unwrap().unwrap().len(), 100_000_001);
    println!("the worst of {calls} calls took {worst:?}");
    assert!(worst <= ms(20) + NOISE, "a limit of 20 ms took {worst:?}");
}

#[tokio::test]
async fn retries_end_with_the_limit_however_many_are_left() {
    // It serves just enough to be taken for a server, and each try costs 15 ms.
    let canned = Canned::answering(|turn, _| {
        if turn == 0 {
            return Answer::Send(GREETING.to_vec());
        }
        thread::sleep(ms(15));
        Answer::SendAndClose(b"+PONG\r\n".to_vec())
    });
    let pool = Pool::builder().url(canned.url()).shared_connections(1).max_retries(100).build().unwrap();
    let mut conn = pool.conn().with_timeout(ms(100));
    let mut reads = redis::pipe();
    reads.cmd("PING").cmd("GET").arg("k");
    let began = Instant::now();
    let result = within(SOON, reads.query_async::<Value>(&mut conn)).await;
    let took = began.elapsed();
    assert!(result.is_err());
    assert!(canned.accepted() > 2, "it was tried again: {} connections", canned.accepted());
    assert!(took <= ms(100) + NOISE, "a limit of 100 ms took {took:?}");
}

#[tokio::test]
async fn a_transaction_that_defeats_itself_ends_with_the_limit() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).socket_timeout(ms(300)).build().unwrap();
    let mut rounds = 0;
    let began = Instant::now();
    let lost = pool.transaction::<_, (), _>(&["k"], async |conn, pipe| {
        rounds += 1;
        let () = conn.incr("k", 1).await?;
        pipe.set("never", 1).ignore();
        Ok(())
    });
    let error = within(SOON, lost).await.unwrap_err();
    let took = began.elapsed();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(rounds > 1, "it was tried again");
    assert!(took >= ms(300) && took <= ms(300) + NOISE, "a limit of 300 ms took {took:?}");
    assert_eq!(server.observer().get::<Option<i64>>(&["GET", "never"]), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_that_hangs_keeps_nobody_from_looking_again() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).connect_timeout(SOON).build().unwrap();
    proxy.reset_on_accept(true);
    assert!(matches!(pool.start().await.unwrap(), State::Degraded { .. }));
    proxy.stall_requests();
    proxy.reset_on_accept(false);
    let look_after = |seen: usize| {
        let proxy = &proxy;
        eventually_async(SOON, "a look", move || async move { proxy.accepted() > seen })
    };
    eventually_async(SOON, "a look hangs", || async { proxy.held_requests() > 0 }).await;
    let (seen, began) = (proxy.accepted(), Instant::now());
    look_after(seen).await;
    let took = began.elapsed();
    println!("looked again after {took:?}");
    // Half a second for the look, and at most 240 ms before the next.
    assert!(took <= ms(740) + NOISE, "{took:?}");
    proxy.pass();
    within(SOON, pool.state_changes().wait_for(|state| *state == State::Ready)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_greets_and_hangs_up_on_the_first_command_is_dialled_fewer_than_20_times_in_two_seconds()
{
    let canned =
        Canned::answering(|turn, _| if turn == 0 { Answer::Send(GREETING.to_vec()) } else { Answer::Close });
    let pool = Pool::builder().url(canned.url()).shared_connections(4).build().unwrap();
    let began = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let mut conn = pool.conn();
            tokio::spawn(async move {
                while began.elapsed() < Duration::from_secs(2) {
                    conn.get::<_, Option<i64>>("k").await.expect_err("nothing is ever answered");
                    tokio::time::sleep(ms(1)).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let dials = canned.accepted();
    println!("{dials} dials");
    assert!((3..20).contains(&dials), "{dials} dials");
}
