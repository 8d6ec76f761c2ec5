//! What does one look-up, and one insertion, cost in a full store: directly, and by commands?
//!
//! One thread, 10,000 entries of 100 B. Beside other stores, and on all cores, `cargo xtask bench lru` measures it.

use cenote::redis::Cmd;
use cenote::{Fallback, FallbackLru};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

const ENTRIES: usize = 10_000;
const VALUE: [u8; 100] = [b'x'; 100];

type Key = [u8; 11];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    get(&mut criterion);
    insert(&mut criterion);
    commands(&mut criterion);
    criterion.final_summary();
}

fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("LRU get");
    let store = full();
    round(&mut group, "hit, looked at in place", &present(), |key| {
        store.get_with(key, |value| value[0]).unwrap()
    });
    round(&mut group, "hit, copied", &present(), |key| store.get(key).unwrap());
    round(&mut group, "miss", &absent(), |key| assert!(store.get(key).is_none()));
}

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("LRU insert");
    let store = full();
    round(&mut group, "over another value", &present(), |key| store.insert(key, VALUE, None));
    round(&mut group, "in place of the least recently used", &absent(), |key| store.insert(key, VALUE, None));
    assert_eq!(store.entries(), ENTRIES);
}

/// As a pool reaches the store. The commands are there already.
fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("LRU by command");
    let store = full();
    let gets: Vec<_> = present().iter().map(Cmd::get).collect();
    let sets: Vec<_> = present().iter().map(|key| Cmd::set(key, &VALUE[..])).collect();
    for (name, commands) in [("GET", gets), ("SET", sets)] {
        round(&mut group, name, &commands, |command| store.execute(&[command], false).unwrap());
    }
}

/// Measures one call, with each of `items` in turn, over and over.
fn round<T, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    items: &[T],
    mut call: impl FnMut(&T) -> R,
) {
    let mut items = items.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| bencher.iter(|| call(items.next().unwrap())));
}

fn full() -> FallbackLru {
    let store = FallbackLru::builder().capacity(ENTRIES).build().unwrap();
    for key in present() {
        store.insert(key, VALUE, None).unwrap();
    }
    store
}

/// All the keys of a full store, in no order that it could profit from.
fn present() -> Vec<Key> {
    let mut keys = keys(0, ENTRIES);
    fastrand::Rng::with_seed(42).shuffle(&mut keys);
    keys
}

/// More than there is room for: when it is one's turn again it has been forgotten.
fn absent() -> Vec<Key> {
    keys(ENTRIES, 2 * ENTRIES)
}

fn keys(first: usize, count: usize) -> Vec<Key> {
    let key = |number| format!("user:{number:06}").into_bytes().try_into().unwrap();
    (first..first + count).map(key).collect()
}
