//! What Redis refused a moment ago, so that it need not be asked again too early.
//!
//! A debt only drains: until its time a refusal stays one, unless tokens were given back. In this process that drops the
//! block; another process's refund is noticed after a second at the latest.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use lru::{DefaultHasher, LruCache};
use parking_lot::Mutex;

use crate::call::Item;
use crate::decision::Verdict;
use crate::quota::Rate;

const SHARDS: usize = 16;
const LONGEST_US: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Vec<Mutex<Shard>>,
    hasher: DefaultHasher,
    in_use: AtomicBool,
}

#[derive(Debug)]
struct Shard {
    blocks: LruCache<Box<[u8]>, Block>,
    /// How often something was given back.
    epoch: u64,
}

#[derive(Debug)]
struct Block {
    rate: Rate,
    /// As much and more is refused.
    cost: u64,
    /// Until then Redis need not be asked.
    until: u64,
    remaining: u64,
    /// By when it is allowed, and by when all is as if nothing had been taken.
    retry: u64,
    reset: u64,
}

/// What an item was told before Redis was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    epoch: u64,
    at: u64,
}

impl Blocks {
    /// For so many keys at most, or none.
    pub(crate) fn new(capacity: usize) -> Self {
        // Each shard has its part, rounded down, so that all together are never more.
        let shards = SHARDS.min(capacity);
        let shard = |size| Mutex::new(Shard { blocks: LruCache::new(size), epoch: 0 });
        let size = NonZeroUsize::new(capacity / shards.max(1));
        let shards = size.map(|size| (0..shards).map(|_| shard(size)).collect()).unwrap_or_default();
        Self { shards, hasher: DefaultHasher::default(), in_use: AtomicBool::new(false) }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().blocks.len()).sum()
    }

    /// Why this item is refused, or what [`keep`](Self::keep) needs to know after Redis was asked. Times are
    /// microseconds of this process.
    pub(crate) fn find(&self, item: &Item, now: u64) -> Result<Asked, Verdict> {
        self.look(&item.key, &item.rate, item.cost, now)
    }

    /// Whether anything was ever refused.
    pub(crate) fn in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// As [`find`](Self::find), of a call that is none yet.
    pub(crate) fn look(&self, key: &[u8], rate: &Rate, cost: u64, now: u64) -> Result<Asked, Verdict> {
        let Some(shard) = self.shard(key) else { return Ok(Asked { epoch: 0, at: now }) };
        let mut shard = shard.lock();
        let asked = Asked { epoch: shard.epoch, at: now };
        // Not as one that was used: it is put again within a second if it goes on.
        let Some(block) = shard.blocks.peek(key) else { return Ok(asked) };
        if block.rate != *rate || block.until <= now {
            shard.blocks.pop(key);
            return Ok(asked);
        }
        if cost < block.cost {
            return Ok(asked);
        }
        // More than was refused is refused for longer; by how much is plain.
        let more = u128::from(cost - block.cost) * u128::from(rate.token);
        let longer = u64::try_from(more.div_ceil(rate.drain.into())).unwrap_or(u64::MAX);
        Err(Verdict {
            fits: false,
            limit: rate.burst,
            remaining: block.remaining,
            retry: (block.retry - now).saturating_add(longer),
            reset: block.reset.saturating_sub(now),
        })
    }

    /// Redis refused it; its reply is here now.
    pub(crate) fn keep(&self, item: &Item, verdict: &Verdict, asked: Asked, now: u64) {
        let Some(shard) = self.shard(&item.key) else { return };
        let mut shard = shard.lock();
        if shard.epoch != asked.epoch {
            return;
        }
        // Redis decided between the two times. We ask it again as if it had been the first, and tell callers to come
        // again as if it had been the second.
        let block = Block {
            rate: item.rate,
            cost: item.cost,
            until: asked.at.saturating_add(verdict.retry.min(LONGEST_US)),
            remaining: verdict.remaining,
            retry: now.saturating_add(verdict.retry),
            reset: now.saturating_add(verdict.reset),
        };
        self.in_use.store(true, Ordering::Relaxed);
        shard.blocks.put(Box::from(&item.key[..]), block);
    }

    /// Something was given back.
    pub(crate) fn drop_all(&self, items: &[Item]) {
        for item in items {
            let Some(shard) = self.shard(&item.key) else { return };
            let mut shard = shard.lock();
            shard.epoch += 1;
            shard.blocks.pop(&item.key[..]);
        }
    }

    fn shard(&self, key: &[u8]) -> Option<&Mutex<Shard>> {
        let count = u64::try_from(self.shards.len()).ok().filter(|count| *count > 0)?;
        let index = self.hasher.hash_one(key) % count;
        self.shards.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    fn item(key: &str, cost: u64) -> Item {
        let rate = Quota::per_second(10).rate().unwrap();
        Item { policy: "p".into(), key: key.as_bytes().into(), rate, cost }
    }

    fn refusal(retry: u64) -> Verdict {
        Verdict { fits: false, limit: 10, remaining: 1, retry, reset: 900_000 }
    }

    #[test]
    fn a_refusal_holds_until_its_time_for_as_much_and_more_and_no_longer_than_a_second() {
        let blocks = Blocks::new(100);
        let asked = blocks.find(&item("a", 2), 1_000).unwrap();
        blocks.keep(&item("a", 2), &refusal(100_000), asked, 1_300);
        let retry = |cost, now| blocks.find(&item("a", cost), now).map(drop).map_err(|verdict| verdict.retry);
        assert_eq!(retry(2, 2_000), Err(99_300), "counted from the reply, so never too early");
        assert_eq!(retry(3, 2_000), Err(199_300), "a token more is a tenth of a second more");
        assert_eq!(retry(1, 2_000), Ok(()), "less may fit");
        assert_eq!(retry(2, 100_999), Err(301));
        assert_eq!(retry(2, 101_000), Ok(()), "counted from the question, so never refused too long");

        let asked = blocks.find(&item("b", 1), 0).unwrap();
        blocks.keep(&item("b", 1), &refusal(3_600_000_000), asked, 0);
        assert!(
            blocks.find(&item("b", 1), 999_999).is_err() && blocks.find(&item("b", 1), 1_000_000).is_ok()
        );
    }

    #[test]
    fn what_is_given_back_ends_a_block_and_one_that_is_on_its_way_and_so_does_another_quota() {
        let blocks = Blocks::new(100);
        let asked = blocks.find(&item("a", 1), 0).unwrap();
        blocks.keep(&item("a", 1), &refusal(100), asked, 0);
        let mut other = item("a", 1);
        other.rate = Quota::per_second(20).rate().unwrap();
        assert!(blocks.find(&item("a", 1), 1).is_err() && blocks.find(&other, 1).is_ok());

        blocks.keep(&item("a", 1), &refusal(100), asked, 0);
        blocks.drop_all(&[item("a", 1)]);
        assert!(blocks.find(&item("a", 1), 1).is_ok());
        blocks.keep(&item("a", 1), &refusal(100), asked, 1);
        assert!(blocks.find(&item("a", 1), 1).is_ok(), "it was asked for before");
    }

    #[test]
    fn a_million_keys_stay_within_the_bound() {
        let blocks = Blocks::new(1_000);
        for number in 0..1_000_000 {
            let item = item(&number.to_string(), 1);
            let asked = blocks.find(&item, 0).unwrap();
            blocks.keep(&item, &refusal(1_000_000), asked, 0);
        }
        assert!((900..=1_000).contains(&blocks.len()), "{}", blocks.len());
        assert_eq!(Blocks::new(5).shards.len(), 5);
        let none = Blocks::new(0);
        none.keep(&item("a", 1), &refusal(100), none.find(&item("a", 1), 0).unwrap(), 0);
        assert!(none.find(&item("a", 1), 0).is_ok() && none.len() == 0);
    }
}
