//! What Redis last said that keys owe, for the outage that may come: their buckets here begin with that.
//!
//! Bounded, the least recently told of is forgotten first: such a key begins an outage with all of its share. A key that
//! owes nothing takes no room.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use crate::call::Item;
use crate::decision::Verdict;
use crate::quota::Rate;

const SHARDS: usize = 16;
/// Replies overtake each other by no more than this. What comes later counts, though the server's clock was far ahead before.
const OVERTAKES_US: u64 = 60_000_000;

type Shard = Mutex<LruCache<Box<[u8]>, Seed>>;

#[derive(Debug)]
pub(crate) struct Seeds {
    shards: Vec<Shard>,
    hasher: RandomState,
}

/// Times are microseconds: of this process, but for `decided`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) rate: Rate,
    /// By the server's time: replies may overtake each other.
    decided: u64,
    pub(crate) at: u64,
    /// How long from then on all that is owed takes to come back.
    pub(crate) reset: u64,
}

impl Seeds {
    /// For so many keys at most, or none.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = SHARDS.min(capacity);
        let size = NonZeroUsize::new(capacity / shards.max(1));
        // It takes its room only when keys come.
        let shard = |_| {
            let mut shard = LruCache::unbounded();
            if let Some(size) = size {
                shard.resize(size);
            }
            Mutex::new(shard)
        };
        Self { shards: (0..shards).map(shard).collect(), hasher: RandomState::new() }
    }

    /// Redis has said this, of a time `decided` by its clock, and it is here `now`.
    pub(crate) fn note(&self, items: &[Item], verdicts: &[Verdict], decided: u64, now: u64) {
        for (item, verdict) in items.iter().zip(verdicts) {
            let Some(shard) = self.shard(&item.key) else { return };
            let mut shard = shard.lock();
            let seed = Seed { rate: item.rate, decided, at: now, reset: verdict.reset };
            match shard.get_mut(&item.key[..]) {
                Some(old)
                    if now.saturating_sub(old.at) < OVERTAKES_US
                        && (old.decided > decided || (old.decided == decided && old.reset > seed.reset)) => {}
                Some(_) if seed.reset == 0 => drop(shard.pop(&item.key[..])),
                Some(old) => *old = seed,
                None if seed.reset == 0 => {}
                None => drop(shard.put(item.key[..].into(), seed)),
            }
        }
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<Seed> {
        self.shard(key)?.lock().peek(key).copied()
    }

    pub(crate) fn forget(&self, items: &[Item]) {
        for item in items {
            if let Some(shard) = self.shard(&item.key) {
                shard.lock().pop(&item.key[..]);
            }
        }
    }

    fn shard(&self, key: &[u8]) -> Option<&Shard> {
        let count = u64::try_from(self.shards.len()).ok().filter(|count| *count > 0)?;
        let index = self.hasher.hash_one(key) % count;
        self.shards.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    fn item(key: &str) -> Item {
        let rate = Quota::per_second(10).rate().unwrap();
        Item { policy: "p".into(), key: key.as_bytes().into(), rate, cost: 1 }
    }

    fn owes(reset: u64) -> Verdict {
        Verdict { fits: true, limit: 10, remaining: 1, retry: 0, reset }
    }

    #[test]
    fn the_last_that_redis_decided_counts_whichever_reply_comes_last() {
        let seeds = Seeds::new(100);
        let reset = |key: &str| seeds.find(key.as_bytes()).map(|seed| seed.reset);
        seeds.note(&[item("a")], &[owes(300)], 7, 0);
        seeds.note(&[item("a")], &[owes(200)], 6, 1);
        seeds.note(&[item("a")], &[owes(200)], 7, 1);
        assert_eq!(reset("a"), Some(300), "older, or charged before");
        seeds.note(&[item("a")], &[owes(200)], 8, 2);
        assert_eq!(reset("a"), Some(200));
        seeds.note(&[item("a")], &[owes(0)], 9, 3);
        assert_eq!((reset("a"), reset("b")), (None, None));
        seeds.note(&[item("a")], &[owes(5)], 10, 3);
        seeds.forget(&[item("a")]);
        assert_eq!(reset("a"), None);
    }

    #[test]
    fn a_server_whose_clock_was_a_year_ahead_is_believed_again() {
        let seeds = Seeds::new(100);
        let reset = || seeds.find(b"a").map(|seed| seed.reset);
        seeds.note(&[item("a")], &[owes(300)], 31_536_000_000_000, 0);
        seeds.note(&[item("a")], &[owes(200)], 7, 1);
        assert_eq!(reset(), Some(300), "it may have been overtaken");
        seeds.note(&[item("a")], &[owes(100)], 60_000_007, OVERTAKES_US);
        assert_eq!(reset(), Some(100));
    }

    #[test]
    fn a_million_keys_stay_within_the_bound() {
        let seeds = Seeds::new(1_000);
        for number in 0..1_000_000 {
            seeds.note(&[item(&number.to_string())], &[owes(1)], 0, 0);
        }
        let len: usize = seeds.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!((900..=1_000).contains(&len), "{len}");
        let none = Seeds::new(0);
        none.note(&[item("a")], &[owes(1)], 0, 0);
        assert!(none.find(b"a").is_none());
    }
}
