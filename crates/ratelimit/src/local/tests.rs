use super::*;
use crate::quota::Quota;

const SECOND: u64 = 1_000_000;

struct Node {
    local: Local,
    nodes: u64,
    seeds: Seeds,
}

impl Node {
    fn new(capacity: usize, nodes: u64) -> Self {
        Self::changing(capacity, nodes, OnQuotaChange::KeepUsed)
    }

    fn changing(capacity: usize, nodes: u64, change: OnQuotaChange) -> Self {
        Self { local: Local::new(capacity, change), nodes, seeds: Seeds::new(10_000) }
    }

    fn call(&mut self, items: &[Item], mode: Mode, now: u64) -> (Vec<Verdict>, usize) {
        self.local.call(items, mode, Here { now, nodes: self.nodes, seeds: Some(&self.seeds) })
    }
}

fn item(key: &str, quota: Quota, cost: u64) -> Item {
    Item { policy: "p".into(), key: key.as_bytes().into(), rate: quota.rate().unwrap(), cost }
}

fn charge(local: &mut Node, item: Item, now: u64) -> Verdict {
    local.call(&[item], Mode::Charge, now).0[0]
}

#[test]
fn a_node_lets_through_its_share_of_the_burst_and_of_the_rate() {
    let mut local = Node::new(10, 4);
    let quota = Quota::per_second(8).burst(10);
    let mut allowed = |now| charge(&mut local, item("a", quota, 1), now).fits;
    assert_eq!([0, 0, 0].map(&mut allowed), [true, true, false], "2 of 10");
    assert_eq!(
        [SECOND / 2 - 1, SECOND / 2, SECOND / 2].map(&mut allowed),
        [false, true, false],
        "2 a second"
    );
}

#[test]
fn a_share_is_one_at_least() {
    let mut local = Node::new(10, 100);
    let quota = Quota::per_second(1);
    assert!(charge(&mut local, item("a", quota, 1), 0).fits);
    let refused = charge(&mut local, item("a", quota, 1), 0);
    assert_eq!((refused.fits, refused.limit, refused.retry), (false, 1, 100 * SECOND));
}

#[test]
fn what_costs_more_than_the_share_passes_a_full_bucket_and_is_paid_for_in_time() {
    let mut local = Node::new(10, 4);
    let quota = Quota::per_second(4).burst(8);
    let passed = charge(&mut local, item("a", quota, 6), 0);
    assert_eq!((passed.fits, passed.remaining, passed.reset), (true, 0, 6 * SECOND));
    assert_eq!(charge(&mut local, item("a", quota, 1), 0).retry, 5 * SECOND);
    assert_eq!(charge(&mut local, item("a", quota, 6), 1).retry, 6 * SECOND - 1, "the bucket must be full");
    assert!(charge(&mut local, item("a", quota, 6), 6 * SECOND).fits);
}

#[test]
fn a_call_that_read_the_clock_before_another_and_comes_after_it_takes_no_time_back() {
    let mut local = Node::new(10, 1);
    let quota = Quota::per_second(1).burst(3);
    assert!(charge(&mut local, item("a", quota, 2), 0).fits);
    assert!(charge(&mut local, item("a", quota, 1), SECOND).fits, "one of two has come back");
    assert!(charge(&mut local, item("a", quota, 1), 0).fits);
    assert!(!charge(&mut local, item("a", quota, 1), SECOND).fits, "it has come back once");
}

#[test]
fn of_several_all_are_charged_or_none() {
    let mut local = Node::new(10, 1);
    let (narrow, broad) = (Quota::per_hour(1), Quota::per_hour(100));
    let both = || [item("broad", broad, 1), item("narrow", narrow, 1)];
    let (first, _) = local.call(&both(), Mode::Charge, 0);
    assert!(first.iter().all(|verdict| verdict.fits) && first[0].remaining == 99);
    let (second, _) = local.call(&both(), Mode::Charge, 0);
    assert!(second[0].fits && !second[1].fits);
    assert_eq!(second[0].remaining, 99);
    assert_eq!(local.call(&both(), Mode::Peek, 0).0[0].remaining, 99);
}

#[test]
fn a_refund_gives_back_what_has_not_drained_since_its_charge() {
    let mut local = Node::new(10, 1);
    let quota = Quota::per_second(1).burst(10);
    charge(&mut local, item("a", quota, 4), 0);
    charge(&mut local, item("a", quota, 6), SECOND);
    // One has drained of the four, none of the six.
    local.call(&[item("a", quota, 4)], Mode::Refund(0), SECOND);
    assert_eq!(local.call(&[item("a", quota, 1)], Mode::Peek, SECOND).0[0].remaining, 4);
    local.call(&[item("a", quota, 4)], Mode::Refund(0), 4 * SECOND);
    assert_eq!(
        local.call(&[item("a", quota, 1)], Mode::Peek, 4 * SECOND).0[0].remaining,
        7,
        "nothing was left"
    );
}

#[test]
fn a_million_keys_stay_within_the_bound_and_no_debt_is_forgotten() {
    let mut local = Node::new(1_000, 1);
    let quota = Quota::per_hour(2);
    for number in 0..500 {
        assert!(charge(&mut local, item(&format!("old {number}"), quota, 2), 0).fits);
    }
    let mut strangers = 0;
    for number in 0..1_000_000 {
        let (verdicts, shared) = local.call(&[item(&number.to_string(), quota, 1)], Mode::Charge, 1);
        strangers += usize::from(shared == 1 && verdicts[0].fits);
        assert!(local.local.len() <= 1_000 && local.local.order.len() == local.local.len());
    }
    assert_eq!(strangers, 2, "one bucket for all that did not fit");
    for number in 0..500 {
        assert!(!charge(&mut local, item(&format!("old {number}"), quota, 1), 2).fits);
    }
    // When debts are gone there is room again, and a bucket of one's own.
    let later = 2 * 3_600 * SECOND;
    for number in 0..1_000 {
        let (verdicts, shared) = local.call(&[item(&format!("new {number}"), quota, 2)], Mode::Charge, later);
        assert!(verdicts[0].fits && shared == 0);
    }
    assert_eq!(local.local.len(), 1_000);
}

