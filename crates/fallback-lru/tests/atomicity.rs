//! An atomic batch, and a command with several keys, is seen whole or not at all, whatever shards it touches.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Fallback;
use redis::{Cmd, Value};

use common::{Random, cmd, error, run};

const KEYS: usize = 16;
const ROUNDS: usize = 3_000;

/// A deadlock fails the test instead of hanging it.
fn within_a_minute(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still running after a minute: a deadlock"),
        _ => worker.join().expect("the work succeeded"),
    }
}

fn sharded() -> FallbackLru {
    FallbackLru::builder().capacity(1000).shards(16).build().expect("built")
}

fn shuffled(random: &mut Random) -> Vec<usize> {
    let mut keys: Vec<usize> = (0..KEYS).collect();
    for place in (1..KEYS).rev() {
        keys.swap(place, random.below(place + 1));
    }
    keys
}

fn atomically(store: &FallbackLru, cmds: &[Cmd]) -> Vec<Value> {
    store.execute(&cmds.iter().collect::<Vec<_>>(), true).expect("served")
}

/// Runs `write` in two threads until they are through, and `read` in two more meanwhile.
fn writers_and_readers(write: fn(&FallbackLru, &mut Random, usize), read: fn(&FallbackLru, &mut Random)) {
    let mut random = Random::from_environment();
    within_a_minute(move || {
        let store = sharded();
        let writing = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for mut random in [random.branch(), random.branch()] {
                let (store, writing) = (&store, &writing);
                scope.spawn(move || {
                    while writing.load(Ordering::Relaxed) {
                        read(store, &mut random);
                    }
                });
            }
            let writers: Vec<_> = [random.branch(), random.branch()]
                .into_iter()
                .map(|mut random| {
                    let store = &store;
                    scope.spawn(move || (0..ROUNDS).for_each(|round| write(store, &mut random, round)))
                })
                .collect();
            let results: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            writing.store(false, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok), "the writers finished");
        });
    });
}

/// All keys hold the same, or none is there.
fn read_whole(store: &FallbackLru, random: &mut Random) {
    let keys: Vec<String> = shuffled(random).iter().map(|key| format!("key:{key}")).collect();
    let values = match random.below(3) {
        0 => {
            let Value::Array(values) = run(store, &format!("MGET {}", keys.join(" "))) else {
                panic!("an array")
            };
            values
        }
        1 => atomically(store, &keys.iter().map(|key| cmd(&format!("GET {key}"))).collect::<Vec<_>>()),
        _ => {
            let counted =
                if random.percent(50) { "DBSIZE".to_owned() } else { format!("EXISTS {}", keys.join(" ")) };
            let count = run(store, &counted);
            assert!(count == Value::Int(0) || count == Value::Int(KEYS as i64), "{counted}: {count:?}");
            return;
        }
    };
    assert!(values.iter().all(|value| *value == values[0]), "half a batch was seen: {values:?}");
}

#[test]
fn a_batch_over_many_shards_is_never_seen_by_halves() {
    writers_and_readers(
        |store, random, round| {
            let sets = shuffled(random).into_iter().map(|key| cmd(&format!("SET key:{key} {round}")));
            atomically(store, &sets.collect::<Vec<_>>());
        },
        read_whole,
    );
}

#[test]
fn commands_with_many_keys_and_with_none_are_as_atomic() {
    writers_and_readers(
        |store, random, round| {
            let keys = shuffled(random);
            match random.below(4) {
                0 => run(store, "FLUSHALL"),
                1 => {
                    run(store, &keys.iter().fold("DEL".to_owned(), |words, key| format!("{words} key:{key}")))
                }
                _ => {
                    let pair = |words, key: &usize| format!("{words} key:{key} {round}");
                    run(store, &keys.iter().fold("MSET".to_owned(), pair))
                }
            };
        },
        read_whole,
    );
}

#[test]
fn what_is_moved_between_keys_is_never_missing_nor_twice() {
    writers_and_readers(
        |store, random, _| {
            let (from, to, by) = (random.below(KEYS), random.below(KEYS), random.below(100));
            let moved = [cmd(&format!("DECRBY sum:{from} {by}")), cmd(&format!("INCRBY sum:{to} {by}"))];
            atomically(store, &moved);
        },
        |store, random| {
            let sums = shuffled(random).into_iter().map(|key| cmd(&format!("GET sum:{key}")));
            let sums = atomically(store, &sums.collect::<Vec<_>>());
            let sum = |value: &Value| {
                redis::from_redis_value_ref::<Option<i64>>(value).expect("a number").unwrap_or(0)
            };
            assert_eq!(sums.iter().map(sum).sum::<i64>(), 0);
        },
    );
}

#[test]
fn a_renamed_key_is_at_one_of_its_names() {
    let store = sharded();
    run(&store, "SET name:0 x");
    let mut random = Random::from_environment();
    within_a_minute(move || {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(run(&store, "EXISTS name:0 name:1 name:2 name:3"), Value::Int(1));
                }
            });
            for _ in 0..20_000 {
                run(&store, &format!("RENAME name:{} name:{}", random.below(4), random.below(4)));
                if reader.is_finished() {
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn errors_inside_an_atomic_batch_leave_the_rest_in_place() {
    let store = sharded();
    run(&store, "RPUSH list x");
    let replies = atomically(&store, &[cmd("SET a 1"), cmd("INCR list"), cmd("INCR a")]);
    assert_eq!(replies[0], Value::Okay);
    assert!(error(&replies[1]).starts_with("WRONGTYPE"));
    assert_eq!(replies[2], Value::Int(2));
}

#[test]
fn a_wrong_arity_discards_the_whole_atomic_batch_and_only_itself_otherwise() {
    let store = sharded();
    let batch = [cmd("SET a 1"), cmd("GET"), cmd("SET b 1")];
    for reply in atomically(&store, &batch) {
        assert_eq!(error(&reply), "EXECABORT Transaction discarded because of previous errors.");
    }
    assert_eq!(store.entries(), 0);
    let replies = store.execute(&batch.iter().collect::<Vec<_>>(), false).expect("served");
    assert_eq!(replies[0], Value::Okay);
    assert_eq!(error(&replies[1]), "ERR wrong number of arguments for 'get' command");
    assert_eq!(replies[2], Value::Okay);
}
