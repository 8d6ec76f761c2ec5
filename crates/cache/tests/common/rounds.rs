//! Rounds in which loads, changes and looks at one key meet in every order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cenote_cache::{Cache, Cx, Written};
use cenote_pool_core::Pool;
use cenote_testkit::{eventually_async, seed, within};
use redis::AsyncCommands;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use crate::common::{MINUTE, SOON};

pub(crate) type Numbers = Cache<u64, u64>;

/// Caches of several processes, and the truth that they load.
pub(crate) struct World {
    pub(crate) caches: Vec<Numbers>,
    pub(crate) pool: Pool,
    /// Other processes have an L1, which hears of a change a moment after it was made.
    pub(crate) told_later: bool,
    pub(crate) hits: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Put,
    PutTagged,
    Remove,
    RemoveMany,
    Clear,
    RemoveTag,
    RemoveSharedTag,
}

const CHANGES: [Change; 7] = [
    Change::RemoveTag,
    Change::RemoveSharedTag,
    Change::Put,
    Change::PutTagged,
    Change::Remove,
    Change::RemoveMany,
    Change::Clear,
];

type Loading = Pin<Box<dyn Future<Output = Result<Option<u64>, Infallible>> + Send>>;

/// The rounds of eight keys at once.
pub(crate) async fn run(world: World, rounds: u64) {
    const KEYS: u64 = 8;
    let (seed, world) = (seed(), Arc::new(world));
    let worker = |key| {
        let world = world.clone();
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(key));
        tokio::spawn(async move {
            let truth = Arc::new(AtomicU64::new(1));
            let mut is_tagged = true;
            for round in 0..rounds.div_ceil(KEYS) {
                let one = world.round(key, &truth, &mut is_tagged, &mut rng);
                within(MINUTE, one).await.unwrap_or_else(|stale| panic!("key {key}, round {round}: {stale}"));
            }
        })
    };
    let workers: Vec<_> = (0..KEYS).map(worker).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let hits = world.hits.load(Ordering::SeqCst);
    println!("{rounds} rounds, 0 stale values, {hits} values read after a change");
    assert!(hits > rounds / 10, "too few values were read for this to mean anything");
}

impl World {
    pub(crate) fn new(caches: Vec<Numbers>, pool: &Pool) -> Self {
        Self { caches, pool: pool.clone(), told_later: false, hits: AtomicU64::new(0) }
    }

