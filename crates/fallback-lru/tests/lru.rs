//! What is kept, what goes, and when: against a naive model and a clock moved by hand.

mod common;

use std::sync::Arc;

use cenote_fallback_lru::{BuildError, FallbackLru};
use cenote_pool_core::Fallback;
use proptest::prelude::*;
use redis::Value;

use common::{ManualClock, Random, bulk, command, error, run, run_cmd};

fn manual(capacity: usize, max_bytes: usize) -> (FallbackLru, Arc<ManualClock>) {
    let clock = ManualClock::new();
    let builder = FallbackLru::builder().capacity(capacity).max_bytes(max_bytes).shards(1);
    (builder.clock(clock.clone()).build().expect("built"), clock)
}

fn keys(store: &FallbackLru) -> Vec<String> {
    let Value::Array(keys) = run(store, "KEYS *") else { panic!("KEYS answers an array") };
    let mut keys: Vec<String> =
        keys.iter().map(|key| redis::from_redis_value_ref(key).expect("text")).collect();
    keys.sort();
    keys
}

#[test]
fn the_10_001st_insert_evicts_exactly_the_least_recently_used() {
    let store = FallbackLru::default();
    for key in 0..10_000 {
        run(&store, &format!("SET {key} x"));
    }
    assert_eq!(run(&store, "GET 0"), bulk("x"), "so that 1 is now the least recently used");
    run(&store, "SET 10000 x");
    assert_eq!(run(&store, "EXISTS 1"), Value::Int(0));
    assert_eq!(store.entries(), 10_000);
    for key in (0..=10_000).filter(|key| *key != 1) {
        assert_eq!(run(&store, &format!("EXISTS {key}")), Value::Int(1), "{key}");
    }
}

#[test]
fn reads_and_writes_make_a_key_recent_and_questions_about_it_do_not() {
    let touching = [
        "GET a",
        "MGET a",
        "STRLEN a",
        "APPEND a x",
        "GETRANGE a 0 1",
        "SET a y",
        "SET a y NX",
        "SETNX a y",
        "TOUCH a",
        "EXPIRE a 100",
        "PERSIST a",
        "GETEX a",
        "SETRANGE a 0 z",
        "GETSET a y",
    ];
    let asking =
        ["EXISTS a", "TTL a", "PTTL a", "EXPIRETIME a", "PEXPIRETIME a", "TYPE a", "KEYS *", "DBSIZE"];
    for (words, kept) in touching.iter().map(|words| (words, 1)).chain(asking.iter().map(|words| (words, 0)))
    {
        let (store, _) = manual(2, usize::MAX);
        run(&store, "MSET a x b x");
        run(&store, words);
        run(&store, "SET c x");
        assert_eq!(run(&store, "EXISTS a"), Value::Int(kept), "{words}");
    }
}

#[test]
fn an_entry_is_there_until_its_millisecond_is_over() {
    let (store, clock) = manual(10, usize::MAX);
    run(&store, "SET a x PX 1500");
    run(&store, "HSET h f x");
    run(&store, "EXPIRE h 1");
    assert_eq!(run(&store, "TTL a"), Value::Int(2), "rounded to the nearest second");
    clock.advance(1000);
    assert_eq!(run(&store, "PTTL h"), Value::Int(0));
    assert_eq!(run(&store, "HGET h f"), bulk("x"));
    clock.advance(1);
    assert_eq!(run(&store, "HGET h f"), Value::Nil);
    assert_eq!(run(&store, "TTL a"), Value::Int(0));
    clock.advance(500);
    for (words, absent) in [
        ("EXISTS a", Value::Int(0)),
        ("TTL a", Value::Int(-2)),
        ("PEXPIRETIME a", Value::Int(-2)),
        ("TYPE a", Value::SimpleString("none".into())),
        ("KEYS *", Value::Array(vec![])),
        ("DBSIZE", Value::Int(0)),
        ("RENAMENX b a", run(&store, "RENAMENX b missing")),
        ("PERSIST a", Value::Int(0)),
        ("EXPIRE a 5", Value::Int(0)),
        ("GETDEL a", Value::Nil),
        ("DEL a", Value::Int(0)),
        ("LPUSHX a x", Value::Int(0)),
        ("SADD a member", Value::Int(1)),
        ("TTL a", Value::Int(-1)),
    ] {
        assert_eq!(run(&store, words), absent, "{words}");
    }
}

