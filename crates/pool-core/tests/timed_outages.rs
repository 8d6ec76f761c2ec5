//! How long things take when Redis is away and when it returns. These tests keep time, so they run one at a
//! time; the bounds are those of the promises.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Pool, PoolBuilder, State};
use cenote_testkit::{Proxy, Server, Watchdog, blackhole_addr, dead_port, eventually, is_long, within};
use redis::AsyncCommands;

/// What a noisy machine may add to a bound.
const NOISE: Duration = Duration::from_millis(250);

fn at(address: SocketAddr) -> PoolBuilder {
    Pool::builder().url(format!("redis://{address}/0"))
}

fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

async fn fails_within_the_connect_timeout(address: SocketAddr, cause: &str) {
    let limit = Duration::from_millis(600);
    let pool = at(address).required(true).connect_timeout(limit).build().unwrap();
    let began = Instant::now();
    let error = pool.start().await.unwrap_err();
    let took = began.elapsed();
    assert!(took <= limit + NOISE, "{took:?}");
    let text = error.to_string();
    println!("{took:?}: {text}");
    for part in [address.to_string().as_str(), cause, "REDIS_REQUIRED"] {
        assert!(text.contains(part), "{part} is missing from: {text}");
    }
    assert!(!text.contains('\n') && error.is_unavailable() && error.outcome() == Outcome::NotSent);
}

#[tokio::test]
async fn required_and_refused_start_fails_with_the_reason() {
    fails_within_the_connect_timeout(dead_port(), "refused").await;
}

#[tokio::test]
async fn required_and_blackholed_start_fails_with_the_reason() {
    let blackhole = blackhole_addr();
    fails_within_the_connect_timeout(blackhole.addr(), "600ms").await;
}

#[tokio::test]
async fn required_and_frozen_start_fails_with_the_reason() {
    let server = Server::start();
    server.freeze();
    fails_within_the_connect_timeout(server.addr(), "no answer to the greeting").await;
    server.thaw();
}

#[tokio::test]
async fn not_required_start_returns_and_strict_calls_are_answered_at_first_poll() {
    let frozen = Server::start();
    frozen.freeze();
    let blackhole = blackhole_addr();
    for address in [dead_port(), blackhole.addr(), frozen.addr()] {
        let pool = at(address).connect_timeout(Duration::from_millis(300)).build().unwrap();
        let state = pool.start().await.unwrap();
        assert!(matches!(state, State::Degraded { .. }), "{state:?}");
        let mut conn = pool.conn();
        for _ in 0..100 {
            let answer = poll_once(conn.get::<_, Option<String>>("k")).expect("ready at first poll");
            let error = answer.unwrap_err();
            let error = Error::from_redis(&error).unwrap();
            assert!(error.is_unavailable() && error.outcome() == Outcome::NotSent, "{error}");
            let told = error.to_string();
            assert!(told.contains("next try in") || told.contains("a try is under way"), "{told}");
        }
        let dedicated = poll_once(pool.dedicated()).expect("ready at first poll");
        assert!(dedicated.unwrap_err().is_unavailable());
        assert_eq!(serde_json::to_value(pool.status()).unwrap()["status"], "degraded");
    }
    frozen.thaw();
}

#[tokio::test]
async fn a_single_start_of_many_dials_once() {
    let server = Server::start();
    let pool = at(server.addr()).build().unwrap();
    let starts: Vec<_> = (0..50)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.start().await.unwrap() })
        })
        .collect();
    for start in starts {
        assert_eq!(start.await.unwrap(), State::Ready);
    }
    assert!(pool.status().dials <= pool_lanes() as u64, "{} dials", pool.status().dials);
}

fn pool_lanes() -> usize {
    cenote_pool_core::PoolConfig::default().shared_connections
}

/// Keeps calling, as a service would, until told to stop; counts what failed and what outlived `limit`.
fn traffic(pool: &Pool, limit: Duration) -> (Arc<AtomicBool>, tokio::task::JoinHandle<Duration>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (pool, stopped) = (pool.clone(), stop.clone());
    let task = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        let mut conn = pool.conn().with_timeout(limit);
        while !stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            let _ = conn.get::<_, Option<String>>("k").await;
            longest = longest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        longest
    });
    (stop, task)
}

