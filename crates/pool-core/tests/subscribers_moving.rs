//! A subscriber outlives its runtime, and costs others nothing when nobody needs it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Event, Outcome, Pool, Subscriber};
use cenote_testkit::{Proxy, Server, blackhole_addr, eventually, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(5);

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn pool(server: &Server) -> Pool {
    Pool::builder().url(server.url()).build().unwrap()
}

/// One shared connection and one place for whatever is exclusive.
fn narrow(server: &Server) -> Pool {
    let limit = Duration::from_secs(10);
    Pool::builder().url(server.url()).max_connections(2).socket_timeout(limit).build().unwrap()
}

async fn subscribed(pool: &Pool, name: &str) -> Subscriber {
    let mut subscriber = pool.subscriber();
    subscriber.subscribe(name).await.unwrap();
    subscriber
}

/// Runs in a thread of its own; what spins would never give this one a turn.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = tell.send(work());
    });
    told.recv_timeout(SOON).expect("it hangs or spins")
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls outside any runtime.
fn block_bare<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn whoever_ended_all_subscriptions_of_an_ended_runtime_can_begin_anew_in_the_next() {
    let server = Server::start();
    let pool = pool(&server);
    let first = multi();
    let mut subscriber = first.block_on(subscribed(&pool, "a"));
    drop(first);
    subscriber.unsubscribe("a");
    in_time(move || {
        single().block_on(async move {
            let nothing = tokio::time::timeout(Duration::from_millis(50), subscriber.next()).await;
            assert!(nothing.is_err(), "{nothing:?}");
            subscriber.subscribe("b").await.unwrap();
            let () = pool.conn().publish("b", 1).await.unwrap();
            let event = subscriber.next().await;
            assert!(
                matches!(event, Some(Event::Message(_))),
                "nothing was missed of what it has now: {event:?}"
            );
        });
    });
}

#[test]
fn moving_in_beside_a_subscriber_that_has_the_channel_already_is_a_gap_all_the_same() {
    let server = Server::start();
    let pool = pool(&server);
    let (first, second) = (multi(), multi());
    let mut moving = first.block_on(subscribed(&pool, "a"));
    second.block_on(within(SOON, async {
        let mut settled = subscribed(&pool, "a").await;
        assert!(matches!(moving.next().await, Some(Event::Gap)));
        let () = pool.conn().publish("a", 1).await.unwrap();
        for subscriber in [&mut moving, &mut settled] {
            assert!(matches!(subscriber.next().await, Some(Event::Message(_))));
        }
    }));
}

#[test]
fn a_runtime_can_be_dropped_while_a_subscribers_handler_computes() {
    let server = Server::start();
    let pool = pool(&server);
    let runtime = multi();
    let (tell, ready) = mpsc::channel();
    let (go_on, computed) = mpsc::channel::<()>();
    runtime.spawn(async move {
        let mut subscriber = subscribed(&pool, "a").await;
        tell.send(()).unwrap();
        // The handler; it blocks its worker, so the drop below waits for it, when the runtime's tasks are over.
        let _ = computed.recv_timeout(Duration::from_millis(200));
        subscriber.next().await
    });
    ready.recv().unwrap();
    in_time(move || drop(runtime));
    drop(go_on);
}

#[test]
fn subscribing_with_the_handle_of_a_runtime_that_has_ended_is_an_error() {
    let server = Server::start();
    let pool = pool(&server);
    let runtime = multi();
    let handle = runtime.handle().clone();
    drop(runtime);
    let error = in_time(move || {
        let _entered = handle.enter();
        block_bare(pool.subscriber().subscribe("a")).unwrap_err()
    });
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[test]
fn polled_outside_any_runtime_it_is_told_of_the_end() {
    let server = Server::start();
    let pool = pool(&server);
    let first = multi();
    let mut subscriber = first.block_on(subscribed(&pool, "a"));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(block_bare(subscriber.next())));
    multi().block_on(pool.close());
    let event = told.recv_timeout(SOON).expect("it is woken");
    assert!(matches!(event, Some(Event::Closed)), "{event:?}");
    drop(first);
}

#[test]
fn a_runtime_without_drivers_does_not_panic_again_and_again() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start();
    let pool = pool(&server);
    let first = multi();
    let mut subscriber = first.block_on(subscribed(&pool, "a"));
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.to_string().contains("Tokio 1.x context") {
            PANICS.fetch_add(1, Ordering::Relaxed);
        } else {
            usual(info);
        }
    }));
    let bare = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    bare.spawn(async move { subscriber.next().await });
    eventually(SOON, "it was tried", || PANICS.load(Ordering::Relaxed) > 0);
    let began = Instant::now();
    thread::sleep(Duration::from_millis(500));
    let most = 4 + 2 * began.elapsed().as_secs() as usize;
    assert!(PANICS.load(Ordering::Relaxed) <= most, "{PANICS:?}");
    bare.shutdown_background();
}

#[test]
fn the_place_of_a_parked_runtime_that_nobody_needs_is_given_on() {
    let server = Server::start();
    let pool = narrow(&server);
    let parked = single();
    let mut subscriber = parked.block_on(subscribed(&pool, "a"));
    let event = multi().block_on(within(SOON, subscriber.next()));
    assert!(matches!(event, Some(Event::Gap)), "{event:?}");
    drop(parked);
}

#[test]
fn the_place_of_a_push_connection_that_nobody_needs_is_given_on_at_once() {
    let server = Server::start();
    let pool = narrow(&server);
    multi().block_on(async {
        drop(subscribed(&pool, "a").await);
        let began = Instant::now();
        let conn = pool.dedicated().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!((pool.status().subscribers, pool.status().dedicated_in_use), (0, 1));
        drop(conn);
        // And back: an idle exclusive connection makes room for a push connection.
        subscribed(&pool, "a").await;
    });
}

#[test]
fn a_push_connection_that_nobody_needs_is_closed_after_a_while() {
    let server = Server::start();
    let pool = pool(&server);
    multi().block_on(async {
        drop(subscribed(&pool, "a").await);
        let listens = || server.observer().clients().iter().any(|client| client["sub"] != "0");
        assert!(listens(), "the next who subscribes finds it");
        eventually(SOON * 4, "it is closed", || !listens());
        assert_eq!(pool.status().dedicated_in_use, 0);
    });
}

#[test]
fn where_no_connection_can_be_made_the_error_says_that_nothing_was_sent() {
    let nowhere = blackhole_addr();
    let pool = Pool::builder().url(nowhere.url()).build().unwrap();
    multi().block_on(async {
        let mut subscriber = pool.subscriber().with_timeout(Duration::from_millis(300));
        let error = subscriber.subscribe("a").await.unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains("waiting for a connection"), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
    });
}

#[test]
fn a_connection_on_which_a_large_message_is_arriving_is_not_taken_for_deaf() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let interval = Duration::from_millis(200);
    let pool = Pool::builder().url(proxy.url()).health_check_interval(interval).build().unwrap();
    multi().block_on(async {
        let mut subscriber = subscribed(&pool, "a").await;
        let _: String = pool.conn().ping().await.unwrap();
        proxy.one_byte_at_a_time(true);
        let began = Instant::now();
        server.observer().get::<i64>(&["PUBLISH", "a", &"x".repeat(300_000)]);
        let event = within(SOON * 6, subscriber.next()).await;
        let Some(Event::Message(message)) = event else { panic!("{event:?}") };
        assert_eq!(message.payload().len(), 300_000);
        println!("it took {:?}", began.elapsed());
    });
}
