//! A place in the budget is one connection as the server counts it: it is given on once the server has let go, which
//! a server that cannot be asked is given a tenth of a second for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_testkit::{Watchdog, eventually, within};
use redis::{AsyncCommands, Value};
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(5);

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A server that takes its time to close a connection which its client has ended, and counts what it has open.
struct Slow {
    addr: SocketAddr,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

const CLOSES_AFTER: Duration = Duration::from_millis(20);

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (open, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let slow = Self { addr, open: open.clone(), most: most.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, open) = (stream.unwrap(), open.clone());
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(&stream);
                    thread::sleep(CLOSES_AFTER);
                    open.fetch_sub(1, Ordering::SeqCst);
                    drop(stream);
                });
            }
        });
        slow
    }
}

/// Greets, lets a BLPOP wait for ever, and answers whatever else with PONG, until the client is gone.
fn serve(mut stream: &TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..count]);
        let reply: &[u8] = if text.contains("HELLO") {
            b"%0\r\n+PONG\r\n$-1\r\n$-1\r\n"
        } else if text.contains("BLPOP") {
            b""
        } else {
            b"+PONG\r\n"
        };
        let _ = stream.write_all(reply);
    }
}

#[test]
fn a_place_is_given_on_only_once_the_server_has_let_go() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let slow = Slow::start();
    let pool = Pool::builder().url(format!("redis://{}", slow.addr)).max_connections(2).build().unwrap();
    let runtime = multi();
    for _ in 0..5 {
        // Dropped with a command unanswered: the connection is cut.
        runtime.block_on(async {
            let mut held = pool.dedicated().await.unwrap();
            let blocked = held.blpop::<_, Value>("never", 0.0);
            assert!(tokio::time::timeout(Duration::from_millis(5), blocked).await.is_err());
        });
        // In use by turns in runtimes that stand still afterwards: the idle lane is retired.
        for _ in 0..2 {
            let another = single();
            another.block_on(async {
                let mut conn = pool.conn();
                redis::cmd("PING").exec_async(&mut conn).await.unwrap();
            });
            drop(another);
        }
    }
    let most = slow.most.load(Ordering::SeqCst);
    assert_eq!(most, 2, "the server had {most} of our connections open at once, of 2 that it may");
    drop(pool);
    eventually(SOON, "all are closed in the end", || slow.open.load(Ordering::SeqCst) == 0);
}

#[test]
fn lanes_retired_for_runtimes_in_turn_never_make_more_than_the_budget() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let slow = Slow::start();
    let pool = Pool::builder().url(format!("redis://{}", slow.addr)).max_connections(2).build().unwrap();
    let runtimes: Vec<Runtime> = (0..4).map(|_| single()).collect();
    for runtime in runtimes.iter().cycle().take(10) {
        runtime.block_on(within(SOON, async {
            redis::cmd("PING").exec_async(&mut pool.conn()).await.unwrap();
        }));
    }
    let most = slow.most.load(Ordering::SeqCst);
    assert_eq!(most, 2, "the server had {most} of our connections open at once, of 2 that it may");
}
