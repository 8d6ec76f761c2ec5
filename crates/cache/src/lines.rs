//! The log is not filled by what happens at each read.

use parking_lot::Mutex;

/// In ms.
const WINDOW: u64 = 1_000;
const LINES: u32 = 4;

/// Lets a few lines a second through, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<u64>,
    lines: u32,
    left_out: u64,
}

impl Lines {
    /// Whether a line may be written; if so, how many were left out since the last one.
    pub(crate) fn admit(&self, now: u64) -> Option<u64> {
        let mut state = self.0.lock();
        if state.began.is_none_or(|began| now.saturating_sub(began) >= WINDOW) {
            state.began = Some(now);
            state.lines = 0;
        }
        if state.lines >= LINES {
            state.left_out += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_second_are_written_and_the_rest_counted() {
        let lines = Lines::default();
        assert_eq!((0..100).filter(|_| lines.admit(7).is_some()).count(), 4);
        assert_eq!(lines.admit(7 + WINDOW), Some(96));
        assert_eq!(lines.admit(7 + WINDOW), Some(0));
    }
}