#[test]
fn who_shares_a_bucket_gets_one_of_its_own_when_that_has_no_debt() {
    let mut local = Node::new(1, 1);
    let quota = Quota::per_second(2);
    assert!(charge(&mut local, item("a", quota, 1), 0).fits);
    assert!(charge(&mut local, item("b", quota, 2), 0).fits, "shared");
    // There is room for it by now, and a debt that would be forgotten.
    assert!(!charge(&mut local, item("b", quota, 2), SECOND / 2).fits);
    assert!(!charge(&mut local, item("c", quota, 2), SECOND / 2).fits);
    assert!(charge(&mut local, item("b", quota, 2), SECOND).fits);
    assert_eq!(local.call(&[item("c", quota, 2)], Mode::Charge, SECOND).1, 1, "full again");
}

#[test]
fn of_another_quota_what_was_used_is_kept_or_forgotten_or_keeps_its_part() {
    for (change, left) in [
        (OnQuotaChange::KeepUsed, 16),
        (OnQuotaChange::Reset, 19),
        (OnQuotaChange::Proportional, 13), // 6 of 20, and one more
    ] {
        let mut local = Node::changing(10, 1, change);
        charge(&mut local, item("a", Quota::per_hour(10), 3), 0);
        assert_eq!(charge(&mut local, item("a", Quota::per_hour(20), 1), 0).remaining, left);
    }
}

/// Redis said that so many tokens are owed, in a whole number of seconds.
fn seed(node: &Node, key: &str, quota: Quota, reset: u64, now: u64) {
    let verdict = Verdict { fits: true, limit: 0, remaining: 0, retry: 0, reset };
    node.seeds.note(&[item(key, quota, 1)], &[verdict], now, now);
}

#[test]
fn a_key_begins_with_its_part_of_what_redis_said_was_left() {
    let mut local = Node::new(10, 4);
    let quota = Quota::per_second(1).burst(40);
    seed(&local, "a", quota, 20 * SECOND, 0); // 20 of 40: 5 of 10
    let peeked = local.call(&[item("a", quota, 1)], Mode::Peek, 0).0[0];
    assert_eq!((peeked.remaining, peeked.reset), (5, 20 * SECOND));
    let allowed = (0..20).filter(|_| charge(&mut local, item("a", quota, 1), 0).fits).count();
    assert_eq!(allowed, 5);
    // It comes back in the share's time, and the same word of Redis counts once.
    assert!(!charge(&mut local, item("a", quota, 1), 4 * SECOND - 1).fits);
    assert!(charge(&mut local, item("a", quota, 1), 4 * SECOND).fits);
    // Another outage, after which Redis says less than is owed here, and one after which it says more.
    seed(&local, "a", quota, SECOND, 4 * SECOND);
    assert!(!charge(&mut local, item("a", quota, 1), 4 * SECOND).fits);
    seed(&local, "a", quota, 400 * SECOND, 4 * SECOND);
    assert_eq!(charge(&mut local, item("a", quota, 1), 4 * SECOND).retry, 364 * SECOND);
    assert_eq!(charge(&mut local, item("b", quota, 1), 4 * SECOND).remaining, 9, "of it nothing was said");
}

#[test]
fn a_share_of_one_is_whole_or_spent() {
    let mut local = Node::new(10, 100);
    let quota = Quota::per_second(1).burst(10);
    seed(&local, "a", quota, SECOND, 0);
    assert!(!charge(&mut local, item("a", quota, 1), 0).fits);
    assert!(charge(&mut local, item("a", quota, 1), 10 * SECOND).fits);
}

#[test]
fn a_stranger_s_seed_is_nobody_else_s_debt() {
    let mut local = Node::new(1, 1);
    let quota = Quota::per_hour(5);
    assert!(charge(&mut local, item("a", quota, 1), 0).fits);
    seed(&local, "b", quota, 3_600 * SECOND, 0);
    assert!(charge(&mut local, item("b", quota, 1), 0).fits, "shared");
    assert_eq!(charge(&mut local, item("c", quota, 1), 0).remaining, 3);
}

#[test]
fn another_number_of_nodes_is_no_other_quota() {
    for change in [OnQuotaChange::KeepUsed, OnQuotaChange::Reset, OnQuotaChange::Proportional] {
        let mut local = Node::changing(10, 1, change);
        let quota = Quota::per_hour(40);
        charge(&mut local, item("a", quota, 6), 0);
        local.nodes = 4;
        assert_eq!(charge(&mut local, item("a", quota, 1), 0).remaining, 3, "10, of which 7 are used");
    }
}

#[test]
fn who_shares_a_bucket_and_has_another_quota_ends_nobody_s_debt() {
    let mut local = Node::changing(1, 1, OnQuotaChange::Reset);
    let (one, other) = (Quota::per_hour(5), Quota::per_hour(6));
    assert!(charge(&mut local, item("a", one, 1), 0).fits);
    assert!(charge(&mut local, item("b", one, 5), 0).fits, "shared");
    assert!(charge(&mut local, item("c", other, 1), 0).fits, "one more is all that it has");
    assert!(!charge(&mut local, item("b", one, 1), 0).fits);
}
