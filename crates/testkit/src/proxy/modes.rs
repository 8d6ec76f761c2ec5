//! What the proxy does to the bytes that pass it.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Requests,
    Replies,
}

/// The lasting modes. Connections watch them.
#[derive(Debug, Clone, Default)]
pub(super) struct Modes {
    pub(super) refuse: bool,
    pub(super) reset: bool,
    pub(super) blackhole: bool,
    pub(super) stall_requests: bool,
    pub(super) stall_replies: bool,
    pub(super) delay_requests: Duration,
    pub(super) delay_replies: Duration,
    pub(super) one_byte: bool,
    /// How many cuts there were: a connection accepted before the last one is cut.
    pub(super) cuts: u64,
    pub(super) client_cuts: u64,
}

impl Modes {
    pub(super) fn pass(&mut self) {
        *self = Self { cuts: self.cuts, client_cuts: self.client_cuts, ..Self::default() };
    }

    pub(super) fn stalled(&self, direction: Direction) -> bool {
        match direction {
            Direction::Requests => self.stall_requests,
            Direction::Replies => self.stall_replies,
        }
    }

    pub(super) fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::Requests => self.delay_requests,
            Direction::Replies => self.delay_replies,
        }
    }
}

/// The modes that end with the first connection they hit.
#[derive(Debug, Default)]
pub(super) struct OneShot {
    pub(super) doom_next_request: bool,
    pub(super) reply_budget: Option<usize>,
}

impl OneShot {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many of `wanted` bytes may pass, and whether the connection ends after them.
    pub(super) fn take_reply_budget(&mut self, wanted: usize) -> (usize, bool) {
        match self.reply_budget {
            None => (wanted, false),
            Some(left) if wanted < left => {
                self.reply_budget = Some(left - wanted);
                (wanted, false)
            }
            Some(left) => {
                self.reply_budget = None;
                (left, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_budget_is_spent_once() {
        let mut modes = OneShot { reply_budget: Some(10), ..OneShot::default() };
        assert_eq!(modes.take_reply_budget(4), (4, false));
        assert_eq!(modes.take_reply_budget(9), (6, true));
        assert_eq!(modes.take_reply_budget(9), (9, false));
        modes.reply_budget = Some(3);
        assert_eq!(modes.take_reply_budget(3), (3, true));
        modes.reply_budget = Some(0);
        assert_eq!(modes.take_reply_budget(1), (0, true));
    }
}
