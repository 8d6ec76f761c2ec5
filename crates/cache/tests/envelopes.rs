//! What others left under a cache's keys: a miss and an event, never a panic; and a load puts it right.

mod common;

use std::sync::Arc;

use cenote_cache::{Cache, CacheBuilder, CompressionError, Corrupt, Event, Lookup, Tier};
use cenote_pool_core::Pool;
use cenote_testkit::{Observer, Server, eventually_async, seed};
use common::{SOON, Source, pool, text, texts};
use parking_lot::Mutex;

/// What a cache told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Said>>>);

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Corrupt(String, Corrupt),
    NotStored(String, String),
}

impl Told {
    fn to(&self, builder: CacheBuilder<u64, String>) -> Cache<u64, String> {
        let told = self.0.clone();
        let listener = move |event: &Event<'_>| match event {
            Event::Corrupt { name, why } => told.lock().push(Said::Corrupt(name.clone(), (*why).clone())),
            Event::NotStored { name, why, .. } => {
                told.lock().push(Said::NotStored(name.clone(), why.clone()));
            }
            other => panic!("{other:?}"),
        };
        builder.on_event(listener).build().unwrap()
    }

    fn take(&self) -> Vec<Said> {
        std::mem::take(&mut self.0.lock())
    }
}

/// The bytes of a valid entry, to be spoilt.
async fn entry(cache: &Cache<u64, String>, observer: &Observer) -> Vec<u8> {
    let _ = cache.put(&1, &"good".to_owned()).await.unwrap();
    observer.get(&["GET", &cache.name(&1)])
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    bytes
}

fn changed(bytes: &[u8], at: usize, to: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = to;
    bytes
}

const FLAGS: usize = 3;

