//! The store used by itself: the same entries, the same order and the same time as by commands.

use std::sync::Arc;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Fallback;
use cenote_testkit::ManualClock;
use proptest::prelude::*;
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

/// The same calls on two stores, on one of them as commands.
fn agree(store: &FallbackLru, by_command: &FallbackLru, call: &Call) {
    let key = |key: u8| format!("k{key}");
    match *call {
        Call::Insert(at, len, ttl) => {
            let value = "x".repeat(len.into());
            let ttl = ttl.map(|ms| Duration::from_millis(u64::from(ms) + 1));
            let stored = store.insert(key(at), &value, ttl);
            let mut set = cmd("SET");
            set.arg(key(at)).arg(value);
            if let Some(ttl) = ttl {
                set.arg("PX").arg(ttl.as_millis().to_string());
            }
            assert_eq!(stored.is_ok(), run(by_command, &set) == Value::Okay, "{call:?}");
        }
        Call::Get(at) => {
            let value = store.get(key(at)).map_or(Value::Nil, Value::BulkString);
            assert_eq!(value, run(by_command, cmd("GET").arg(key(at))), "{call:?}");
        }
        Call::Remove(at) => {
            let removed = Value::Int(store.remove(key(at)).into());
            assert_eq!(removed, run(by_command, cmd("DEL").arg(key(at))), "{call:?}");
        }
    }
    assert_eq!((store.entries(), store.bytes()), (by_command.entries(), by_command.bytes()), "{call:?}");
}

#[derive(Debug, Clone)]
enum Call {
    Insert(u8, u8, Option<u8>),
    Get(u8),
    Remove(u8),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn direct_calls_do_what_the_commands_do(
        calls in prop::collection::vec(
            (
                prop_oneof![
                    4 => (0..9_u8, 0..80_u8, prop::option::weighted(0.3, 0..40_u8))
                        .prop_map(|(key, len, ttl)| Call::Insert(key, len, ttl)),
                    4 => (0..9_u8).prop_map(Call::Get),
                    1 => (0..9_u8).prop_map(Call::Remove),
                ],
                0..10_u64,
            ),
            1..100,
        ),
        capacity in 1..6_usize,
    ) {
        let clock = Arc::new(ManualClock::new());
        let room = FallbackLru::ENTRY_OVERHEAD + 70;
        let stores = [(); 2].map(|()| {
            let builder = FallbackLru::builder().capacity(capacity).max_bytes(3 * room).shards(1);
            builder.clock(clock.clone()).build().unwrap()
        });
        for (call, ms) in &calls {
            agree(&stores[0], &stores[1], call);
            clock.advance(Duration::from_millis(*ms));
        }
        let keys = stores.map(|store| run(&store, cmd("KEYS").arg("*")));
        prop_assert_eq!(&keys[0], &keys[1], "in one order of use");
    }
}