#[test]
fn expiries_are_dates_and_survive_what_redis_lets_them_survive() {
    let (store, clock) = manual(10, usize::MAX);
    let date = i64::try_from(ManualClock::START).expect("fits") + 60_000;
    run(&store, "SET a 1 EX 60");
    for words in ["APPEND a 0", "INCR a", "SET a 5 KEEPTTL", "SETRANGE a 0 7", "INCRBYFLOAT a 1"] {
        run(&store, words);
        assert_eq!(run(&store, "PEXPIRETIME a"), Value::Int(date), "{words}");
    }
    run(&store, "RENAME a b");
    run(&store, "RENAME b a");
    assert_eq!(run(&store, "EXPIRETIME a"), Value::Int(date / 1000));
    assert_eq!(run(&store, "EXPIRE a 60 GT"), Value::Int(0));
    assert_eq!(run(&store, "EXPIRE a 59 LT"), Value::Int(1));
    for words in ["SET a 1", "GETSET a 1", "MSET a 1", "PERSIST a", "GETEX a PERSIST"] {
        run(&store, "EXPIRE a 60");
        run(&store, words);
        assert_eq!(run(&store, "TTL a"), Value::Int(-1), "{words}");
    }
    for words in ["SET a 1 PXAT 1", "EXPIRE a -1", "EXPIREAT a 1", "GETEX a EXAT 1", "PEXPIRE a 0"] {
        run(&store, "SET a 1");
        run(&store, words);
        assert_eq!(store.entries(), 0, "{words}");
    }
    clock.advance(120_000);
    assert_eq!(store.bytes(), 0);
}

#[test]
fn inserts_sweep_what_expired_without_any_look_at_it() {
    let (store, clock) = manual(1000, usize::MAX);
    for key in 0..100 {
        run(&store, &format!("SET short:{key} x PX {}", 1 + key % 7));
        run(&store, &format!("SET long:{key} x EX 1000"));
    }
    let one = store.bytes() / 200;
    clock.advance(1000);
    run(&store, "SET new x");
    assert!(store.bytes() <= 198 * one, "one insert swept several");
    for key in 0..30 {
        run(&store, &format!("SET new:{key} x"));
    }
    let live = (100 + 31) * (FallbackLru::ENTRY_OVERHEAD + 9);
    assert!(store.bytes() <= live, "thirty inserts swept all hundred: {}", store.bytes());
    assert_eq!(store.entries(), 131);
}

#[test]
fn an_expired_entry_never_costs_a_live_one_its_place() {
    let (store, clock) = manual(3, usize::MAX);
    run(&store, "SET live x");
    run(&store, "SET short x PX 5");
    run(&store, "SET shorter x PX 3");
    clock.advance(10);
    run(&store, "MSET c x d x");
    assert_eq!(keys(&store), ["c", "d", "live"]);

    let (store, clock) = manual(10, 3 * (FallbackLru::ENTRY_OVERHEAD + 10));
    run(&store, "SET live x");
    run(&store, "SET short x PX 5");
    run(&store, "SET grows x");
    clock.advance(10);
    run(&store, &format!("APPEND grows {}", "x".repeat(30)));
    assert_eq!(keys(&store), ["grows", "live"]);
}

#[test]
fn a_deadline_set_again_and_again_leaves_nothing_behind() {
    let (store, clock) = manual(10, usize::MAX);
    for round in 0..1000 {
        run(&store, &format!("SET a x PX {}", 100 + round % 3));
        run(&store, &format!("SET b x PX {}", 500 - round % 5));
    }
    run(&store, "SET a x PX 1000");
    clock.advance(600);
    assert_eq!(store.entries(), 1);
    clock.advance(600);
    assert_eq!(store.entries(), 0);
    assert_eq!(store.bytes(), 0);
}

#[test]
fn a_value_that_grows_pushes_others_out_in_their_order() {
    let room = 3 * (FallbackLru::ENTRY_OVERHEAD + 1 + 100);
    for grow in [
        vec!["APPEND", "d", "X"],
        vec!["SETRANGE", "d", "0", "X"],
        vec!["HSET", "d", "f", "X"],
        vec!["SADD", "d", "X"],
        vec!["RPUSH", "d", "X"],
        vec!["SET", "d", "X"],
    ] {
        let (store, _) = manual(10, room);
        let text = "x".repeat(100);
        for key in ["a", "b", "c"] {
            run(&store, &format!("SET {key} {text}"));
        }
        run(&store, "GET a");
        let grown = grow.join(" ").replace('X', &"x".repeat(150));
        assert!(!matches!(run(&store, &grown), Value::ServerError(_)), "{grown}");
        assert!(store.bytes() <= room);
        assert_eq!(keys(&store), ["a", "d"], "{grown}: b and c were the least recently used");
    }
}

