//! Where a run is, on standard error: one line that is rewritten on a terminal, else a line per case.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// A run under way.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    begun: Instant,
    planned: Duration,
    done: Duration,
    case: String,
}

impl Progress {
    /// `planned` is the time of all steps together.
    pub(crate) fn new(planned: Duration) -> Self {
        let is_terminal = stderr().is_terminal();
        Self { is_terminal, begun: Instant::now(), planned, done: Duration::ZERO, case: String::new() }
    }

    /// A case begins.
    pub(crate) fn case(&mut self, name: String) {
        self.case = name;
        if !self.is_terminal {
            eprintln!("{}: {} left", self.case, words(self.left()));
        }
    }

    /// A step of the case begins, which should take so long.
    pub(crate) fn step(&mut self, what: &str, planned: Duration) {
        if self.is_terminal {
            eprint!("\r\x1b[2K{}: {what}, {} left", self.case, words(self.left()));
            let _ = stderr().flush();
        }
        self.done += planned;
    }

    /// What is planned, at the pace so far.
    fn left(&self) -> Duration {
        left(self.planned, self.done, self.begun.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

fn left(planned: Duration, done: Duration, took: Duration) -> Duration {
    let rest = planned.saturating_sub(done);
    if done.is_zero() { rest } else { rest.mul_f64(took.div_duration_f64(done).max(1.0)) }
}

fn words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_left_follows_the_pace_so_far() {
        assert_eq!(left(s(100), s(0), s(0)), s(100));
        assert_eq!(left(s(100), s(50), s(50)), s(50));
        assert_eq!(left(s(100), s(50), s(75)), s(75));
        assert_eq!(left(s(100), s(120), s(150)), s(0));
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(words(Duration::from_millis(1200)), "2 s");
        assert_eq!(words(s(135)), "2 min 15 s");
    }
}
