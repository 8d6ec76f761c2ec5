//! One handle, any runtime: one after the other, several at once, none at all.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cenote_pool_core::{Error, Pool, State};
use cenote_testkit::{Server, Watchdog, eventually, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

// Of one test alone: it counts the server's clients.
static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::builder().url(SERVER.url()).build().unwrap());

fn multi(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs `count` commands from 50 tasks on `runtime`; every one must be answered with its own payload.
fn run(runtime: &Runtime, name: &'static str, count: usize) {
    static FAILED: AtomicUsize = AtomicUsize::new(0);
    runtime.block_on(within(Duration::from_secs(60), async move {
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                tokio::spawn(async move {
                    let mut conn = POOL.conn();
                    for n in 0..count / 50 {
                        let payload = format!("{name}:{task}:{n}");
                        let echoed: Result<String, _> =
                            redis::cmd("ECHO").arg(&payload).query_async(&mut conn).await;
                        match echoed {
                            Ok(echoed) => assert_eq!(echoed, payload),
                            Err(error) => {
                                eprintln!("{name}: {error}");
                                FAILED.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }));
    assert_eq!(FAILED.load(Ordering::Relaxed), 0, "failed commands in a living runtime");
}

#[test]
fn a_static_pool_outlives_its_first_runtime_and_serves_three_at_once() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    assert_eq!(POOL.state(), State::Idle, "built outside any runtime, nothing dialled");
    assert_eq!(SERVER.observer().client_count(), 0);

    let first = multi(2);
    run(&first, "first", 1_000);
    SERVER.freeze();
    for _ in 0..100 {
        first.spawn(async { POOL.conn().incr::<_, _, i64>("lost", 1).await });
    }
    eventually(Duration::from_secs(10), "100 commands in flight", || POOL.status().in_flight >= 100);
    drop(first);
    SERVER.thaw();

    run(&multi(2), "second", 6_000);
    let threads = [("multi", multi(2)), ("current", single()), ("one worker", multi(1))]
        .map(|(name, runtime)| thread::spawn(move || run(&runtime, name, 8_000)));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(POOL.state(), State::Ready);
}

#[test]
fn a_runtime_that_ends_fails_its_calls_as_such() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let runtime = multi(1);
    runtime.block_on(pool.start()).unwrap();
    server.freeze();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut conn = pool.conn();
    // The call is polled by this thread, its connection by the runtime that ends.
    let call = {
        let _inside = runtime.enter();
        let mut call = Box::pin(async move { conn.incr::<_, _, i64>("n", 1).await });
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        assert!(call.as_mut().poll(&mut cx).is_pending());
        call
    };
    eventually(Duration::from_secs(5), "the call is in flight", || pool.status().in_flight == 1);
    runtime.shutdown_background();
    thread::spawn(move || sender.send(single().block_on(call)));
    let error = receiver.recv_timeout(Duration::from_secs(5)).expect("it ends").unwrap_err();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert!(error.to_string().contains("runtime"), "{error}");
    server.thaw();
}

#[test]
fn outside_any_runtime_a_call_is_an_error_and_not_a_panic() {
    let pool = Pool::builder().url("redis://127.0.0.1:1").build().unwrap();
    let mut conn = pool.conn();
    let mut call = Box::pin(conn.get::<_, Option<String>>("k"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut cx) else {
        panic!("it waits for a runtime that is not there");
    };
    assert!(Error::from_redis(&error).unwrap().to_string().contains("outside a tokio runtime"), "{error}");
}

#[test]
fn a_runtime_without_timers_or_io_gets_an_error_and_not_a_hang() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime
        .block_on(within(Duration::from_secs(5), async { pool.conn().get::<_, Option<String>>("k").await }))
        .unwrap_err();
    assert!(error.to_string().contains("enable_all"), "{error}");
}

#[test]
fn under_a_paused_clock_calls_are_answered_and_not_timed_out() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(within(Duration::from_secs(30), async {
        let mut conn = pool.conn();
        for n in 0..200 {
            let () = conn.set("paused", n).await.unwrap();
            assert_eq!(conn.get::<_, i64>("paused").await.unwrap(), n);
        }
    }));
}

#[test]
fn dropping_the_last_handle_cuts_the_sockets() {
    let server = Server::start();
    let runtime = multi(1);
    let pool = Pool::builder().url(server.url()).build().unwrap();
    runtime.block_on(pool.start()).unwrap();
    assert_eq!(server.observer().client_count(), 1);
    drop(pool);
    eventually(Duration::from_secs(5), "the server sees it go", || server.observer().client_count() == 0);
}
