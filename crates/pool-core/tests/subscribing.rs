//! What a subscriber is told, and when its subscriptions hold.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Error, Event, Invalidation, Outcome, Pool, Subscriber, SubscriptionKind};
use cenote_testkit::{Log, Proxy, Server, dead_port, eventually_async, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(5);

fn pool(url: &str) -> Pool {
    Pool::builder().url(url).build().unwrap()
}

/// The next event, which must come soon.
async fn next(subscriber: &mut Subscriber) -> Event {
    within(SOON, subscriber.next()).await.expect("an event before the end")
}

#[track_caller]
fn shown(event: &Event) -> (String, String) {
    let Event::Message(message) = event else { panic!("not a message: {event:?}") };
    (message.channel().into_owned(), message.get().unwrap())
}

async fn message(subscriber: &mut Subscriber) -> (String, String) {
    shown(&next(subscriber).await)
}

fn pair(channel: &str, payload: &str) -> (String, String) {
    (channel.to_owned(), payload.to_owned())
}

/// The same in both protocols.
async fn everything_by_its_kind(url: &str) {
    let pool = pool(url);
    let mut conn = pool.conn();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    subscriber.psubscribe("sport.*").await.unwrap();
    subscriber.ssubscribe("shard").await.unwrap();

    let told: i64 = conn.publish("news", "a").await.unwrap();
    assert_eq!(told, 1, "subscribed means that Redis knows of it");
    let () = conn.publish("sport.golf", "b").await.unwrap();
    let () = conn.publish("other", "unheard").await.unwrap();
    let _: i64 = redis::cmd("SPUBLISH").arg("shard").arg("c").query_async(&mut conn).await.unwrap();
    assert_eq!(message(&mut subscriber).await, pair("news", "a"));
    let Event::Message(by_pattern) = next(&mut subscriber).await else { panic!("no message") };
    assert_eq!(by_pattern.pattern().as_deref(), Some("sport.*"));
    assert_eq!((by_pattern.channel().as_ref(), by_pattern.payload()), ("sport.golf", &b"b"[..]));
    assert_eq!(message(&mut subscriber).await, pair("shard", "c"));

    subscriber.unsubscribe("news");
    subscriber.punsubscribe("sport.*");
    let () = conn.publish("news", "late").await.unwrap();
    let _: i64 = redis::cmd("SPUBLISH").arg("shard").arg("last").query_async(&mut conn).await.unwrap();
    assert_eq!(message(&mut subscriber).await, pair("shard", "last"), "nothing of what was ended");
    pool.close().await;
    assert!(matches!(next(&mut subscriber).await, Event::Closed));
    assert!(subscriber.next().await.is_none());
}

#[tokio::test]
async fn channels_patterns_and_sharded_channels_are_received_over_resp3() {
    let server = Server::start();
    everything_by_its_kind(&server.url()).await;
}

#[tokio::test]
async fn channels_patterns_and_sharded_channels_are_received_over_resp2() {
    let server = Server::start();
    everything_by_its_kind(&format!("{}?protocol=resp2", server.url())).await;
}

#[tokio::test]
async fn an_embedded_pool_delivers_within_the_process() {
    let pool = Pool::embedded(FallbackLru::default());
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    subscriber.psubscribe("n[a-f]ws").await.unwrap();
    let told: i64 = pool.conn().publish("news", "a").await.unwrap();
    assert_eq!(told, 2);
    let mut soft = pool.degradable().unwrap();
    let (set, told): ((), i64) =
        redis::pipe().atomic().set("k", "v").publish("news", "b").query_async(&mut soft).await.unwrap();
    assert_eq!((set, told), ((), 2));
    for payload in ["a", "a", "b", "b"] {
        assert_eq!(message(&mut subscriber).await, pair("news", payload));
    }
    subscriber.punsubscribe("n[a-f]ws");
    let other: i64 = pool.conn().publish("other", "c").await.unwrap();
    assert_eq!(other, 0);
    // A pipeline that the fallback refuses publishes nothing.
    let refused: Result<(), _> =
        redis::pipe().publish("news", "d").cmd("GEOADD").query_async(&mut pool.conn()).await;
    assert!(Error::from_redis(&refused.unwrap_err()).unwrap().is_refused());
    let malformed: Result<i64, _> = redis::cmd("PUBLISH").arg("news").query_async(&mut pool.conn()).await;
    assert_eq!(malformed.unwrap_err().code(), Some("ERR"));
    assert!(subscriber.track("user:").await.unwrap_err().is_refused());
    let told: i64 = pool.conn().publish("news", "e").await.unwrap();
    assert_eq!(told, 1);
    assert_eq!(message(&mut subscriber).await, pair("news", "e"));
    pool.close().await;
    assert!(matches!(next(&mut subscriber).await, Event::Closed));
}

#[tokio::test]
async fn many_at_once_are_one_call_and_one_refused_name_is_told_by_name() {
    let server = Server::start();
    server.observer().get::<()>(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">pw",
        "~*",
        "+@all",
        "&open*",
        "&cenote:*",
    ]);
    let pool = pool(&server.url().replace("redis://", "redis://reader:pw@"));
    let mut subscriber = pool.subscriber();
    let names: Vec<String> = (0..1_500).map(|n| format!("open{n}")).collect();
    subscriber.subscribe(&names).await.unwrap();
    assert_eq!(pool.status().subscriptions, 1_500);
    let mut more: Vec<String> = (0..10).map(|n| format!("open-{n}")).collect();
    more.push("barred".to_owned());
    let error = subscriber.subscribe(&more).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Answered);
    assert_eq!(error.server_error().and_then(|error| error.code()), Some("NOPERM"), "{error}");
    assert_eq!(pool.status().subscriptions, 1_500, "all of a call, or nothing");
    eventually_async(SOON, "Redis was told, too", async || {
        let channels: Vec<String> = server.observer().get(&["PUBSUB", "CHANNELS", "open-*"]);
        channels.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_redis_no_longer_allows_is_told_and_can_be_asked_for_again() {
    let server = Server::start();
    let observer = server.observer();
    observer.get::<()>(&["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "&*"]);
    let pool = pool(&server.url().replace("redis://", "redis://reader:pw@"));
    let mut subscriber = pool.subscriber();
    subscriber.subscribe(&["a", "b"]).await.unwrap();
    // Redis closes the connections of those who listen where they may not any more.
    observer.get::<()>(&["ACL", "SETUSER", "reader", "resetchannels", "&a", "&cenote:*"]);
    let (mut refused, mut gaps) = (Vec::new(), 0);
    while refused.is_empty() || gaps == 0 {
        match next(&mut subscriber).await {
            Event::Refused(refusal) => refused.push((refusal.kind(), refusal.name().into_owned())),
            Event::Gap => gaps += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, gaps), (vec![(SubscriptionKind::Channel, "b".to_owned())], 1));
    assert!(subscriber.subscribe("b").await.unwrap_err().server_error().is_some());
    observer.get::<()>(&["ACL", "SETUSER", "reader", "&b"]);
    subscriber.subscribe("b").await.unwrap();
    let told: i64 = pool.conn().publish("b", "again").await.unwrap();
    assert_eq!(told, 1);
    assert_eq!(message(&mut subscriber).await, pair("b", "again"));
}

#[tokio::test]
async fn redis_is_told_once_however_many_subscribe_and_again_when_the_last_one_ends() {
    let server = Server::start();
    let (pool, observer) = (pool(&server.url()), server.observer());
    let mut first = pool.subscriber();
    first.subscribe("news").await.unwrap();
    let (calls, connections) = (observer.calls("subscribe"), pool.status().connections_in_use);
    let mut others: Vec<_> = (0..20).map(|_| pool.subscriber()).collect();
    for other in &mut others {
        other.subscribe("news").await.unwrap();
    }
    assert_eq!((observer.calls("subscribe"), pool.status().connections_in_use), (calls, connections));
    let told: i64 = pool.conn().publish("news", "x").await.unwrap();
    assert_eq!(told, 1, "one connection");
    for other in &mut others {
        assert_eq!(message(other).await, pair("news", "x"));
    }
    drop(others);
    assert_eq!(message(&mut first).await, pair("news", "x"));
    first.unsubscribe("news");
    eventually_async(SOON, "Redis is told", async || {
        let channels: Vec<String> = observer.get(&["PUBSUB", "CHANNELS", "news"]);
        channels.is_empty()
    })
    .await;
    first.subscribe("news").await.unwrap();
    let told: i64 = pool.conn().publish("news", "again").await.unwrap();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_tracked_prefix_tells_of_every_write_and_of_a_flush() {
    let server = Server::start();
    let pool = pool(&server.url());
    let mut conn = pool.conn();
    let (mut users, mut admins, mut all) = (pool.subscriber(), pool.subscriber(), pool.subscriber());
    users.track("user:").await.unwrap();
    admins.track(&["user:admin:", "group:"]).await.unwrap();
    let () = conn.set("user:1", "a").await.unwrap();
    let () = conn.set("other", "a").await.unwrap();
    let () = conn.set("user:admin:1", "a").await.unwrap();
    let keys = |event: Event| match event {
        Event::Invalidated(Invalidation::Keys(keys)) => {
            keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(keys(next(&mut users).await), ["user:1"]);
    assert_eq!(keys(next(&mut users).await), ["user:admin:1"]);
    assert_eq!(keys(next(&mut admins).await), ["user:admin:1"]);
    // A prefix that covers others cannot be added without a moment in which nothing is tracked.
    all.track("").await.unwrap();
    for subscriber in [&mut users, &mut admins] {
        let event = next(subscriber).await;
        assert!(matches!(event, Event::Invalidated(Invalidation::Everything)), "{event:?}");
    }
    let () = conn.set("other", "b").await.unwrap();
    assert_eq!(keys(next(&mut all).await), ["other"]);
    server.observer().get::<()>(&["FLUSHALL"]);
    for subscriber in [&mut users, &mut admins, &mut all] {
        let event = next(subscriber).await;
        assert!(matches!(event, Event::Invalidated(Invalidation::Everything)), "{event:?}");
    }
    let resp2 = Pool::builder().url(format!("{}?protocol=resp2", server.url())).build().unwrap();
    let error = resp2.subscriber().track("user:").await.unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("RESP3"), "{error}");
}

#[tokio::test]
async fn whoever_does_not_read_lags_alone_and_is_told_by_how_much() {
    let server = Server::start();
    let pool = pool(&server.url());
    let (mut slow, mut quick) = (pool.subscriber().with_capacity(10), pool.subscriber());
    slow.subscribe("n").await.unwrap();
    quick.subscribe("n").await.unwrap();
    for n in 0..100 {
        let () = pool.conn().publish("n", n).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(message(&mut quick).await, pair("n", &n.to_string()));
    }
    let event = next(&mut slow).await;
    assert!(matches!(event, Event::Lagged(90)), "{event:?}");
    for n in 90..100 {
        assert_eq!(message(&mut slow).await, pair("n", &n.to_string()));
    }
}

#[tokio::test]
async fn while_redis_is_away_a_subscription_fails_at_once() {
    let pool = pool(&format!("redis://{}", dead_port()));
    let mut subscriber = pool.subscriber();
    for _ in 0..3 {
        let error = within(Duration::from_secs(3), subscriber.subscribe("news")).await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
    }
    assert_eq!(pool.status().subscriptions, 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_subscriptions_back() {
    let server = Server::start();
    let pool = pool(&server.url());
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("kept").await.unwrap();
    server.freeze();
    let dropped = tokio::time::timeout(Duration::from_millis(20), subscriber.subscribe(&["a", "b"])).await;
    assert!(dropped.is_err());
    server.thaw();
    assert_eq!(pool.status().subscriptions, 1);
    eventually_async(SOON, "Redis forgets them, too", async || {
        let channels: Vec<String> = server.observer().get(&["PUBSUB", "CHANNELS", "[ab]"]);
        channels.is_empty()
    })
    .await;
    let () = pool.conn().publish("kept", "x").await.unwrap();
    assert_eq!(message(&mut subscriber).await, pair("kept", "x"));
}

#[tokio::test]
async fn the_push_connection_is_one_of_the_budget_and_never_the_last() {
    let server = Server::start();
    let one = Pool::builder().url(server.url()).max_connections(1).build().unwrap();
    let error = one.subscriber().subscribe("news").await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("REDIS_MAX_CONNECTIONS"), "{error}");

    let two = Pool::builder()
        .url(server.url())
        .max_connections(2)
        .socket_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let held = two.dedicated().await.unwrap();
    let mut subscriber = two.subscriber();
    let error = subscriber.subscribe("news").await.unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("exclusive connections"), "{error}");
    drop(held);
    subscriber.subscribe("news").await.unwrap();
    let () = two.conn().publish("news", "x").await.unwrap();
    assert_eq!(message(&mut subscriber).await, pair("news", "x"));
    let error = two.dedicated().await.unwrap_err();
    assert!(error.to_string().contains("subscribing.rs"), "it tells who holds the other one: {error}");
    assert_eq!((two.status().dedicated_in_use, two.status().subscribers), (0, 1));
}

#[tokio::test]
async fn a_subscriber_of_a_closed_pool_is_told_so() {
    let server = Server::start();
    let pool = pool(&server.url());
    let (mut idle, mut busy) = (pool.subscriber(), pool.subscriber());
    busy.subscribe("news").await.unwrap();
    let report = pool.close().await;
    assert_eq!(report.cut_connections, 0, "{report:?}");
    for subscriber in [&mut idle, &mut busy, &mut pool.subscriber()] {
        assert!(matches!(next(subscriber).await, Event::Closed));
        assert!(subscriber.next().await.is_none());
        assert!(subscriber.subscribe("more").await.unwrap_err().is_closed());
    }
    eventually_async(SOON, "no connection is left", async || server.observer().client_count() == 0).await;
}

#[tokio::test]
async fn a_lost_connection_that_nobody_used_any_more_announces_no_gap() {
    let log = Log::capture();
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(&proxy.url());
    pool.subscriber().subscribe("news").await.unwrap();
    proxy.cut();
    proxy.pass();
    eventually_async(SOON, "the loss is noted", async || pool.status().last_error.is_some()).await;
    let (url, log) = (pool.status().url, log.text());
    let told: Vec<_> = log.lines().filter(|line| line.contains(&url) && line.contains("a gap")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_places_are_taken_it_is_never_the_runtime_that_is_blamed() {
    let one = Pool::builder().url(format!("redis://{}", dead_port())).max_connections(1).build().unwrap();
    for _ in 0..5_000 {
        let error = one.subscriber().subscribe("news").await.unwrap_err();
        assert!(error.is_config(), "{error}");
    }
    let server = Server::start();
    for _ in 0..200 {
        let two = Pool::builder().url(server.url()).max_connections(2).build().unwrap();
        let held = two.dedicated().await.unwrap();
        let mut subscriber = two.subscriber().with_timeout(Duration::from_millis(5));
        let error = subscriber.subscribe("news").await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        if error.to_string().contains("others waiting") {
            assert!(error.to_string().contains("others waiting: 0"), "{error}");
        }
        drop(held);
    }
}
