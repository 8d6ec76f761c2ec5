//! Subscribers through outages: each gap told once, nothing twice, and back in time.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use cenote_pool_core::{Event, Pool, Subscriber};
use cenote_testkit::{Proxy, Server, eventually_async, is_long, within};
use parking_lot::Mutex;
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(10);
/// From the server's return to the next message received.
const BACK: Duration = Duration::from_secs(1);

/// What one subscriber was told, in order, with the time.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(Instant, Event)>>>);

impl Diary {
    fn keep(mut subscriber: Subscriber) -> Self {
        let diary = Self::default();
        let pages = diary.clone();
        tokio::spawn(async move {
            while let Some(event) = subscriber.next().await {
                pages.0.lock().push((Instant::now(), event));
            }
        });
        diary
    }

    fn gaps(&self) -> usize {
        self.0.lock().iter().filter(|(_, event)| matches!(event, Event::Gap)).count()
    }

    /// When the first message came after `since`.
    fn heard_after(&self, since: Instant) -> Option<Instant> {
        let pages = self.0.lock();
        pages.iter().find(|(at, event)| *at > since && matches!(event, Event::Message(_))).map(|(at, _)| *at)
    }

    /// Every message once, in the order of publication, and what is missing lies where a gap was told.
    #[track_caller]
    fn check(&self) {
        let (mut last, mut gap, mut seen) = (None::<u64>, false, HashSet::new());
        for (_, event) in &*self.0.lock() {
            match event {
                Event::Message(message) => {
                    let n: u64 = message.get().unwrap();
                    assert!(seen.insert(n), "{n} came twice");
                    let dense = last.is_none_or(|last| n == last + 1);
                    assert!(dense || gap, "{last:?} was followed by {n} and no gap was told");
                    assert!(last.is_none_or(|last| n > last), "{n} came after {last:?}");
                    (last, gap) = (Some(n), false);
                }
                Event::Gap => gap = true,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Publishes numbers past the pool, every 5 ms, for as long as the server takes them.
struct Publisher(Arc<std::sync::atomic::AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Publisher {
    /// Only what Redis took counts: a number that may or may not have been published is not used again.
    fn start(server: &Server) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stopped, observer) = (stop.clone(), server.observer());
        let thread = std::thread::spawn(move || {
            let mut n = 0u64;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                if observer.command(&["PUBLISH", "numbers", &n.to_string()]).is_ok() {
                    n += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outage {
    Killed,
    Frozen,
    CutOff,
    /// Everything is lost on its way, and nobody says so.
    Swallowed,
}

/// Two subscribers through one outage; returns how long after the server's return they heard of it again.
async fn through(outage: Outage, length: Duration) -> Duration {
    let server = Server::builder().persistent().start();
    let proxy = Proxy::to(&server);
    let limit = Duration::from_millis(if outage == Outage::Swallowed { 600 } else { 5_000 });
    let pool = Pool::builder().url(proxy.url()).socket_timeout(limit).build().unwrap();
    let (mut first, mut second) = (pool.subscriber(), pool.subscriber());
    first.subscribe("numbers").await.unwrap();
    second.psubscribe("num*").await.unwrap();
    let _: String = pool.conn().ping().await.unwrap();
    let diaries = [Diary::keep(first), Diary::keep(second)];
    let publisher = Publisher::start(&server);
    let began = Instant::now();
    eventually_async(SOON, "messages come", async || {
        diaries.iter().all(|diary| diary.heard_after(began).is_some())
    })
    .await;

    match outage {
        Outage::Killed => server.kill(),
        Outage::Frozen => server.freeze(),
        Outage::CutOff => {
            proxy.refuse_after_accept(true);
            proxy.cut();
        }
        Outage::Swallowed => proxy.blackhole(true),
    }
    let end = Instant::now() + length;
    while Instant::now() < end {
        // Without a call there is nothing by which to tell an outage from silence.
        let _: Result<String, _> = pool.conn().with_timeout(Duration::from_millis(100)).ping().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match outage {
        Outage::Killed => drop(server.restart()),
        Outage::Frozen => server.thaw(),
        Outage::CutOff | Outage::Swallowed => proxy.pass(),
    }
    let returned = Instant::now();
    eventually_async(SOON, "messages come again", async || {
        diaries.iter().all(|diary| diary.heard_after(returned).is_some())
    })
    .await;
    let heard = diaries.iter().filter_map(|diary| diary.heard_after(returned)).max().unwrap();
    eventually_async(SOON, "the pool is ready", async || pool.conn().ping::<String>().await.is_ok()).await;
    drop(publisher);
    let survived = outage == Outage::Frozen && length < Duration::from_secs(5);
    for diary in &diaries {
        diary.check();
        assert_eq!(diary.gaps(), usize::from(!survived), "{outage:?} for {length:?}");
    }
    heard.duration_since(returned)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn is_back_in_time(outage: Outage) {
    // What is swallowed is found out by the silence: of the lanes first, then of the push connection.
    let shortest = if outage == Outage::Swallowed { 2 } else { 1 };
    let lengths: &[u64] = if is_long() { &[shortest, 25, 60] } else { &[shortest] };
    for length in lengths {
        let length = Duration::from_secs(*length);
        let took = runtime().block_on(within(length + Duration::from_secs(40), through(outage, length)));
        println!("{outage:?} for {length:?}: received again after {took:?}");
        assert!(took < BACK, "{outage:?} for {length:?}: {took:?}");
    }
}

#[test]
fn through_a_kill_a_subscriber_is_back_within_a_second_and_told_of_one_gap() {
    is_back_in_time(Outage::Killed);
}

#[test]
fn through_a_freeze_a_subscriber_is_back_within_a_second_and_told_of_a_gap_only_if_there_was_one() {
    is_back_in_time(Outage::Frozen);
}

#[test]
fn cut_off_a_subscriber_is_back_within_a_second_and_told_of_one_gap() {
    is_back_in_time(Outage::CutOff);
}

#[test]
fn where_everything_is_swallowed_a_subscriber_is_back_within_a_second_and_told_of_one_gap() {
    is_back_in_time(Outage::Swallowed);
}

#[test]
fn when_the_runtime_that_subscribed_has_ended_another_one_goes_on_through_outages() {
    let server = Server::builder().persistent().start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let first = runtime();
    let subscriber = first.block_on(async {
        let mut subscriber = pool.subscriber();
        subscriber.subscribe("numbers").await.unwrap();
        subscriber
    });
    let publisher = Publisher::start(&server);
    let second = runtime();
    second.block_on(within(SOON * 3, async {
        let diary = Diary::keep(subscriber);
        let heard = async |since: Instant| {
            eventually_async(SOON, "messages come", async || diary.heard_after(since).is_some()).await;
            diary.heard_after(since).unwrap().duration_since(since)
        };
        heard(Instant::now()).await;
        // The first runtime may still run, or be gone: both times the subscriptions are here.
        std::thread::spawn(move || drop(first)).join().unwrap();
        let gone = Instant::now();
        assert!(heard(gone).await < BACK);
        assert_eq!(diary.gaps(), 1, "the move");
        server.kill();
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.restart();
        let returned = Instant::now();
        let took = heard(returned).await;
        println!("received again after {took:?}");
        assert!(took < BACK, "{took:?}");
        diary.check();
        assert_eq!(diary.gaps(), 2, "the move and the outage");
    }));
    drop(publisher);
}

#[test]
fn a_subscriber_whose_runtime_ends_while_another_polls_it_is_moved_at_once() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut subscriber = first.block_on(async {
        let mut subscriber = pool.subscriber();
        subscriber.subscribe("numbers").await.unwrap();
        subscriber
    });
    // Polled where there is no runtime, it stays with the first one until that ends.
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    assert!(std::pin::pin!(subscriber.next()).poll(&mut cx).is_pending());
    drop(first);
    second.block_on(within(SOON, async {
        assert!(matches!(subscriber.next().await, Some(Event::Gap)));
        let () = pool.conn().publish("numbers", 1).await.unwrap();
        assert!(matches!(subscriber.next().await, Some(Event::Message(_))));
    }));
}

#[test]
fn polled_in_a_runtime_that_has_ended_it_waits_and_goes_on_in_the_next_one() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let first = runtime();
    let handle = first.handle().clone();
    let (mut subscriber, mut other) = first.block_on(async {
        let (mut subscriber, mut other) = (pool.subscriber(), pool.subscriber());
        subscriber.subscribe("numbers").await.unwrap();
        other.subscribe("numbers").await.unwrap();
        (subscriber, other)
    });
    drop(first);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    {
        let _in_the_ended_one = handle.enter();
        assert!(std::pin::pin!(subscriber.next()).poll(&mut cx).is_pending());
        let Poll::Ready(Err(error)) = std::pin::pin!(subscriber.subscribe("more")).poll(&mut cx) else {
            panic!("it waits for a runtime that has ended")
        };
        assert!(error.to_string().contains("runtime"), "{error}");
    }
    // Where there is none at all nobody would ever wake it.
    assert!(matches!(std::pin::pin!(other.next()).poll(&mut cx), Poll::Ready(Some(Event::Closed))));
    runtime().block_on(within(SOON, async {
        assert!(matches!(subscriber.next().await, Some(Event::Gap)));
        let () = pool.conn().publish("numbers", 1).await.unwrap();
        assert!(matches!(subscriber.next().await, Some(Event::Message(_))));
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_channels_with_ten_subscribers_each_share_one_push_connection() {
    let server = Server::builder().persistent().start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let observer = server.observer();
    let channels: Vec<String> = (0..2_000).map(|n| format!("channel:{n}")).collect();
    let mut subscribers = Vec::new();
    for channel in &channels {
        for reader in 0..10 {
            // One of the first channel never reads, and has little room.
            let capacity = if subscribers.is_empty() && reader == 0 { 8 } else { 1_024 };
            subscribers.push(pool.subscriber().with_capacity(capacity));
        }
        let from = subscribers.len() - 10;
        for subscriber in &mut subscribers[from..] {
            within(SOON, subscriber.subscribe(channel)).await.unwrap();
        }
    }
    let push_connections = || {
        let clients = observer.clients();
        let with = |field: &str| clients.iter().filter(|client| client[field] != "0").count();
        with("sub")
    };
    assert_eq!((push_connections(), pool.status().subscriptions), (1, 20_000));

    // One never reads, and one channel is louder than its queue is long.
    let publish = async |round: u64| {
        let mut conn = pool.conn();
        for chunk in channels.chunks(500) {
            let mut pipe = redis::pipe();
            for channel in chunk {
                pipe.publish(channel, round).ignore();
            }
            let () = pipe.query_async(&mut conn).await.unwrap();
        }
        for _ in 0..10 {
            let () = conn.publish(&channels[0], round).await.unwrap();
        }
    };
    let began = Instant::now();
    publish(1).await;
    let mut late = subscribers.split_off(1);
    let mut lazy = subscribers.pop().unwrap();
    within(SOON * 3, async {
        for (index, subscriber) in late.iter_mut().enumerate() {
            let mut left = if index < 9 { 11 } else { 1 };
            while left > 0 {
                match subscriber.next().await {
                    Some(Event::Message(_)) => left -= 1,
                    other => panic!("nobody else lags: {other:?}"),
                }
            }
        }
    })
    .await;
    println!("20,090 deliveries to 20,000 subscribers in {:?}", began.elapsed());
    let event = within(SOON, lazy.next()).await;
    assert!(matches!(event, Some(Event::Lagged(3))), "{event:?}");

    // An outage: all come back on one connection, in batches of at most 512, and each is told once.
    server.kill();
    let returned = server.restart();
    within(SOON * 3, async {
        for subscriber in &mut late {
            assert!(matches!(subscriber.next().await, Some(Event::Gap)));
        }
    })
    .await;
    println!("20,000 subscriptions are back after {:?}", returned.elapsed());
    let batches = server.observer().calls("subscribe");
    assert!((4..=6).contains(&batches), "{batches} batches");
    publish(2).await;
    for subscriber in &mut late[9..] {
        assert!(matches!(within(SOON, subscriber.next()).await, Some(Event::Message(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_every_ping_and_delivers_nothing_is_left() {
    // The node that the push connection is on was replaced, and lives on: what is published goes to the other.
    let (replaced, current) = (Server::start(), Server::start());
    let proxy = Proxy::to(&replaced);
    let pool = Pool::builder()
        .url(proxy.url())
        .health_check_interval(Duration::from_millis(500))
        .shared_connections(1)
        .build()
        .unwrap();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("numbers").await.unwrap();
    let _: String = pool.conn().ping().await.unwrap();
    proxy.set_upstream(current.addr());
    let lanes: Vec<String> = replaced
        .observer()
        .clients()
        .into_iter()
        .filter(|client| client["sub"] == "0")
        .map(|client| client["id"].clone())
        .collect();
    for id in lanes {
        replaced.observer().get::<()>(&["CLIENT", "KILL", "ID", &id]);
    }
    let before = replaced.observer().calls("ping");
    let began = Instant::now();
    assert!(matches!(within(SOON, subscriber.next()).await, Some(Event::Gap)));
    println!("found after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let pings = replaced.observer().calls("ping") - before;
    assert!(pings >= 1, "it answered while it was asked");
    let () = pool.conn().publish("numbers", 7).await.unwrap();
    assert!(matches!(within(SOON, subscriber.next()).await, Some(Event::Message(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_that_delivers_is_left_alone() {
    let server = Server::start();
    let interval = Duration::from_millis(200);
    let pool = Pool::builder().url(server.url()).health_check_interval(interval).build().unwrap();
    let observer = server.observer();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("numbers").await.unwrap();
    let listening = || {
        let clients = observer.clients().into_iter().filter(|client| client["sub"] != "0");
        clients.map(|client| client["id"].clone()).collect::<Vec<_>>()
    };
    let before = listening();
    eventually_async(SOON, "five probes", async || observer.calls("publish") >= 5).await;
    // A user that may not publish there is not taken for a server that does not deliver, which would be known by now.
    observer.get::<()>(&["ACL", "SETUSER", "default", "-publish"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((listening(), before.len()), (before, 1));
    observer.get::<()>(&["ACL", "SETUSER", "default", "+publish"]);
    let () = pool.conn().publish("numbers", 1).await.unwrap();
    let event = within(SOON, subscriber.next()).await;
    assert!(matches!(event, Some(Event::Message(_))), "no gap before it: {event:?}");
}
