//! What does one look-up, and one insertion, cost in a full store: directly, and by commands?
//!
//! One thread, 10,000 entries of 100 B. Beside other stores, and on all cores, `cargo xtask bench lru` measures it.

use cenote::redis::Cmd;
use cenote::{Fallback, FallbackLru};
use criterion::{Criterion, Throughput};

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
    group.throughput(Throughput::Elements(1));
    let (store, mut present, mut absent) = (full(), Keys::present(), Keys::absent());
    group.bench_function("hit, looked at in place", |bencher| {
        bencher.iter(|| store.get_with(present.next(), |value| value[0]).unwrap());
    });
    group.bench_function("hit, copied", |bencher| {
        bencher.iter(|| store.get(present.next()).unwrap());
    });
    group.bench_function("miss", |bencher| {
        bencher.iter(|| assert!(store.get(absent.next()).is_none()));
    });
}

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("LRU insert");
    group.throughput(Throughput::Elements(1));
    let (store, mut present, mut absent) = (full(), Keys::present(), Keys::absent());
    group.bench_function("over another value", |bencher| {
        bencher.iter(|| store.insert(present.next(), VALUE, None));
    });
    group.bench_function("in place of the least recently used", |bencher| {
        bencher.iter(|| store.insert(absent.next(), VALUE, None));
    });
    assert_eq!(store.entries(), ENTRIES);
}

/// As a pool reaches the store; the commands are there already.
fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("LRU by command");
    group.throughput(Throughput::Elements(1));
    let store = full();
    for (name, command) in [("GET", Cmd::get as fn(Key) -> Cmd), ("SET", |key| Cmd::set(key, &VALUE[..]))] {
        let commands: Vec<_> = Keys::present().0.into_iter().map(command).collect();
        let mut commands = commands.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| store.execute(commands.next().as_slice(), false).unwrap());
        });
    }
}

fn full() -> FallbackLru {
    let store = FallbackLru::builder().capacity(ENTRIES).build().unwrap();
    for key in Keys::present().0 {
        store.insert(key, VALUE, None).unwrap();
    }
    store
}

/// Keys to go round and round, and where we are.
struct Keys(Vec<Key>, usize);

impl Keys {
    /// All that a full store has, in no order that it could profit from.
    fn present() -> Self {
        let mut keys = Self::numbered(0);
        fastrand::Rng::with_seed(42).shuffle(&mut keys.0);
        keys
    }

    /// As many as a store has room for and more, so that it has forgotten each when it comes again.
    fn absent() -> Self {
        let mut keys = Self::numbered(ENTRIES);
        keys.0.extend(Self::numbered(2 * ENTRIES).0);
        keys
    }

    fn numbered(first: usize) -> Self {
        let key = |number| format!("user:{number:06}").into_bytes().try_into().unwrap();
        Self((first..first + ENTRIES).map(key).collect(), 0)
    }

    fn next(&mut self) -> Key {
        self.1 = (self.1 + 1) % self.0.len();
        self.0[self.1]
    }
}
