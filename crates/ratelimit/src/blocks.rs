//! What Redis refused a moment ago, so that it need not be asked again too early.
//!
//! A debt only drains: until its time a refusal stays one, unless tokens were given back. In this process that drops the
//! block; another process's refund is noticed after a second at the latest.
//!
//! A look takes no lock and writes to nothing that threads share, as refusals are what comes in floods: [`set`].

mod name;
mod set;
mod table;

use crate::call::Item;
use crate::decision::Verdict;
use crate::quota::Rate;

pub(crate) use name::{Name, ROOM, fits};
use table::Table;

const LONGEST_US: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Blocks {
    table: Table,
}

#[derive(Debug, Clone, Copy)]
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
        Self { table: Table::new(capacity) }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Why this item is refused, or what [`keep`](Self::keep) needs to know after Redis was asked. Times are
    /// microseconds of this process.
    pub(crate) fn find(&self, item: &Item, now: u64) -> Result<Asked, Verdict> {
        let mut room = [0; ROOM];
        self.look(&Name::of(&mut room, item.tag(), &item.policy), &item.rate, item.cost, now)
    }

    /// Whether anything was ever refused.
    #[inline]
    pub(crate) fn in_use(&self) -> bool {
        self.table.in_use()
    }

    /// As [`find`](Self::find), of a call that is none yet.
    #[inline]
    pub(crate) fn look(&self, name: &Name<'_>, rate: &Rate, cost: u64, now: u64) -> Result<Asked, Verdict> {
        let Some(place) = self.table.place(name) else { return Ok(Asked { epoch: 0, at: now }) };
        // Before the block: if it is dropped in between, what Redis says is of before, too.
        let asked = Asked { epoch: place.epoch(), at: now };
        let Some(block) = place.find() else { return Ok(asked) };
        if block.rate != *rate || block.until <= now {
            place.remove();
            return Ok(asked);
        }
        if cost < block.cost {
            return Ok(asked);
        }
        // More than was refused is refused for longer; by how much is plain.
        let longer = match cost - block.cost {
            0 => 0,
            more => {
                let more = u128::from(more) * u128::from(rate.token);
                u64::try_from(more.div_ceil(rate.drain.into())).unwrap_or(u64::MAX)
            }
        };
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
        let mut room = [0; ROOM];
        let name = Name::of(&mut room, item.tag(), &item.policy);
        let Some(place) = self.table.place(&name) else { return };
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
        place.put(block, asked.epoch);
    }

    /// Something was given back.
    pub(crate) fn drop_all(&self, items: &[Item]) {
        for item in items {
            let mut room = [0; ROOM];
            let name = Name::of(&mut room, item.tag(), &item.policy);
            let Some(place) = self.table.place(&name) else { return };
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    fn item(key: &str, cost: u64) -> Item {
        let rate = Quota::per_second(10).rate().unwrap();
        Item { policy: "p".into(), key: crate::key::key("x:", key, "p"), rate, cost }
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

        let blocks = Blocks::new(100);
        let asked = blocks.find(&item("a", 1), 0).unwrap();
        blocks.drop_all(&[item("a", 1)]);
        blocks.keep(&item("a", 1), &refusal(100), asked, 1);
        assert!(blocks.find(&item("a", 1), 1).is_ok(), "nor is it kept as the first of all");
    }

    #[test]
    fn no_subject_and_no_policy_is_taken_for_another_whatever_their_length() {
        let blocks = Blocks::new(10_000);
        let subjects = (0..130).flat_map(|length| ["a", "b"].map(|last| "a".repeat(length) + last));
        let policies = ["p", "ap", "pp"];
        let all: Vec<Item> = subjects
            .flat_map(|subject| {
                policies.map(|policy| Item {
                    policy: policy.into(),
                    key: crate::key::key("x:", &subject, policy),
                    ..item("", 1)
                })
            })
            .collect();
        for (number, item) in all.iter().enumerate() {
            let asked = blocks.find(item, 0).expect("nobody refused it yet");
            blocks.keep(item, &refusal(1_000 + number as u64), asked, 0);
        }
        // A set that many hashes chose by chance has given up some.
        let mut found = 0;
        for (number, item) in all.iter().enumerate() {
            let Err(verdict) = blocks.find(item, 0) else { continue };
            assert_eq!(verdict.retry, 1_000 + number as u64, "{item:?}");
            found += 1;
        }
        assert!(found > all.len() * 9 / 10, "{found} of {}", all.len());
    }

    #[test]
    fn threads_that_look_while_others_keep_and_drop_find_what_is_true_or_nothing() {
        let blocks = Blocks::new(16);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let blocks = &blocks;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(thread);
                    for _ in 0..20_000 {
                        let number = rng.u64(..40);
                        let item = item(&number.to_string(), 1);
                        match blocks.find(&item, 0) {
                            Err(verdict) => assert_eq!(verdict.retry, 1_000 + number),
                            Ok(asked) => blocks.keep(&item, &refusal(1_000 + number), asked, 0),
                        }
                        if rng.u8(..8) == 0 {
                            blocks.drop_all(&[item]);
                        }
                    }
                });
            }
        });
        assert!(blocks.len() <= 16);
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
        let few = Blocks::new(5);
        for number in 0..100 {
            let item = item(&number.to_string(), 1);
            few.keep(&item, &refusal(1_000_000), few.find(&item, 0).unwrap(), 0);
        }
        assert_eq!(few.len(), 5);
        let none = Blocks::new(0);
        none.keep(&item("a", 1), &refusal(100), none.find(&item("a", 1), 0).unwrap(), 0);
        assert!(none.find(&item("a", 1), 0).is_ok() && none.len() == 0);
    }
}
