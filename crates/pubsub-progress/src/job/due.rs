//! When a job is to be looked at: a place in the queue of those that report.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Instant;

use super::Job;

pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) job: Arc<Job>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}
