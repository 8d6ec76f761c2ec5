//! The store used by itself: the same entries, the same order and the same time as by commands.

use std::sync::Arc;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Fallback;
use cenote_testkit::ManualClock;
use redis::{Cmd, Value, cmd};

fn run(store: &FallbackLru, cmd: &Cmd) -> Value {
    store.execute(&[cmd], false).expect("it is served").remove(0)
}

#[test]
fn commands_and_direct_calls_see_the_same_entries() {
    let store = FallbackLru::default();
    assert_eq!(run(&store, cmd("SET").arg("a").arg("1")), Value::Okay);
    assert_eq!(store.get("a").as_deref(), Some(&b"1"[..]));
    store.insert("a", "2", None).unwrap();
    assert_eq!(run(&store, cmd("GET").arg("a")), Value::BulkString(b"2".to_vec()));
    assert_eq!(store.get_with("a", <[u8]>::len), Some(1));
    assert!(store.remove("a") && !store.remove("a"));
    assert_eq!((run(&store, cmd("GET").arg("a")), store.get("a")), (Value::Nil, None));
}

#[test]
fn a_collection_is_no_string_and_an_insert_replaces_it() {
    let store = FallbackLru::default();
    run(&store, cmd("SADD").arg("s").arg("member"));
    assert_eq!(store.get("s"), None);
    store.insert("s", "string", None).unwrap();
    assert_eq!(store.get("s").as_deref(), Some(&b"string"[..]));
}

#[test]
fn what_is_read_or_written_directly_is_the_most_recently_used() {
    let store = FallbackLru::builder().capacity(2).shards(1).build().unwrap();
    store.insert("a", "", None).unwrap();
    store.insert("b", "", None).unwrap();
    assert!(store.get("a").is_some());
    store.insert("c", "", None).unwrap();
    assert_eq!((store.get("b"), store.entries()), (None, 2));
    assert!(store.get("a").is_some() && store.get("c").is_some());
}

#[test]
fn an_entry_expires_with_its_time_and_not_before() {
    let clock = Arc::new(ManualClock::new());
    let store = FallbackLru::builder().clock(clock.clone()).build().unwrap();
    store.insert("k", "v", Some(Duration::from_millis(1500))).unwrap();
    store.insert("ever", "v", Some(Duration::MAX)).unwrap();
    clock.advance(Duration::from_millis(1500));
    assert!(store.get("k").is_some(), "in that very millisecond it is still there, as in Redis");
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.get("k"), None);
    assert!(store.get("ever").is_some());
    store.insert("k", "v", Some(Duration::from_millis(10))).unwrap();
    store.insert("k", "v", None).unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(store.get("k").is_some(), "an insert without a time takes the old one away");
}

#[test]
fn what_cannot_fit_is_refused_with_the_reason_and_changes_nothing() {
    let room = FallbackLru::ENTRY_OVERHEAD + 10;
    let store = FallbackLru::builder().max_bytes(room).shards(1).build().unwrap();
    store.insert("k", "123456789", None).unwrap();
    let error = store.insert("k", "1234567890", None).unwrap_err();
    assert_eq!((error.bytes, error.most), (room + 1, room));
    assert!(error.to_string().contains("raise max_bytes"), "{error}");
    assert_eq!(store.get("k").as_deref(), Some(&b"123456789"[..]));
}
