//! What the log says of outages: the story, and not each flap of a server that comes and goes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const WINDOW: Duration = Duration::from_secs(1);
const LINES: u32 = 4;

/// Lets a few lines a second through, and counts the others.
#[derive(Default)]
pub(crate) struct Chronicle(Mutex<State>);

#[derive(Default)]
struct State {
    window: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Chronicle {
    /// Whether a line may be written; if so, how many were left out since the last one.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.window.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            state.window = Some(now);
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
        let (chronicle, start) = (Chronicle::default(), Instant::now());
        let written = (0..100).filter(|_| chronicle.admit(start).is_some()).count();
        assert_eq!(written, 4);
        assert_eq!(chronicle.admit(start + WINDOW), Some(96));
        assert_eq!(chronicle.admit(start + WINDOW), Some(0));
    }
}
