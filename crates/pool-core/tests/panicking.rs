//! A panic in a connection's task is told as what it is.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Answer, Canned, Log, Server, within};
use redis::AsyncCommands;
use tokio::runtime::Builder;

const SOON: Duration = Duration::from_secs(30);

struct Unwakeable;

impl Wake for Unwakeable {
    fn wake(self: Arc<Self>) {
        panic!("a bug in the\ncaller's own hunter2 executor");
    }
}

/// Greets; and answers what was asked first when it is asked for `second`.
fn peer() -> Canned {
    Canned::answering(|_, asked| {
        let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
        let replies = asked.split("\r\n").map(|word| match word {
            "hello" => "*0\r\n",
            "ping" => "+PONG\r\n",
            "info" => "$0\r\n\r\n",
            "second" => "$1\r\n1\r\n",
            _ => "",
        });
        let replies: String = replies.collect();
        if replies.is_empty() { Answer::Silence } else { Answer::Send(replies.into_bytes()) }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_a_connection_by_a_panic_is_told_of_it_and_of_no_driver_that_is_missing() {
    let log = Log::capture();
    let peer = peer();
    let url = format!("redis://:hunter2@{}", peer.addr());
    let pool = Pool::builder().url(url).shared_connections(1).build().unwrap();
    let (mut first, mut second) = (pool.conn(), pool.conn());
    let mut first = pin!(first.get::<_, String>("first"));
    let waker = Waker::from(Arc::new(Unwakeable));
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let lost = within(SOON, second.incr::<_, _, i64>("second", 1)).await.unwrap_err();
    let lost = Error::from_redis(&lost).expect("the pool's own");
    assert_eq!(lost.outcome(), Outcome::MayHaveExecuted);
    let told = lost.to_string();
    assert!(told.contains("panicked: a bug in the\\ncaller's own *** executor"), "{told}");
    assert!(!told.contains("enable_all") && !log.text().contains("hunter2"), "{told}");
}

#[test]
fn a_runtime_that_a_panicking_thread_drops_has_ended_and_lacks_nothing() {
    let single = || Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).shared_connections(1).build().unwrap();
    let runtime = single();
    runtime.block_on(pool.start()).unwrap();
    server.freeze();
    let mut conn = pool.conn();
    let call = {
        let _inside = runtime.enter();
        let mut call = Box::pin(async move { conn.incr::<_, _, i64>("n", 1).await });
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        call
    };
    let owner = thread::spawn(move || {
        let _runtime = runtime;
        panic!("a bug of the runtime's owner");
    });
    owner.join().unwrap_err();
    let told = single().block_on(within(SOON, call)).unwrap_err().to_string();
    assert!(told.contains("the tokio runtime that served this connection has ended"), "{told}");
    server.thaw();
}
