//! Sentinels that change their mind all the time, or name what is no server, do not make the pool do the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Log, Sentinels, Server, StandInSentinel, dead_port, eventually_async, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);
const WHILE: Duration = Duration::from_secs(2);

/// Names the first of two servers, and announces one and the other in turn, a thousand times a second.
struct Restless {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    announced: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Restless {
    fn between(masters: [SocketAddr; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let it = Self {
            addr: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            announced: Arc::default(),
            over: Arc::default(),
        };
        let (accepted, announced, over) = (it.accepted.clone(), it.announced.clone(), it.over.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                accepted.fetch_add(1, Ordering::Relaxed);
                let (stream, announced, over) = (stream.unwrap(), announced.clone(), over.clone());
                thread::spawn(move || serve(stream, masters, &announced, &over));
            }
        });
        it
    }

    fn pool(&self) -> Pool {
        Pool::builder().sentinel("main", [self.addr.to_string()]).build().unwrap()
    }
}

impl Drop for Restless {
    #[expect(clippy::disallowed_methods, reason = "it wakes its own listener")]
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

/// Until either side hangs up. Each question comes in one piece.
fn serve(mut stream: TcpStream, masters: [SocketAddr; 2], announced: &AtomicUsize, over: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let asked = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if asked.contains("SUBSCRIBE") {
            let _ = stream.write_all(b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
            for turn in 1.. {
                let master = masters[turn % 2];
                let text = format!("main 127.0.0.1 1 {} {}", master.ip(), master.port());
                let message =
                    format!("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${}\r\n{text}\r\n", text.len());
                if over.load(Ordering::Relaxed) || stream.write_all(message.as_bytes()).is_err() {
                    return;
                }
                announced.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        }
        let (ip, port) = (masters[0].ip().to_string(), masters[0].port().to_string());
        let reply = format!("*2\r\n${}\r\n{ip}\r\n${}\r\n{port}\r\n", ip.len(), port.len());
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// So much in the time since, with room for a slow start.
fn at_most(per_second: f64, since: Instant) -> usize {
    (per_second * (since.elapsed().as_secs_f64() + 1.0)) as usize
}

#[tokio::test]
async fn a_sentinel_that_announces_a_thousand_masters_a_second_costs_no_command() {
    let log = Log::capture();
    let server = Server::start();
    let observer = server.observer();
    let sentinel = Restless::between([server.addr(), dead_port()]);
    let pool = sentinel.pool();
    let mut conn = pool.conn();
    let () = within(SOON, conn.set("n", 0)).await.unwrap();
    let before: usize = observer.info("total_connections_received").parse().unwrap();
    let (since, mut n) = (Instant::now(), 0);
    while since.elapsed() < WHILE {
        n += 1;
        assert_eq!(within(SOON, conn.incr::<_, _, i64>("n", 1)).await.unwrap(), n);
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let dials = observer.info("total_connections_received").parse::<usize>().unwrap() - before;
    let (said, node) = ("Sentinel names another master", server.addr().to_string());
    let lines = log.text().lines().filter(|line| line.contains(said) && line.contains(&node)).count();
    let announced = sentinel.announced.load(Ordering::Relaxed);
    println!("{announced} announcements: {n} commands, {dials} dials, {lines} lines");
    assert!(announced > 100, "{announced} announcements");
    assert!(dials <= at_most(25.0, since), "{dials} dials");
    assert!((1..=at_most(4.0, since)).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn a_sentinel_that_announces_a_thousand_masters_a_second_does_not_hasten_an_outage() {
    let sentinel = Restless::between([dead_port(), dead_port()]);
    let pool = sentinel.pool();
    assert!(matches!(within(SOON, pool.start()).await, Ok(State::Degraded { .. })));
    let since = Instant::now();
    eventually_async(SOON, "announcements", || async { sentinel.announced.load(Ordering::Relaxed) > 100 })
        .await;
    tokio::time::sleep(WHILE).await;
    let asked = sentinel.accepted.load(Ordering::Relaxed);
    assert!(asked <= at_most(25.0, since), "it was asked {asked} times");
}

#[tokio::test]
async fn a_sentinel_that_is_named_as_the_master_is_refused() {
    let set = Sentinels::start();
    let stand_in = StandInSentinel::naming(set.sentinels()[0].addr());
    let pool = Pool::builder().url(stand_in.url()).required(true).build().unwrap();
    let error = within(SOON, pool.start()).await.unwrap_err();
    assert!(error.to_string().contains("it is no master, but a sentinel"), "{error}");
}