#[test]
fn a_value_that_cannot_fit_is_refused_and_nothing_changes() {
    let room = 3 * FallbackLru::ENTRY_OVERHEAD + 600;
    let big = "x".repeat(room);
    for words in [
        format!("SET s {big}"),
        format!("SET s {big} GET"),
        format!("SETNX new {big}"),
        format!("SETEX s 5 {big}"),
        format!("GETSET s {big}"),
        format!("MSET new 1 s {big}"),
        format!("MSETNX new 1 new2 {big}"),
        format!("APPEND s {big}"),
        format!("APPEND new {big}"),
        format!("SETRANGE s {room} x"),
        format!("HSET h f 1 g {big}"),
        format!("HSETNX h g {big}"),
        format!("SADD new a {big}"),
        format!("RPUSH l a {big}"),
        format!("LPUSHX l a {big}"),
        format!("LSET l 0 {big}"),
        format!("LINSERT l BEFORE a {big}"),
        format!("RENAME s {big}"),
        format!("INCR {big}"),
    ] {
        let (store, _) = manual(10, room);
        run(&store, "SET s text EX 100");
        run(&store, "HSET h f 1");
        run(&store, "RPUSH l a");
        let before = store.bytes();
        let line = error(&run(&store, &words));
        assert_eq!(line, "OOM command not allowed when used memory > 'maxmemory'.", "{}", &words[..20]);
        assert_eq!(store.bytes(), before, "{}", &words[..20]);
        assert_eq!(keys(&store), ["h", "l", "s"], "{}", &words[..20]);
        assert_eq!(run(&store, "GET s"), bulk("text"), "{}", &words[..20]);
        assert_eq!(run(&store, "HGETALL h"), Value::Map(vec![(bulk("f"), bulk("1"))]));
        assert_eq!(run(&store, "LRANGE l 0 -1"), Value::Array(vec![bulk("a")]));
        assert_eq!(run(&store, "TTL s"), Value::Int(100));
    }
}

#[test]
fn many_shards_never_hold_more_than_the_capacity() {
    let store = FallbackLru::builder().capacity(100).shards(32).build().expect("built");
    for key in 0..10_000 {
        run(&store, &format!("SET key:{key} x"));
        assert!(store.entries() <= 100);
    }
    assert_eq!(store.entries(), 100, "and fill it");
}

#[test]
fn bounds_hold_while_threads_do_what_they_like() {
    let mut random = Random::from_environment();
    for shards in [1, 8] {
        let (capacity, max_bytes) = (64, 64 * 300);
        let builder = FallbackLru::builder().capacity(capacity).max_bytes(max_bytes).shards(shards);
        let store = builder.build().expect("built");
        std::thread::scope(|scope| {
            for mut random in [random.branch(), random.branch(), random.branch()] {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..4_000 {
                        let key = random.below(200);
                        let text = "x".repeat(random.below(400));
                        let words = match random.below(9) {
                            0 => format!("SET {key} x{text}"),
                            1 => format!("APPEND {key} x{text}"),
                            2 => format!("HSET h{key} x{text} x{text}"),
                            3 => format!("RPUSH l{key} x{text}"),
                            4 => format!("SADD s{key} {} x{text}", random.below(50)),
                            5 => format!("DEL {key} h{key} l{key} s{key}"),
                            6 => format!("SET {key} x{text} PX 1"),
                            7 => format!("MSET {key} x{text} {} x{text}", random.below(200)),
                            _ => format!("LTRIM l{key} 0 1"),
                        };
                        run(store, &words);
                        assert!(store.bytes() <= max_bytes);
                        assert!(store.entries() <= capacity);
                    }
                });
            }
        });
        run(&store, "FLUSHALL");
        assert_eq!((store.entries(), store.bytes()), (0, 0), "the books balance");
    }
}

/// What an entry is to be charged, from its contents.
fn charge(store: &FallbackLru, key: &str) -> usize {
    let len = |value: &Value| redis::from_redis_value_ref::<Vec<u8>>(value).expect("bytes").len();
    let element = |value: &Value| FallbackLru::ELEMENT_OVERHEAD + len(value);
    let Value::SimpleString(kind) = run(store, &format!("TYPE {key}")) else { panic!("TYPE answers a name") };
    let read = match &*kind {
        "string" => run(store, &format!("GET {key}")),
        "hash" => run(store, &format!("HGETALL {key}")),
        "set" => run(store, &format!("SMEMBERS {key}")),
        _ => run(store, &format!("LRANGE {key} 0 -1")),
    };
    let value = match &read {
        Value::Map(pairs) => pairs.iter().map(|(field, value)| element(field) + len(value)).sum(),
        Value::Set(elements) | Value::Array(elements) => elements.iter().map(element).sum(),
        text => len(text),
    };
    FallbackLru::ENTRY_OVERHEAD + key.len() + value
}

