//! L1 says what Redis says: once Redis has told of a change, nothing older is served.

mod common;

use std::convert::Infallible;

use cenote_cache::{Cache, Tier};
use cenote_pool_core::Pool;
use cenote_testkit::{Log, Server, eventually_async, is_long, seed, within};
use common::{MINUTE, SOON, patient};
use tokio::runtime::Builder;

type Numbers = Cache<u64, u64>;

fn with_l1(pool: &Pool) -> Numbers {
    let cache = Cache::builder(pool, "n").ttl(MINUTE).negative_ttl(MINUTE).l1(100_000, 64 << 20);
    cache.build().unwrap()
}

fn without_l1(pool: &Pool) -> Numbers {
    Cache::builder(pool, "n").ttl(MINUTE).negative_ttl(MINUTE).build().unwrap()
}

async fn number(cache: &Numbers, key: u64) -> Option<u64> {
    cache.get(&key).await.unwrap().value().map(|value| **value)
}

async fn l1_has(cache: &Numbers, key: u64) {
    eventually_async(SOON, "L1 answers", || async { cache.get(&key).await.unwrap().tier() == Tier::L1 })
        .await;
}

/// Redis tells of changes in their order: when the reader sees this one, it has seen all that were made before.
async fn everything_is_told(reader: &Numbers, writer: &Numbers) {
    const MARK: u64 = u64::MAX;
    let mark = fastrand::u64(..);
    let _ = writer.put(&MARK, &0).await.unwrap();
    eventually_async(SOON, "L1 has the mark", || async {
        let found = reader.get(&MARK).await.unwrap();
        found.tier() == Tier::L1 && found.value().is_some_and(|value| **value == 0)
    })
    .await;
    let _ = writer.put(&MARK, &mark).await.unwrap();
    eventually_async(SOON, "the mark is told", || async { number(reader, MARK).await == Some(mark) }).await;
}

/// 3,000 keys, of each of which a read and a write race in two tasks.
async fn race(reader: Numbers, writer: Numbers) {
    const KEYS: u64 = 3_000;
    let (mut stale, mut from_l1) = (0, 0);
    everything_is_told(&reader, &writer).await;
    // Half of the keys are there already; of the others it is loaded, and remembered, that there is nothing.
    for key in (0..KEYS).step_by(2) {
        let _ = writer.put(&key, &1).await.unwrap();
    }
    let mut tasks = Vec::new();
    for key in 0..KEYS {
        let (reader, writer) = (reader.clone(), writer.clone());
        tasks.push(tokio::spawn(async move {
            if key % 2 == 0 {
                number(&reader, key).await;
            } else {
                reader.get_or_load(&key, |_| async { Ok::<_, Infallible>(None) }).await.unwrap();
            }
        }));
        tasks.push(tokio::spawn(async move {
            if key % 3 == 0 {
                tokio::task::yield_now().await;
            }
            let _ = writer.put(&key, &2).await.unwrap();
        }));
    }
    for task in tasks {
        within(MINUTE, task).await.unwrap();
    }
    everything_is_told(&reader, &writer).await;
    for look in 0..2 {
        for key in 0..KEYS {
            let found = reader.get(&key).await.unwrap();
            stale += u32::from(found.value().map(|value| **value) != Some(2));
            from_l1 += u32::from(look == 1 && found.tier() == Tier::L1);
        }
    }
    println!("{stale} stale of {KEYS}; L1 answered {from_l1} of the last reads");
    assert_eq!(stale, 0);
    assert!(from_l1 > 2_900, "L1 takes part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_race_with_the_writes_of_another_process_leave_nothing_stale_in_l1() {
    let server = Server::start();
    race(with_l1(&patient(server.url())), without_l1(&patient(server.url()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_race_with_the_writes_of_their_own_process_leave_nothing_stale_in_l1() {
    let server = Server::start();
    let cache = with_l1(&patient(server.url()));
    race(cache.clone(), cache).await;
}

/// A removal by a tag and a clear are told by the version's key, all others by the key's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_an_invalidation_is_counted_l1_does_not_serve_what_was_before_it() {
    let server = Server::start();
    let (reader, writer) = (with_l1(&patient(server.url())), without_l1(&patient(server.url())));
    let mut rng = fastrand::Rng::with_seed(seed());
    for round in 1..=if is_long() { 5_000 } else { 500 } {
        let _ = writer.put_tagged(&1, &round, &["t"]).await.unwrap();
        // Everything of the round before was told, for this value is there.
        eventually_async(SOON, "L1 has it", || async {
            let found = reader.get(&1).await.unwrap();
            found.tier() == Tier::L1 && found.value().is_some_and(|value| **value == round)
        })
        .await;
        everything_is_told(&reader, &writer).await;
        let before = reader.stats().invalidations;
        let change = rng.u8(..4);
        match change {
            0 => writer.remove(&1).await,
            1 => writer.put(&1, &(round + 1_000_000)).await,
            2 => writer.remove_tag("t").await,
            _ => writer.clear().await,
        }
        .map(drop)
        .unwrap();
        if change < 2 {
            eventually_async(SOON, "it is told", || async { reader.stats().invalidations > before }).await;
        } else {
            everything_is_told(&reader, &writer).await;
        }
        if let Some(value) = number(&reader, 1).await {
            assert_eq!(value, round + 1_000_000, "round {round}");
        }
    }
}

/// The runtime of the first caller ends, and with it the task that listens.
#[test]
fn when_the_runtime_that_listens_has_ended_l1_answers_nothing_until_another_listens() {
    let server = Server::start();
    let writer = without_l1(&patient(server.url()));
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let home = runtime();
    for round in 0..10 {
        let reader = with_l1(&patient(server.url()));
        home.block_on(async { writer.put(&1, &(round * 3)).await.map(drop).unwrap() });
        let passing = runtime();
        passing.block_on(within(MINUTE, l1_has(&reader, 1)));
        drop(passing);
        home.block_on(within(MINUTE, async {
            // Nobody hears of this one.
            let _ = writer.put(&1, &(round * 3 + 1)).await.unwrap();
            assert_eq!(number(&reader, 1).await, Some(round * 3 + 1));
            l1_has(&reader, 1).await;
            let _ = writer.put(&1, &(round * 3 + 2)).await.unwrap();
            eventually_async(SOON, "the change is told", || async {
                number(&reader, 1).await == Some(round * 3 + 2)
            })
            .await;
        }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_redis_does_not_tell_of_changes_l1_stays_empty_and_a_warning_says_so() {
    let server = Server::start();
    let log = Log::capture();
    let (resp2, other) = (patient(format!("{}?protocol=resp2", server.url())), patient(server.url()));
    let (reader, writer) = (with_l1(&resp2), without_l1(&other));
    let _ = writer.put(&1, &1).await.unwrap();
    eventually_async(SOON, "the warning", || async {
        assert_eq!(reader.get(&1).await.unwrap().tier(), Tier::L2);
        log.text().contains("L1 stays empty: Redis does not tell of changes")
    })
    .await;
    for value in 2..200 {
        let _ = writer.put(&1, &value).await.unwrap();
        let found = reader.get(&1).await.unwrap();
        assert_eq!((**found.value().unwrap(), found.tier()), (value, Tier::L2));
    }
    assert_eq!(reader.stats().l1_entries, 0);
    assert_eq!(log.text().matches("L1 stays empty").count(), 1);
}
