//! One budget for all runtimes and all kinds of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_testkit::{Server, Watchdog, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const RUNTIMES: usize = 22;
const PARKED: usize = 3;
const TASKS: usize = 16;
const COMMANDS: usize = 200_000;

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Samples the server's own list until told to stop: (most connections seen, samples).
fn watch(server: &Server, stop: Arc<AtomicBool>) -> thread::JoinHandle<(usize, usize)> {
    let observer = server.observer();
    thread::spawn(move || {
        let (mut most, mut samples) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            most = most.max(observer.client_count());
            samples += 1;
            thread::sleep(Duration::from_millis(1).saturating_sub(began.elapsed()));
        }
        (most, samples)
    })
}

#[test]
fn twenty_five_runtimes_and_fifteen_dedicated_connections_stay_within_twenty_and_nobody_starves() {
    let _watchdog = Watchdog::new(Duration::from_secs(180));
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(20).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(&server, stop.clone());

    // Three runtimes that used the pool and then stand still, their sockets open.
    let parked: Vec<Runtime> = (0..PARKED).map(|_| single()).collect();
    for runtime in &parked {
        runtime.block_on(async { pool.conn().set::<_, _, ()>("parked", 1).await }).unwrap();
    }
    let holder = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut dedicated = holder.block_on(within(Duration::from_secs(30), async {
        let mut held = Vec::new();
        for _ in 0..15 {
            held.push(pool.dedicated().await.unwrap());
        }
        held
    }));

    let longest_wait = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..RUNTIMES)
        .map(|runtime| {
            let (pool, longest_wait) = (pool.clone(), longest_wait.clone());
            thread::spawn(move || {
                single().block_on(async {
                    let tasks: Vec<_> = (0..TASKS)
                        .map(|task| {
                            let (mut conn, longest_wait) = (pool.conn(), longest_wait.clone());
                            tokio::spawn(async move {
                                for n in 0..COMMANDS.div_ceil(RUNTIMES * TASKS) {
                                    let began = Instant::now();
                                    let payload = format!("{runtime}:{task}:{n}");
                                    let echoed: String = redis::cmd("ECHO")
                                        .arg(&payload)
                                        .query_async(&mut conn)
                                        .await
                                        .unwrap();
                                    assert_eq!(echoed, payload);
                                    let waited = began.elapsed().as_millis() as usize;
                                    longest_wait.fetch_max(waited, Ordering::Relaxed);
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    holder.block_on(async {
        for conn in &mut dedicated {
            let () = conn.set("still", "mine").await.unwrap();
        }
    });
    for runtime in &parked {
        let value: i64 = runtime.block_on(async { pool.conn().get("parked").await }).unwrap();
        assert_eq!(value, 1, "a parked runtime finds its way back");
    }
    stop.store(true, Ordering::Relaxed);
    let (most, samples) = watcher.join().unwrap();
    let longest = longest_wait.load(Ordering::Relaxed);
    println!("most connections {most} in {samples} samples; longest wait {longest} ms");
    assert!(most <= 20, "the server saw {most} connections");
    assert!(most >= 18, "the budget was used: {most}");
    assert!(samples > 100, "{samples} samples");
    assert!(longest < 5_000, "somebody waited {longest} ms");
}
