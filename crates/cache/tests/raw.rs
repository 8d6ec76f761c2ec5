//! Raw keys: a cache and code on plain redis-rs share keys, both ways, to the byte.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use cenote_cache::{Cache, Corrupt, Event, Lookup, Raw, Tier, Written};
use cenote_pool_core::Pool;
use cenote_testkit::{Proxy, Server, eventually_async};
use common::{Source, builder, pool, text, texts};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u32,
}

fn ada() -> User {
    User { name: "Ada".to_owned(), age: 36 }
}

const ADA: &str = r#"{"name":"Ada","age":36}"#;
const TTL: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "the other side is code that knows nothing of the pool")]
async fn plain(server: &Server) -> MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

fn users(pool: &Pool) -> Cache<u64, User> {
    let builder = Cache::builder(pool, "user").ttl(TTL).jitter(0.0);
    builder.raw_keys(|id| format!("app:user:{id}:profile")).build().unwrap()
}

fn name(id: u64) -> String {
    format!("app:user:{id}:profile")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cache_writes_plain_code_reads_to_the_byte_and_with_its_ttl() {
    let server = Server::start();
    let (pool, mut theirs) = (pool(server.url()), plain(&server).await);
    let users = users(&pool);
    let at_most = i64::try_from(TTL.as_millis()).unwrap();
    let holds = async |theirs: &mut MultiplexedConnection, id: u64| {
        assert_eq!(theirs.get::<_, Option<String>>(name(id)).await.unwrap().as_deref(), Some(ADA), "{id}");
        let left: i64 = theirs.pttl(name(id)).await.unwrap();
        assert!(left > at_most - 20_000 && left <= at_most, "{left}");
    };
    assert_eq!(users.name(&7), name(7));
    assert_eq!(users.put(&7, &ada()).await.unwrap(), Written::Applied);
    holds(&mut theirs, 7).await;
    let _ = users.put_many([(&8, &ada()), (&9, &ada())]).await.unwrap();
    holds(&mut theirs, 8).await;
    holds(&mut theirs, 9).await;
    let loaded = users.get_or_load(&10, |_| async { Ok::<_, std::io::Error>(Some(ada())) });
    assert_eq!(*loaded.await.unwrap().unwrap(), ada());
    holds(&mut theirs, 10).await;
    let loaded = users.get_or_load_many(&[7, 11, 12], |missing| async move {
        assert_eq!(missing, [11, 12]);
        Ok::<_, std::io::Error>(HashMap::from([(11, ada()), (12, ada())]))
    });
    assert_eq!(loaded.await.unwrap().len(), 3);
    holds(&mut theirs, 11).await;
    holds(&mut theirs, 12).await;
    let loaded = users.get_or_load(&13, |cx| async move {
        cx.ttl(Duration::from_secs(5));
        Ok::<_, std::io::Error>(Some(ada()))
    });
    let _ = loaded.await.unwrap();
    let left: i64 = theirs.pttl(name(13)).await.unwrap();
    assert!(left > 0 && left <= 5_000, "{left}");
    assert_eq!(users.remove(&7).await.unwrap(), Written::Applied);
    let _ = users.remove_many([&8, &9]).await.unwrap();
    let gone: u64 = theirs.exists(&[name(7), name(8), name(9)]).await.unwrap();
    assert_eq!(gone, 0);
    // Nothing of ours is left beside them.
    let mut keys: Vec<String> = theirs.keys("*").await.unwrap();
    keys.sort();
    assert_eq!(keys, [name(10), name(11), name(12), name(13)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plain_code_writes_changes_and_deletes_the_cache_sees_at_once() {
    let server = Server::start();
    let (pool, mut theirs) = (pool(server.url()), plain(&server).await);
    let users = users(&pool);
    for age in 0..200 {
        let written = User { age, ..ada() };
        let text = serde_json::to_string(&written).unwrap();
        let () = theirs.set(name(1), text).await.unwrap();
        let Lookup::Hit(found) = users.get(&1).await.unwrap() else { panic!("a hit") };
        assert_eq!((&*found.value, found.tier), (&written, Tier::L2));
        let nobody = |_| async { Err::<Option<User>, _>(std::io::Error::other("no load")) };
        assert_eq!(*users.get_or_load(&1, nobody).await.unwrap().unwrap(), written);
        let () = theirs.del(name(1)).await.unwrap();
        assert_eq!(users.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::L2 });
    }
    // Spaces, another order and a field more, as other languages write them.
    let () = theirs.set(name(2), "{ \"age\": 36, \"x\": [1], \"name\": \"Ada\" }\n").await.unwrap();
    assert_eq!(**users.get(&2).await.unwrap().value().unwrap(), ada());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_and_bytes_are_shared_as_they_are() {
    let server = Server::start();
    let (pool, mut theirs) = (pool(server.url()), plain(&server).await);
    let strings: Cache<String, String> = Cache::builder_with(&pool, "texts", Raw)
        .raw_keys(|key: &String| key.clone())
        .ttl(Duration::MAX)
        .build()
        .unwrap();
    let bytes: Cache<String, Vec<u8>> =
        Cache::builder_with(&pool, "bytes", Raw).raw_keys(|key: &String| key.clone()).build().unwrap();
    let odd = "any key: {at} all\r\n";
    let _ = strings.put(odd, &"häßlich \"as is\"\0".to_owned()).await.unwrap();
    assert_eq!(theirs.get::<_, String>(odd).await.unwrap(), "häßlich \"as is\"\0");
    assert_eq!(theirs.pttl::<_, i64>(odd).await.unwrap(), -1, "for ever");
    let all: Vec<u8> = (0..=255).collect();
    let () = theirs.set("b", &all).await.unwrap();
    assert_eq!(**bytes.get("b").await.unwrap().value().unwrap(), all);
    let _ = bytes.put("b", &Vec::new()).await.unwrap();
    assert_eq!(theirs.get::<_, Option<Vec<u8>>>("b").await.unwrap(), Some(Vec::new()));
    assert_eq!(**bytes.get("b").await.unwrap().value().unwrap(), Vec::<u8>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_old_code_left_that_is_no_such_value_is_a_miss_with_an_event_and_a_load_replaces_it() {
    let server = Server::start();
    let (pool, mut theirs) = (pool(server.url()), plain(&server).await);
    let (tell, told) = std::sync::mpsc::channel();
    let tell = parking_lot::Mutex::new(tell);
    let users: Cache<u64, User> = Cache::builder(&pool, "user")
        .raw_keys(|id| name(*id))
        .on_event(move |event| {
            if let Event::Corrupt { name, why: Corrupt::Codec(error) } = event {
                tell.lock().send((name.clone(), error.to_string())).unwrap();
            }
        })
        .build()
        .unwrap();
    for (left, why) in [("\u{4}\u{8}o:User", "no JSON"), ("", "ends early"), ("[1, 2]", "another type")] {
        let () = theirs.set(name(1), left).await.unwrap();
        assert_eq!(users.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::L2 });
        let (named, error) = told.try_recv().unwrap();
        assert!(named == name(1) && error.contains(why), "{named}: {error}");
        let loaded = users.get_or_load(&1, |_| async { Ok::<_, std::io::Error>(Some(ada())) });
        assert_eq!(*loaded.await.unwrap().unwrap(), ada());
        assert_eq!(theirs.get::<_, String>(name(1)).await.unwrap(), ADA);
        while told.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bare_value_cannot_have_is_refused_and_nothing_is_done() {
    let server = Server::start();
    let pool = pool(server.url());
    let users = users(&pool);
    let _ = users.put(&1, &ada()).await.unwrap();
    let calls = || {
        let observer = server.observer();
        ["set", "del", "eval"].map(|name| observer.calls(name))
    };
    let before = calls();
    for error in [
        users.clear().await.unwrap_err(),
        users.remove_tag("t").await.unwrap_err(),
        users.put_tagged(&1, &ada(), &["t"]).await.unwrap_err(),
    ] {
        assert!(error.is_refused() && error.to_string().contains("raw keys"), "{error}");
    }
    assert_eq!(calls(), before);
    let loaded = users.get_or_load(&2, |cx| async move {
        cx.tag("t");
        Ok::<_, std::io::Error>(Some(ada()))
    });
    assert_eq!(*loaded.await.unwrap().unwrap(), ada(), "its caller has it, tagged as it may be");
    assert!(users.get(&2).await.unwrap().value().is_none(), "and it is not stored");
    assert_eq!(users.stats().not_stored, 1);
}

/// No key stands for all of them: where the journal is full, the write is refused rather than forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_outage_they_are_removed_afterwards_or_the_call_fails() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let mut theirs = plain(&server).await;
    let pool = builder(proxy.url()).journal_keys(4).build().unwrap();
    let cache = texts(&pool, "raw").raw_keys(|key| format!("k:{key}")).build().unwrap();
    for key in 0..4 {
        let () = theirs.set(format!("k:{key}"), "\"old\"").await.unwrap();
        assert!(cache.get(&key).await.unwrap().value().is_some());
    }
    proxy.refuse_after_accept(true);
    proxy.cut();
    // Two names each, that of the fence included.
    assert_eq!(cache.remove(&0).await.unwrap(), Written::Pending);
    assert_eq!(cache.put(&1, &"new".to_owned()).await.unwrap(), Written::Pending);
    assert_eq!(cache.get(&1).await.unwrap().value().unwrap().as_str(), "new");
    let error = cache.remove(&2).await.unwrap_err();
    assert!(error.pool().is_some_and(cenote_pool_core::Error::is_overloaded), "{error}");
    let source = Source::default();
    assert_eq!(
        text(cache.get_or_load(&3, source.load("loaded")).await),
        "loaded",
        "a read never fails for that"
    );
    proxy.pass();
    eventually_async(common::SOON, "the journal is replayed", || async { !pool.journal_status().local })
        .await;
    for (key, expected) in [(0, None), (1, None), (2, Some("\"old\"")), (3, Some("\"old\""))] {
        let there: Option<String> = theirs.get(format!("k:{key}")).await.unwrap();
        assert_eq!(there.as_deref(), expected, "{key}");
    }
    assert!(cache.get(&0).await.unwrap().value().is_none() && cache.get(&1).await.unwrap().value().is_none());
}