/// Calls in a tight loop until one succeeds.
async fn until_success(pool: &Pool) {
    let mut conn = pool.conn();
    while conn.set::<_, _, ()>("k", "v").await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn first_success_after(outage: Duration, bound: Duration) {
    let server = Server::builder().persistent().start();
    let pool = at(server.addr()).build().unwrap();
    pool.start().await.unwrap();
    let (stop, load) = traffic(&pool, Duration::from_secs(1));
    server.kill();
    tokio::time::sleep(outage).await;
    assert!(matches!(pool.state(), State::Degraded { .. }), "{:?}", pool.state());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let server = Arc::new(server);
    let restarted = server.clone();
    thread::spawn(move || sender.send(restarted.restart()));
    until_success(&pool).await;
    let succeeded = Instant::now();
    let opened = receiver.await.unwrap();
    let took = succeeded.saturating_duration_since(opened);
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    println!("outage {outage:?}: first success {took:?} after the port opened");
    assert!(took <= bound, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_of_a_second_calls_succeed_within_300_ms_in_each_of_20_runs() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    for _ in 0..20 {
        first_success_after(Duration::from_secs(1), Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_long_outages_calls_succeed_within_a_second() {
    if !is_long() {
        return println!("runs under `cargo xtask test --long`");
    }
    for seconds in [10, 60] {
        first_success_after(Duration::from_secs(seconds), Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_no_call_outlives_its_limit_and_after_the_thaw_calls_succeed_within_300_ms() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    // The first freeze ends before the connection counts as silent, the second long after.
    for (silent_after, frozen_for) in [(5_000, 800), (400, 2_500)] {
        let pool = at(server.addr()).socket_timeout(Duration::from_millis(silent_after)).build().unwrap();
        pool.start().await.unwrap();
        let limit = Duration::from_millis(300);
        let loads: Vec<_> = (0..8).map(|_| traffic(&pool, limit)).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.freeze();
        tokio::time::sleep(Duration::from_millis(frozen_for)).await;
        server.thaw();
        let thawed = Instant::now();
        within(Duration::from_secs(10), until_success(&pool)).await;
        let took = thawed.elapsed();
        for (stop, load) in loads {
            stop.store(true, Ordering::Relaxed);
            let longest = load.await.unwrap();
            assert!(longest <= limit + NOISE, "a call with a limit of {limit:?} took {longest:?}");
        }
        println!("frozen for {frozen_for} ms: first success {took:?} after the thaw");
        assert!(took <= Duration::from_millis(300), "{took:?}");
    }
}

/// Nothing else tells of it: no connection counts as silent for minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_away_when_a_dial_has_had_its_time_although_a_connection_is_open() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let (limit, minutes) = (Duration::from_secs(1), Duration::from_secs(600));
    let pool = at(server.addr()).connect_timeout(limit).socket_timeout(minutes).shared_connections(1);
    let pool = pool.health_check_interval(minutes).build().unwrap();
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let _: () = pool.conn().set("k", 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        server.freeze();
        let (frozen, mut states) = (Instant::now(), pool.state_changes());
        let caller = tokio::spawn(pool.dedicated());
        let away = |state: &State| matches!(state, State::Degraded { .. });
        within(Duration::from_secs(20), states.wait_for(away)).await.unwrap();
        let took = frozen.elapsed();
        println!("away after {took:?}");
        quickest = quickest.min(took);
        server.thaw();
        let refused = within(Duration::from_secs(5), caller).await.unwrap().unwrap_err();
        assert!(refused.to_string().contains("REDIS_CONNECT_TIMEOUT"), "{refused}");
        within(Duration::from_secs(10), until_success(&pool)).await;
    }
    // Asked only then, the open connection would have half a second more.
    assert!(quickest < limit + NOISE, "{quickest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_closes_is_dialled_fewer_than_20_times_in_two_seconds() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    proxy.refuse_after_accept(true);
    let pool = at(proxy.addr()).build().unwrap();
    let (stop, load) = traffic(&pool, Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let dials = proxy.accepted();
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    println!("{dials} dials");
    assert!((3..20).contains(&dials), "{dials} dials");
    proxy.pass();
    within(Duration::from_secs(2), until_success(&pool)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_greets_and_then_resets_is_dialled_no_faster() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(proxy.addr()).build().unwrap();
    // Every connection dies right after its greeting, before any command is answered.
    let (load_stop, load) = traffic(&pool, Duration::from_secs(1));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        if proxy.open() > 0 {
            proxy.cut();
        }
        tokio::task::yield_now().await;
    }
    let dials = proxy.accepted();
    load_stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    println!("{dials} dials");
    assert!(dials < 20, "{dials} dials");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_noticed_and_healed_without_a_single_call() {
    let server = Server::builder().persistent().start();
    let pool = at(server.addr()).build().unwrap();
    pool.start().await.unwrap();
    let mut states = pool.state_changes();
    server.kill();
    let degraded =
        within(Duration::from_secs(2), states.wait_for(|state| matches!(state, State::Degraded { .. })));
    degraded.await.unwrap();
    server.restart();
    within(Duration::from_secs(2), states.wait_for(|state| *state == State::Ready)).await.unwrap();
    assert!(pool.status().reconnects >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_parks_while_it_looks_for_redis_is_relieved_by_another_that_calls() {
    let server = Server::builder().persistent().start();
    let pool = at(server.addr()).build().unwrap();
    let parked = tokio::task::spawn_blocking({
        let pool = pool.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(pool.start()).unwrap();
            runtime
        }
    });
    let runtime = parked.await.unwrap();
    server.kill();
    // The parked runtime drives its socket just long enough to notice, and so holds the duty to look.
    let runtime = tokio::task::spawn_blocking({
        let pool = pool.clone();
        move || {
            runtime.block_on(async {
                let mut conn = pool.conn();
                while !matches!(pool.state(), State::Degraded { .. }) {
                    let _ = conn.get::<_, Option<String>>("k").await;
                    tokio::task::yield_now().await;
                }
            });
            runtime
        }
    })
    .await
    .unwrap();
    server.restart();
    let began = Instant::now();
    within(Duration::from_secs(5), until_success(&pool)).await;
    println!("relieved after {:?}", began.elapsed());
    assert!(began.elapsed() <= Duration::from_millis(1_000) + NOISE, "{:?}", began.elapsed());
    drop(tokio::task::spawn_blocking(move || drop(runtime)).await);
}

#[tokio::test]
async fn close_refuses_at_once_drains_what_is_in_flight_and_cuts_the_rest() {
    let server = Server::start();
    let pool =
        at(server.addr()).shared_connections(1).close_timeout(Duration::from_millis(400)).build().unwrap();
    pool.start().await.unwrap();
    server.freeze();
    let mut conn = pool.conn();
    let in_flight = tokio::spawn(async move { conn.get::<_, Option<String>>("k").await });
    within(
        Duration::from_secs(5),
        cenote_testkit::eventually_async(Duration::from_secs(5), "a call in flight", || async {
            pool.status().in_flight == 1
        }),
    )
    .await;
    let began = Instant::now();
    let clone = pool.clone();
    let (first, second) = tokio::join!(pool.close(), clone.close());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took <= Duration::from_millis(400) + NOISE, "{took:?}");
    assert_eq!(first, second, "every caller gets the same report");
    assert_eq!((first.cut_connections, first.cut_calls), (1, 1));
    let error = in_flight.await.unwrap().unwrap_err();
    assert!(Error::from_redis(&error).unwrap().is_closed(), "{error}");
    let error = poll_once(pool.conn().get::<_, Option<String>>("k")).unwrap().unwrap_err();
    assert!(Error::from_redis(&error).unwrap().is_closed());
    assert!(pool.start().await.unwrap_err().is_closed());
    assert_eq!(pool.state(), State::Closed);
    server.thaw();
    eventually(Duration::from_secs(5), "no connection is left", || server.observer().client_count() == 0);

    // With a server that answers, close waits for the answers and cuts nothing.
    let pool = at(server.addr()).build().unwrap();
    let mut conn = pool.conn();
    pool.start().await.unwrap();
    let busy = tokio::spawn(async move {
        redis::cmd("EVAL")
            .arg(
                "local t = redis.call('TIME')[1] * 1000000 + redis.call('TIME')[2] \
                  while redis.call('TIME')[1] * 1000000 + redis.call('TIME')[2] < t + 200000 do end return 7",
            )
            .arg(0)
            .query_async::<i64>(&mut conn)
            .await
    });
    within(
        Duration::from_secs(5),
        cenote_testkit::eventually_async(Duration::from_secs(5), "the script runs", || async {
            pool.status().in_flight == 1
        }),
    )
    .await;
    let report = pool.close().await;
    assert_eq!((report.cut_connections, report.cut_calls), (0, 0), "{report:?}");
    assert_eq!(busy.await.unwrap().unwrap(), 7);
}
