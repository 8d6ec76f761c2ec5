//! The keys that the server holds, and what is known of their values.

use std::sync::LazyLock;

use anyhow::{Result, ensure};
use cenote_testkit::Server;
use fastrand::Rng;

/// Of whatever is random: the same in every run.
pub(super) const SEED: u64 = 5;

const KEYS: usize = 1000;
const LARGEST: usize = 1_000_000;

/// A key whose value always has the same size.
pub(crate) struct Entry {
    pub(super) key: String,
    pub(super) size: usize,
}

/// Values of 100 bytes.
pub(super) fn small() -> &'static [Entry] {
    static SMALL: LazyLock<Vec<Entry>> = LazyLock::new(|| entries("small", KEYS, || 100));
    &SMALL
}

/// Values of 10 bytes to 10 KB, each tenfold range as often as the next.
pub(super) fn mixed() -> &'static [Entry] {
    static MIXED: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let mut rng = Rng::with_seed(SEED);
        entries("mixed", KEYS, || 10_f64.powf(1.0 + 3.0 * rng.f64()) as usize)
    });
    &MIXED
}

/// Values of 1 MB.
pub(super) fn large() -> &'static [Entry] {
    static LARGE: LazyLock<Vec<Entry>> = LazyLock::new(|| entries("large", 4, || LARGEST));
    &LARGE
}

fn entries(name: &str, count: usize, mut size: impl FnMut() -> usize) -> Vec<Entry> {
    (0..count).map(|index| Entry { key: format!("{name}:{index}"), size: size() }).collect()
}

/// Fills the server with every key of every bench.
pub(crate) fn store(server: &Server) -> Result<()> {
    let observer = server.observer();
    for entry in [small(), mixed(), large()].into_iter().flatten() {
        observer.command(&[b"SET", entry.key.as_bytes(), entry.value()])?;
    }
    Ok(())
}

impl Entry {
    /// What is stored under the key.
    pub(super) fn value(&self) -> &'static [u8] {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b'x'; LARGEST]);
        &BYTES[..self.size]
    }

    /// Whether a reply is this key's value, as far as its length tells.
    pub(super) fn check(&self, reply: &[u8]) -> Result<()> {
        let (key, size) = (&self.key, self.size);
        ensure!(reply.len() == size, "the value of {key} has {size} bytes, and {} came back", reply.len());
        Ok(())
    }
}

/// Goes through a list, over and over.
pub(super) struct Walk<T: 'static> {
    list: &'static [T],
    next: usize,
}

impl<T> Walk<T> {
    /// Begins at another place for each task.
    pub(super) fn from(list: &'static [T], task: usize) -> Self {
        Self { list, next: task * 37 % list.len() }
    }

    pub(super) fn next(&mut self) -> &'static T {
        let item = &self.list[self.next];
        self.next = if self.next + 1 == self.list.len() { 0 } else { self.next + 1 };
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_round_from_a_place_of_its_own() {
        let list: &'static [u8] = &[10, 11, 12];
        let walk = |task| {
            let mut walk = Walk::from(list, task);
            [(); 4].map(|()| *walk.next())
        };
        assert_eq!(walk(0), [10, 11, 12, 10]);
        assert_eq!(walk(1), [11, 12, 10, 11]);
    }

    #[test]
    fn a_reply_of_another_length_is_refused_by_its_key() {
        let entry = &small()[7];
        assert!(entry.check(entry.value()).is_ok());
        assert_eq!(
            entry.check(b"short").unwrap_err().to_string(),
            "the value of small:7 has 100 bytes, and 5 came back"
        );
    }
}