/// What it is, its bytes, and what is to be said of them.
type Spoilt = (&'static str, Vec<u8>, fn(&Corrupt) -> bool);

fn spoilt(whole: &[u8]) -> Vec<Spoilt> {
    let payload = whole.len() - 4 - "\"good\"".len();
    vec![
        ("empty", Vec::new(), |why| *why == Corrupt::Foreign),
        ("text", b"somebody else's".to_vec(), |why| *why == Corrupt::Foreign),
        ("JSON", b"\"good\"".to_vec(), |why| *why == Corrupt::Foreign),
        ("cut after the magic", whole[..2].to_vec(), |why| *why == Corrupt::Truncated),
        ("cut within the fields", whole[..20].to_vec(), |why| *why == Corrupt::Truncated),
        ("cut at the end", whole[..whole.len() - 1].to_vec(), |why| *why == Corrupt::Truncated),
        ("longer", [whole, b"x"].concat(), |why| matches!(why, Corrupt::Malformed(_))),
        ("of a later version", changed(whole, 2, 2), |why| *why == Corrupt::FutureVersion(2)),
        ("of no version", changed(whole, 2, 200), |why| *why == Corrupt::Foreign),
        ("changed", changed(whole, payload + 1, b'x'), |why| *why == Corrupt::Checksum),
        ("unknown flags", with_checksum(changed(whole, FLAGS, 0x80)), |why| {
            matches!(why, Corrupt::Malformed(_))
        }),
        ("no JSON", with_checksum(changed(whole, payload, b'?')), |why| matches!(why, Corrupt::Codec(_))),
        ("JSON of another type", with_checksum([&whole[..payload], b"[1, 2]", &[0; 4]].concat()), |why| {
            matches!(why, Corrupt::Codec(_))
        }),
        ("compressed by nothing we know", with_checksum(changed(whole, FLAGS, 7 << 1)), |why| {
            *why == Corrupt::Compression(CompressionError::Unknown(7))
        }),
    ]
}

/// `get` says what is wrong with it and misses; `get_or_load` puts it right.
async fn is_missed_and_mended(
    cache: &Cache<u64, String>,
    told: &Told,
    write: impl Fn(&str),
    what: &str,
    right: impl Fn(&Corrupt) -> bool,
) {
    let name = cache.name(&1);
    write(&name);
    let corrupt = cache.stats().corrupt;
    assert_eq!(cache.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::L2 }, "{what}");
    let events = told.take();
    let [Said::Corrupt(named, why)] = events.as_slice() else { panic!("{what}: {events:?}") };
    assert!(*named == name && right(why), "{what}: {events:?}");
    assert_eq!(cache.stats().corrupt, corrupt + 1, "{what}");
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("mended")).await), "mended", "{what}");
    assert_eq!((source.asked(), cache.get(&1).await.unwrap().value().unwrap().as_str()), (1, "mended"));
    told.take();

    write(&name);
    let load = |keys: Vec<u64>| async move {
        assert_eq!(keys, [1]);
        Ok::<_, std::io::Error>([(1, "mended".to_owned())].into())
    };
    assert_eq!(cache.get_or_load_many(&[1], load).await.unwrap()[&1].as_str(), "mended", "{what}");
    assert_eq!(cache.get(&1).await.unwrap().value().unwrap().as_str(), "mended", "{what}");
    assert!(told.take().iter().all(|said| matches!(said, Said::Corrupt(..))), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_none_is_a_miss_with_what_is_wrong_with_it_and_a_load_mends_it() {
    let server = Server::start();
    let observer = server.observer();
    let (pool, told) = (pool(server.url()), Told::default());
    let cache = told.to(texts(&pool, "t"));
    for (what, bytes, right) in spoilt(&entry(&cache, &observer).await) {
        let write = |name: &str| {
            observer.command(&[b"SET", name.as_bytes(), &bytes]).unwrap();
        };
        is_missed_and_mended(&cache, &told, write, what, right).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_compressed_by_a_feature_that_is_off_says_which_one_reads_it() {
    let server = Server::start();
    let observer = server.observer();
    let (pool, told) = (pool(server.url()), Told::default());
    let cache = told.to(texts(&pool, "t"));
    let whole = entry(&cache, &observer).await;
    for (id, name, on) in [(1, "lz4", cfg!(feature = "lz4")), (2, "zstd", cfg!(feature = "zstd"))] {
        // The payload is JSON, which neither of them has written.
        let bytes = with_checksum(changed(&whole, FLAGS, id << 1));
        let write = |key: &str| {
            observer.command(&[b"SET", key.as_bytes(), &bytes]).unwrap();
        };
        let right = |why: &Corrupt| match why {
            Corrupt::Compression(CompressionError::FeatureOff(off)) => !on && *off == name,
            Corrupt::Compression(CompressionError::Damaged(_)) => on,
            _ => false,
        };
        is_missed_and_mended(&cache, &told, write, name, right).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bytes_are_there_nothing_panics_and_only_the_whole_entry_is_read() {
    let server = Server::start();
    let observer = server.observer();
    let (pool, told) = (pool(server.url()), Told::default());
    let cache = told.to(texts(&pool, "t"));
    let whole = entry(&cache, &observer).await;
    let name = cache.name(&1);
    let mut random = seed() | 1;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        bytes.truncate(whole.len() - next(2) * next(whole.len()));
        let right = next(2) == 0 && bytes.len() > 4;
        let bytes = if right { with_checksum(bytes) } else { bytes };
        observer.command(&[b"SET", name.as_bytes(), &bytes]).unwrap();
        let found = cache.get(&1).await.unwrap();
        let intact = found.value().is_some_and(|value| value.as_str() == "good");
        assert!(intact || right || found.value().is_none() || bytes == whole, "{found:?} of {bytes:?}");
    }
}

/// `MGET`, by which a cache reads while it is not told of changes, calls a list nothing; `GET` calls it an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_type_is_an_error_that_names_it_and_a_load_leaves_it_alone() {
    let server = Server::start();
    let observer = server.observer();
    let make = |pool: &Pool, told: &Told, what: &str| {
        let builder = texts(pool, what);
        told.to(match what {
            "raw" => builder.raw_keys(|key| format!("raw:{key}")),
            "l1" => builder.l1(100, 1 << 20),
            _ => builder,
        })
    };
    for what in ["raw", "l1", "plain"] {
        let (pool, told) = (pool(server.url()), Told::default());
        let cache = make(&pool, &told, what);
        let _ = cache.put(&2, &"here".to_owned()).await.unwrap();
        if what == "l1" {
            let in_l1 = || async { cache.get(&2).await.unwrap().tier() == Tier::L1 };
            eventually_async(SOON, "L1 answers, so keys are read alone", in_l1).await;
        }
        let name = cache.name(&1);
        observer.command(&["RPUSH", &name, "a list"]).unwrap();
        if what == "plain" {
            assert_eq!(cache.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::L2 });
        } else {
            let error = cache.get(&1).await.unwrap_err();
            assert_eq!(error.server_error().and_then(|error| error.code()), Some("WRONGTYPE"), "{error:?}");
            assert!(error.to_string().contains("WRONGTYPE"), "{what}: {error}");
        }
        told.take();
        for _ in 0..2 {
            let source = Source::default();
            assert_eq!(text(cache.get_or_load(&1, source.load("loaded")).await), "loaded", "{what}");
            assert_eq!(source.asked(), 1);
            not_stored(&told, &name, what);
        }
        let load = |_| async { Ok::<_, std::io::Error>([(1, "many".to_owned())].into()) };
        let many = cache.get_or_load_many(&[1, 2], load).await.unwrap();
        assert_eq!((many[&1].as_str(), many[&2].as_str()), ("many", "here"), "{what}");
        not_stored(&told, &name, what);
        assert_eq!(observer.get::<Vec<String>>(&["LRANGE", &name, "0", "-1"]), ["a list"], "{what}");
        assert!(!observer.get::<bool>(&["EXISTS", &format!("{name}:fill")]), "{what}: nobody waits for it");
    }
}

fn not_stored(told: &Told, name: &str, what: &str) {
    let events = told.take();
    let [Said::NotStored(named, why)] = events.as_slice() else { panic!("{what}: {events:?}") };
    assert!(named == name && why.contains("WRONGTYPE"), "{what}: {events:?}");
}