#[test]
fn removing_everything_gives_every_byte_back() {
    let mut random = Random::from_environment();
    let (store, clock) = manual(50, 50 * 250);
    for _ in 0..20_000 {
        let (key, other) = (random.below(12), random.below(12));
        let (field, text) = (random.below(5), "x".repeat(random.below(60)));
        let words = match random.below(16) {
            0 => format!("SET {key} x{text} PX {}", 1 + random.below(50)),
            1 => format!("HSET {key} {field} x{text} {} {text}x", random.below(5)),
            2 => format!("HDEL {key} {field}"),
            3 => format!("RPUSH {key} {field} x{text}"),
            4 => format!("LREM {key} {} {field}", random.below(5) as i64 - 2),
            5 => format!("LTRIM {key} {} {}", random.below(3), random.below(5)),
            6 => format!("SADD {key} {field} x{text}"),
            7 => format!("SREM {key} {field}"),
            8 => format!("SUNIONSTORE {key} {other}"),
            9 => format!("RENAME {key} {other}"),
            10 => format!("LPOP {key} 2"),
            11 => format!("LSET {key} 0 x{text}"),
            12 => format!("HINCRBYFLOAT {key} {field} 0.1"),
            13 => format!("LINSERT {key} AFTER {field} x{text}"),
            14 => format!("SETRANGE {key} {} x", random.below(80)),
            _ => format!("DEL {key}"),
        };
        run(&store, &words);
        clock.advance(random.next() % 3);
        assert!(store.bytes() <= 50 * 250);
        if random.percent(5) {
            let entries = store.entries();
            let keys = keys(&store);
            assert_eq!(entries, keys.len());
            assert_eq!(
                store.bytes(),
                keys.iter().map(|key| charge(&store, key)).sum::<usize>(),
                "after {words}"
            );
        }
    }
    for key in keys(&store) {
        run(&store, &format!("DEL {key}"));
    }
    assert_eq!((store.entries(), store.bytes()), (0, 0));
}

#[test]
fn what_cannot_be_built_is_said() {
    let error = |builder: cenote_fallback_lru::Builder| builder.build().expect_err("refused");
    let builder = FallbackLru::builder;
    assert_eq!(error(builder().capacity(0)), BuildError::NoCapacity);
    assert_eq!(error(builder().shards(0)), BuildError::NoShards);
    assert_eq!(error(builder().shards(12)), BuildError::ShardsNotPowerOfTwo { shards: 12 });
    let refused = error(builder().capacity(10).shards(16));
    assert_eq!(refused, BuildError::MoreShardsThanEntries { shards: 16, capacity: 10 });
    assert_eq!(refused.to_string(), "shards is 16: it must be at most the capacity, 10");
    let refused = error(builder().max_bytes(90));
    assert_eq!(refused, BuildError::TooFewBytes { max_bytes: 90, least: FallbackLru::ENTRY_OVERHEAD });
    assert_eq!(builder().capacity(16_384).build().expect("built").shards(), 1);
    let large = builder().capacity(1 << 20).build().expect("built").shards();
    assert!(large > 1 && large.is_power_of_two());
}

#[derive(Debug, Clone)]
enum Op {
    Set(u8, u8, Option<u8>),
    Get(u8),
    Append(u8, u8),
    Exists(u8),
    Del(u8),
    Rename(u8, u8),
    Expire(u8, u8),
    Advance(u8),
    Count,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0..12_u8;
    let op = prop_oneof![
        5 => (key(), 0..60_u8, prop::option::weighted(0.3, 0..40_u8)).prop_map(|(k, l, t)| Op::Set(k, l, t)),
        4 => key().prop_map(Op::Get),
        2 => (key(), 0..30_u8).prop_map(|(k, l)| Op::Append(k, l)),
        1 => key().prop_map(Op::Exists),
        1 => key().prop_map(Op::Del),
        1 => (key(), key()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (key(), 0..40_u8).prop_map(|(k, t)| Op::Expire(k, t)),
        1 => (0..30_u8).prop_map(Op::Advance),
        1 => Just(Op::Count),
    ];
    prop::collection::vec(op, 1..200)
}

/// Keys with length and deadline, the most recently used last.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<(u8, usize, Option<u64>)>,
    now: u64,
}

