//! Which entries end when, so that expired ones are found without a lookup of their key.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap of deadlines. An entry that got another deadline leaves its old one behind; those are recognised
/// when they fall due, and thrown out in bulk once they are the majority.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(i64, u32)>>,
    /// How many entries have a deadline.
    current: usize,
}

impl Deadlines {
    /// An entry's deadline changed. `holds` says whether an entry still ends at that time.
    pub(crate) fn moved(
        &mut self,
        place: u32,
        old: Option<i64>,
        new: Option<i64>,
        holds: impl Fn(i64, u32) -> bool,
    ) {
        self.current = self.current + usize::from(new.is_some()) - usize::from(old.is_some());
        let Some(at) = new.filter(|_| new != old) else { return };
        self.heap.push(Reverse((at, place)));
        if self.heap.len() > 2 * self.current + 64 {
            let mut all = std::mem::take(&mut self.heap).into_vec();
            all.retain(|&Reverse((at, place))| holds(at, place));
            all.sort_unstable();
            all.dedup();
            self.heap = all.into();
        }
    }

    /// Takes one that is over, current or left behind.
    pub(crate) fn pop_due(&mut self, now: impl FnOnce() -> i64) -> Option<(i64, u32)> {
        let &Reverse((at, _)) = self.heap.peek()?;
        if now() <= at {
            return None;
        }
        self.heap.pop().map(|Reverse(deadline)| deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_left_behind_never_outnumber_the_current_ones_for_long() {
        let mut deadlines = Deadlines::default();
        let mut at = [None; 100];
        for round in 0..100_000_usize {
            let hash = round % at.len();
            let new = Some(i64::try_from((round / at.len() + hash) % 5).expect("fits"));
            let old = std::mem::replace(&mut at[hash], new);
            deadlines.moved(hash as u32, old, new, |when, hash| at[hash as usize] == Some(when));
            assert!(deadlines.heap.len() <= 2 * at.len() + 64);
        }
        let mut due = Vec::new();
        while let Some((when, hash)) = deadlines.pop_due(|| 1000) {
            due.extend((at[hash as usize] == Some(when)).then_some(hash));
        }
        due.sort_unstable();
        due.dedup();
        assert_eq!(due.len(), at.len(), "and none of the current ones is lost");
    }
}