    async fn round(
        &self,
        key: u64,
        truth: &Arc<AtomicU64>,
        is_tagged: &mut bool,
        rng: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let change = CHANGES[rng.usize(if *is_tagged { 0..7 } else { 2..7 })];
        let by_tag = matches!(change, Change::RemoveTag | Change::RemoveSharedTag);
        if rng.bool() {
            // So that there is something to load.
            let _ = self.caches[0].remove(&key).await.unwrap();
        }
        let gate = rng.bool().then(|| Arc::new(Semaphore::new(0)));
        let mut loads: Vec<JoinHandle<()>> = Vec::new();
        let mut many = false;
        for _ in 0..rng.usize(1..4) {
            let cache = self.caches[rng.usize(..self.caches.len())].clone();
            let loader = self.loader(key, truth, gate.clone(), rng);
            let (pool, before) = (self.pool.clone(), rng.u32(..3));
            // What is loaded together has no tags.
            let is_many = !by_tag && rng.u8(..4) == 0;
            many |= is_many;
            let truth = truth.clone();
            loads.push(tokio::spawn(async move {
                pause(&pool, before).await;
                if is_many {
                    let load = move |keys: Vec<u64>| async move {
                        let number = truth.load(Ordering::SeqCst);
                        pause(&pool, before).await;
                        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, number)).collect())
                    };
                    cache.get_or_load_many(&[key, key + 1_000], load).await.unwrap();
                } else {
                    cache.get_or_load(&key, loader).await.unwrap();
                }
            }));
        }
        pause(&self.pool, rng.u32(..4)).await;
        let number = truth.fetch_add(1, Ordering::SeqCst) + 1;
        let writer = rng.usize(..self.caches.len());
        let written = self.change(change, &self.caches[writer], key, number).await;
        assert_eq!(written, Written::Applied);
        *is_tagged = !many && change != Change::Put;

        let what = format!("{change:?} by {writer}, now {number}");
        for (index, cache) in self.caches.iter().enumerate() {
            if self.told_later && index != writer {
                self.hear(cache, key, number).await;
                // A load from before may be in its L1 for a moment still.
                continue;
            }
            self.check(&what, "after it", number, cache.get(&key).await.unwrap().value().map(|v| **v))?;
        }
        let loader = self.loader(key, truth, None, rng);
        let opened = async {
            pause(&self.pool, rng.u32(..3)).await;
            gate.iter().for_each(|gate| gate.add_permits(1 << 16));
        };
        let (loaded, ()) = tokio::join!(self.caches[writer].get_or_load(&key, loader), opened);
        self.check(&what, "loaded after it", number, loaded.unwrap().map(|v| *v))?;
        for load in loads {
            load.await.unwrap();
        }
        for (index, cache) in self.caches.iter().enumerate() {
            if self.told_later && index != writer {
                self.hear(cache, key, number).await;
            }
            self.check(&what, "at the end", number, cache.get(&key).await.unwrap().value().map(|v| **v))?;
            let loaded = cache.get_or_load(&key, self.loader(key, truth, None, rng)).await.unwrap();
            self.check(&what, "loaded at the end", number, loaded.map(|v| *v))?;
        }
        Ok(())
    }

    async fn change(&self, change: Change, cache: &Numbers, key: u64, number: u64) -> Written {
        match change {
            Change::Put => cache.put(&key, &number).await,
            Change::PutTagged => cache.put_tagged(&key, &number, &[&tag(key), "all"]).await,
            Change::Remove => cache.remove(&key).await,
            Change::RemoveMany => cache.remove_many(&[key + 1_000, key]).await,
            Change::RemoveTag => cache.remove_tag(&tag(key)).await,
            Change::RemoveSharedTag => cache.remove_tag("all").await,
            Change::Clear => cache.clear().await,
        }
        .unwrap()
    }

    /// Waits until the L1 of another process has heard.
    async fn hear(&self, cache: &Numbers, key: u64, number: u64) {
        eventually_async(SOON, "the change is told", || async {
            cache.get(&key).await.unwrap().value().is_none_or(|value| **value >= number)
        })
        .await;
    }

    fn check(&self, what: &str, when: &str, number: u64, value: Option<u64>) -> Result<(), String> {
        let Some(value) = value else { return Ok(()) };
        self.hits.fetch_add(1, Ordering::Relaxed);
        if value >= number { Ok(()) } else { Err(format!("{what}: {value} was read {when}")) }
    }

    fn loader(
        &self,
        key: u64,
        truth: &Arc<AtomicU64>,
        gate: Option<Arc<Semaphore>>,
        rng: &mut fastrand::Rng,
    ) -> impl FnOnce(Cx<u64>) -> Loading + Send + 'static {
        let (pool, truth) = (self.pool.clone(), truth.clone());
        let (before, after, early) = (rng.u32(..2), rng.u32(..3), rng.bool());
        move |cx| {
            Box::pin(async move {
                let tags = || [tag(key), "all".to_owned()].into_iter().for_each(|tag| cx.tag(tag));
                if early {
                    tags();
                }
                pause(&pool, before).await;
                let number = truth.load(Ordering::SeqCst);
                match gate {
                    Some(gate) => drop(gate.acquire().await.unwrap()),
                    None => pause(&pool, after).await,
                }
                if !early {
                    tags();
                }
                Ok(Some(number))
            })
        }
    }
}

fn tag(key: u64) -> String {
    format!("key {key}")
}

/// As long as so many questions to Redis, and a little more.
pub(crate) async fn pause(pool: &Pool, questions: u32) {
    for _ in 0..questions {
        let _: Result<(), _> = pool.conn().ping().await;
    }
    for _ in 0..fastrand::u32(..4) {
        yield_now().await;
    }
}
