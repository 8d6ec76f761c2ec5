//! A subscriber's currency: even from the moment of a loss until all is back, and never the same afterwards.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Currency, Event, Pool, Subscriber};
use cenote_testkit::{Proxy, Server, eventually, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn pool(proxy: &Proxy) -> Pool {
    Pool::builder().url(proxy.url()).build().unwrap()
}

async fn subscribed(pool: &Pool) -> (Subscriber, Currency) {
    let mut subscriber = pool.subscriber();
    subscriber.track("k:").await.unwrap();
    subscriber.subscribe("news").await.unwrap();
    let currency = subscriber.currency();
    assert_eq!(currency.get(), 1);
    (subscriber, currency)
}

async fn next(subscriber: &mut Subscriber) -> Event {
    within(SOON, subscriber.next()).await.expect("not closed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_even_from_the_loss_on_and_odd_again_before_the_gap() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(&proxy);
    let (mut subscriber, currency) = subscribed(&pool).await;
    for round in 0..3 {
        // Nobody polls the subscriber, and nothing can be connected: the loss alone must do.
        proxy.refuse_after_accept(true);
        proxy.cut();
        eventually(SOON, "the loss is noticed", || currency.get() == 2 + 2 * round);
        proxy.pass();
        assert!(matches!(next(&mut subscriber).await, Event::Gap));
        assert_eq!(currency.get(), 3 + 2 * round, "by the time the gap is told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_serves_by_it_never_serves_what_was_changed_while_the_connection_was_lost() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(&proxy);
    let (mut subscriber, currency) = subscribed(&pool).await;
    for n in 0..20 {
        let remembered = currency.get();
        server.observer().command(&["SET", "k:1", "before"]).unwrap();
        proxy.cut();
        eventually(SOON, "it is lost", || currency.get() != remembered);
        server.observer().command(&["SET", "k:1", &n.to_string()]).unwrap();
        while !matches!(next(&mut subscriber).await, Event::Gap) {
            assert_ne!(currency.get(), remembered, "what was remembered is never current again");
        }
        assert!(currency.get() % 2 == 1 && currency.get() > remembered);
    }
}

#[test]
fn it_is_even_while_the_subscriber_belongs_to_no_connection_and_after_its_end() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(&proxy);
    let (first, second) = (runtime(), runtime());
    let (mut subscriber, currency) = first.block_on(subscribed(&pool));

    // It follows whoever polls it, while the first connection lives.
    assert!(matches!(second.block_on(next(&mut subscriber)), Event::Gap));
    assert_eq!(currency.get(), 3);
    // Its runtime ends.
    drop(second);
    eventually(SOON, "it is an orphan", || currency.get() == 4);
    assert!(matches!(first.block_on(next(&mut subscriber)), Event::Gap));
    assert_eq!(currency.get(), 5);

    drop(subscriber);
    assert_eq!(currency.get(), 6, "dropped");
    let (_subscriber, currency) = first.block_on(subscribed(&pool));
    first.block_on(pool.close());
    assert_eq!(currency.get(), 2, "closed");
    assert_eq!(pool.subscriber().currency().get(), 2, "of a closed pool");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_dropped_change_it_and_leave_it_odd() {
    let pool = Pool::embedded(FallbackLru::default());
    let mut subscriber = pool.subscriber().with_capacity(2);
    subscriber.subscribe("news").await.unwrap();
    let currency = subscriber.currency();
    for n in 0..5 {
        let _: i64 = pool.conn().publish("news", n).await.unwrap();
    }
    assert!(currency.get() > 1 && currency.get() % 2 == 1, "{}", currency.get());
    let seen = currency.get();
    assert!(matches!(next(&mut subscriber).await, Event::Lagged(3)));
    assert_eq!(currency.get(), seen, "told, and nothing dropped since");
}

#[test]
fn it_may_be_read_from_any_thread() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Currency>();
}
