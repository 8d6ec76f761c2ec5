//! The keys of an outage: which are to be removed in Redis, which are being removed, which were.

use std::collections::HashSet;

use super::served::Keys;
use crate::dial::Identity;

#[derive(Default)]
pub(super) struct Ledger {
    waiting: HashSet<Vec<u8>>,
    in_pass: HashSet<Vec<u8>>,
    /// How many are waiting and in the pass: written again since it began.
    both: usize,
    waiting_bytes: usize,
    pass_bytes: usize,
    /// Those that are removed, and which server removed them: another one may yet have them.
    removed: Vec<Vec<u8>>,
    removed_by: Option<Identity>,
}

impl Ledger {
    /// Keys that Redis must still be told to forget.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.in_pass.len() - self.both
    }

    pub(super) fn bytes(&self) -> usize {
        self.waiting_bytes + self.pass_bytes
    }

    /// Those that no pass has begun to remove.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Those of `keys` that are not waiting yet, each once.
    pub(super) fn new_among(&self, keys: Keys) -> Keys {
        let mut new: Keys = keys.into_iter().filter(|key| !self.waiting.contains(key)).collect();
        new.sort_unstable();
        new.dedup();
        new
    }

    /// How many keys and bytes `new` would add to what is pending.
    pub(super) fn growth(&self, new: &[Vec<u8>]) -> (usize, usize) {
        let unknown = new.iter().filter(|key| !self.in_pass.contains(*key));
        unknown.fold((0, 0), |(keys, bytes), key| (keys + 1, bytes + key.len()))
    }

    pub(super) fn add(&mut self, key: Vec<u8>) {
        let (length, again) = (key.len(), self.in_pass.contains(&key));
        if self.waiting.insert(key) {
            self.waiting_bytes += length;
            self.both += usize::from(again);
        }
    }

    pub(super) fn forget(&mut self, added: &[Vec<u8>]) {
        for key in added {
            if self.waiting.remove(key) {
                self.waiting_bytes -= key.len();
                self.both -= usize::from(self.in_pass.contains(key));
            }
        }
    }

    /// All that waits goes into a pass.
    pub(super) fn begin_pass(&mut self) -> Vec<Vec<u8>> {
        self.return_pass();
        self.in_pass = std::mem::take(&mut self.waiting);
        self.pass_bytes = std::mem::take(&mut self.waiting_bytes);
        self.in_pass.iter().cloned().collect()
    }

    /// Those of `done` are removed, by that server; the rest of the pass waits for the next one.
    pub(super) fn end_pass(&mut self, done: Vec<Vec<u8>>, by: Option<Identity>) {
        for key in &done {
            if self.in_pass.remove(key) {
                self.both -= usize::from(self.waiting.contains(key));
            }
        }
        self.removed.extend(done);
        self.removed_by = by;
        self.return_pass();
    }

    pub(super) fn return_pass(&mut self) {
        self.pass_bytes = 0;
        self.both = 0;
        for key in std::mem::take(&mut self.in_pass) {
            self.add(key);
        }
    }

    /// A server that is not the one which removed the keys may have started from older data: they are to be
    /// removed there too. True if it is so.
    pub(super) fn again_if_changed(&mut self, now: Option<&Identity>) -> bool {
        let changed = self.removed_by.is_some() && self.removed_by.as_ref() != now;
        if changed {
            self.removed_by = None;
            for key in std::mem::take(&mut self.removed) {
                self.add(key);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Vec<u8> {
        vec![b'k'; 1 + n as usize]
    }

    fn server(name: &str) -> Option<Identity> {
        Some(Identity { run_id: Some(name.into()), replication_id: None })
    }

    #[test]
    fn the_sums_hold_whatever_is_added_forgotten_and_passed() {
        let seed = cenote_testkit::seed();
        let mut random = seed | 1;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut ledger = Ledger::default();
        for _ in 0..50_000 {
            match next(8) {
                0..=3 => ledger.add(key(next(9))),
                4 => ledger.forget(&[key(next(9))]),
                5 => drop(ledger.begin_pass()),
                6 => ledger.end_pass((0..next(4)).map(key).collect(), server("a")),
                _ => ledger.return_pass(),
            }
            let all: HashSet<_> = ledger.waiting.union(&ledger.in_pass).cloned().collect();
            assert_eq!(ledger.len(), all.len(), "seed {seed}");
            let waiting: usize = ledger.waiting.iter().map(Vec::len).sum();
            assert_eq!(ledger.waiting_bytes, waiting, "seed {seed}");
        }
    }

    #[test]
    fn a_key_that_was_removed_on_one_server_is_removed_on_the_next_too() {
        let mut ledger = Ledger::default();
        ledger.add(key(1));
        let done = ledger.begin_pass();
        ledger.end_pass(done, server("first"));
        assert!(!ledger.again_if_changed(server("first").as_ref()) && ledger.len() == 0);
        assert!(ledger.again_if_changed(server("second").as_ref()) && ledger.len() == 1);
    }
}