impl Model {
    fn take(&mut self, key: u8) -> Option<(u8, usize, Option<u64>)> {
        let now = self.now;
        self.entries.retain(|(_, _, at)| at.is_none_or(|at| now <= at));
        let place = self.entries.iter().position(|(other, ..)| *other == key)?;
        Some(self.entries.remove(place))
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|(_, len, _)| FallbackLru::ENTRY_OVERHEAD + 3 + len).sum()
    }

    fn put(&mut self, entry: (u8, usize, Option<u64>), capacity: usize, max_bytes: usize) {
        self.entries.push(entry);
        while self.entries.len() > capacity || self.bytes() > max_bytes {
            self.entries.remove(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_shard_is_a_strict_lru(ops in ops(), capacity in 1..8_usize, room in 2..7_usize) {
        let max_bytes = room * (FallbackLru::ENTRY_OVERHEAD + 50);
        let (store, clock) = manual(capacity, max_bytes);
        let mut model = Model::default();
        for op in &ops {
            match *op {
                Op::Set(key, len, ttl) => {
                    let mut words = vec!["SET".to_owned(), format!("k{key:02}"), "x".repeat(len.into())];
                    if let Some(ttl) = ttl {
                        words.extend(["PX".to_owned(), (u64::from(ttl) + 1).to_string()]);
                    }
                    prop_assert_eq!(run_cmd(&store, &command(&words)), Value::Okay);
                    model.take(key);
                    let at = ttl.map(|ttl| model.now + u64::from(ttl) + 1);
                    model.put((key, len.into(), at), capacity, max_bytes);
                }
                Op::Get(key) => {
                    let found = model.take(key);
                    model.entries.extend(found);
                    let value = found.map_or(Value::Nil, |(_, len, _)| bulk(&"x".repeat(len)));
                    prop_assert_eq!(run(&store, &format!("GET k{key:02}")), value);
                }
                Op::Append(key, more) => {
                    let (_, len, at) = model.take(key).unwrap_or((key, 0, None));
                    let len_after = len + usize::from(more);
                    let fits = FallbackLru::ENTRY_OVERHEAD + 3 + len_after <= max_bytes;
                    let reply = run_cmd(&store, &command(&["APPEND".to_owned(), format!("k{key:02}"), "x".repeat(more.into())]));
                    prop_assert_eq!(matches!(reply, Value::Int(_)), fits);
                    model.put((key, if fits { len_after } else { len }, at), capacity, max_bytes);
                }
                Op::Exists(key) => {
                    let now = model.now;
                    let found = model.entries.iter().any(|(other, _, at)| *other == key && at.is_none_or(|at| now <= at));
                    prop_assert_eq!(run(&store, &format!("EXISTS k{key:02}")), Value::Int(found.into()));
                }
                Op::Del(key) => {
                    let removed = model.take(key).is_some();
                    prop_assert_eq!(run(&store, &format!("DEL k{key:02}")), Value::Int(removed.into()));
                }
                Op::Rename(from, to) => {
                    let reply = run(&store, &format!("RENAME k{from:02} k{to:02}"));
                    let entry = model.take(from);
                    prop_assert_eq!(reply == Value::Okay, entry.is_some());
                    if let Some((_, len, at)) = entry {
                        model.take(to);
                        model.put((to, len, at), capacity, max_bytes);
                    }
                }
                Op::Expire(key, ttl) => {
                    let entry = model.take(key);
                    let reply = run(&store, &format!("PEXPIRE k{key:02} {ttl}"));
                    prop_assert_eq!(reply, Value::Int(entry.is_some().into()));
                    if let (Some((_, len, _)), 1..) = (entry, ttl) {
                        model.entries.push((key, len, Some(model.now + u64::from(ttl))));
                    }
                }
                Op::Advance(ms) => {
                    clock.advance(ms.into());
                    model.now += u64::from(ms);
                }
                Op::Count => {
                    model.take(u8::MAX);
                    prop_assert_eq!(store.entries(), model.entries.len());
                    prop_assert_eq!(store.bytes(), model.bytes());
                }
            }
            let now = model.now;
            let live = model.entries.iter().filter(|(_, _, at)| at.is_none_or(|at| now <= at));
            let mut expected: Vec<String> = live.map(|(key, ..)| format!("k{key:02}")).collect();
            expected.sort();
            prop_assert_eq!(keys(&store), expected);
            prop_assert!(store.bytes() <= max_bytes);
        }
    }
}
