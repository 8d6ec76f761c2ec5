//! Clients that stop reading: cut off in time, and nobody else notices.

mod common;
#[path = "common/site.rs"]
mod site;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_pubsub_progress::sse::{Responder, WriteTimeoutListener};
use cenote_pubsub_progress::{JobHandle, Progress};
use cenote_testkit::{Server, eventually_async, within};
use common::{SOON, progress};
use site::{Client, site_on};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(3);
/// What a slow machine may take more.
const ROOM: Duration = Duration::from_secs(4);

async fn bounded_site(progress: &Progress) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = WriteTimeoutListener::new(listener).deadline(DEADLINE).send_buffer(16 << 10);
    site_on(listener, Responder::new(progress))
}

/// With a small buffer of its own, so that little is enough to fill it.
#[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(addr).await.unwrap()
}

/// A job with 50 long lines a second, until it is told to stop.
fn work(job: JobHandle) -> (JoinHandle<u64>, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let worker = tokio::spawn(async move {
        let mut lines = 0;
        while !asked.load(Ordering::Relaxed) {
            job.log(&"x".repeat(4_000));
            lines += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = job.finish(()).await.unwrap();
        lines
    });
    (worker, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_cut_off_within_the_deadline_and_hurts_nobody() {
    let server = Server::start();
    let watchers = progress(server.url());
    let addr = bounded_site(&watchers).await;
    let (worker, stop) = work(progress(server.url()).start("job").await.unwrap());
    let reading = tokio::spawn(async move { Client::open(addr, "/events/job").await.all().await });
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(Client::on(connect(addr).await, "/events/job", "").await.stream);
    }
    let began = Instant::now();
    for stream in &stuck {
        eventually_async(SOON, "it is cut off", || async { stream.take_error().unwrap().is_some() }).await;
    }
    let took = began.elapsed();
    assert!(took > DEADLINE / 2 && took < DEADLINE + ROOM, "{took:?}");
    // What it can still read is what its own buffer held: all else was given up.
    let mut left = Vec::new();
    let _ = within(SOON, stuck[0].read_to_end(&mut left)).await;
    assert!(left.len() < 512 << 10, "{}", left.len());
    assert!(!String::from_utf8_lossy(&left).contains("event: finished"));

    stop.store(true, Ordering::Relaxed);
    let lines = worker.await.unwrap();
    let told = within(SOON, reading).await.unwrap();
    assert_eq!(told.last().unwrap().name, "finished");
    assert!(told.iter().all(|told| told.name != "gap"), "whoever reads has missed nothing");
    assert_eq!(told.iter().filter(|told| told.name == "log").count() as u64, lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_and_one_that_has_nothing_to_read_are_not_cut_off() {
    let server = Server::start();
    let addr = bounded_site(&progress(server.url())).await;
    let (worker, stop) = work(progress(server.url()).start("job").await.unwrap());
    let mut idle = Client::open(addr, "/events/nobody").await;
    idle.until("pending").await;
    let mut slow = Client::on(connect(addr).await, "/events/job", "").await.stream;
    let began = Instant::now();
    let mut bytes = vec![0; 4 << 10];
    while began.elapsed() < 2 * DEADLINE {
        within(SOON, slow.read_exact(&mut bytes)).await.expect("it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    worker.await.unwrap();
    let nobody = progress(server.url()).start("nobody").await.unwrap();
    let _ = nobody.finish(()).await.unwrap();
    idle.until("finished").await;
}
