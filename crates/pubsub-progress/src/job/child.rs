//! A part of a job.

use std::fmt;
use std::sync::Arc;

use super::board::{MESSAGE, NAME};
use super::handle::Held;
use super::text::tame;
use crate::snapshot::ChildSnapshot;

/// A part of a job, with its own count and its share in the whole. Cheap to clone; all calls are synchronous and never
/// wait.
///
/// Dropping it changes nothing: a part that is done says so with [`finish`](Self::finish), or by its count.
#[derive(Clone)]
pub struct Child {
    held: Arc<Held>,
    /// `None` if the job has as many parts as it can have.
    index: Option<usize>,
}

impl Child {
    pub(super) fn new(held: Arc<Held>, index: Option<usize>) -> Self {
        Self { held, index }
    }

    /// Its share in the whole beside the others', which have 1 unless they say so. What is not a positive number is 0.
    pub fn weight(&self, weight: f64) -> &Self {
        let weight = if weight.is_finite() && weight > 0.0 { weight } else { 0.0 };
        self.change(|child| child.weight = weight)
    }

    /// What is counted, for instance `bytes`. At most 128 bytes.
    pub fn unit(&self, unit: &str) -> &Self {
        self.change(|child| child.unit = Some(tame(unit, NAME)))
    }

    /// Of how much. 0 is as if it were not known.
    pub fn total(&self, total: u64) -> &Self {
        self.change(|child| child.total = Some(total))
    }

    /// So much is done.
    pub fn set(&self, done: u64) -> &Self {
        self.change(|child| child.done = done)
    }

    /// So much more is done.
    pub fn inc(&self, by: u64) -> &Self {
        self.change(|child| child.done = child.done.saturating_add(by))
    }

    /// What it does at the moment. Longer than 4 KiB it is cut.
    pub fn message(&self, message: &str) -> &Self {
        self.change(|child| child.message = Some(tame(message, MESSAGE)))
    }

    /// It is done, whatever was counted.
    pub fn finish(&self) -> &Self {
        self.change(|child| child.finished = true)
    }

    fn change(&self, change: impl FnOnce(&mut ChildSnapshot)) -> &Self {
        if let Some(index) = self.index {
            self.held.change(|board| board.change_child(index, change));
        }
        self
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("job", &self.held.job.id).field("index", &self.index).finish()
    }
}
