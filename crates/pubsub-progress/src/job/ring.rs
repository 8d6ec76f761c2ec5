//! The last lines of a log, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::LogLine;

/// What a line costs beside its text.
const OVERHEAD: usize = 96;

#[derive(Debug)]
pub(crate) struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    most_lines: usize,
    most_bytes: usize,
}

impl Ring {
    pub(crate) fn new(most_lines: usize, most_bytes: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, most_lines, most_bytes }
    }

    /// The newest always stays, however large.
    pub(crate) fn push(&mut self, line: Arc<LogLine>) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.lines.len() > self.most_lines || (self.bytes > self.most_bytes && self.lines.len() > 1) {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= cost(&oldest);
        }
    }

    /// Those after number `seq`, in order.
    pub(crate) fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<LogLine>> {
        // Numbers grow, and are dense but for gaps.
        let from = self.lines.partition_point(|line| line.seq <= seq);
        self.lines.range(from..)
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + OVERHEAD
}
