//! A named quota of a limiter, which may change while others read it.

use std::sync::Arc;

use crossbeam_utils::atomic::AtomicCell;

use crate::counter::{self, LANES};
use crate::quota::Rate;

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Arc<str>,
    /// Copies of the name, for a thread each: at one that all decisions share, threads would wait for one another.
    copies: [Arc<str>; LANES],
    rate: AtomicCell<Rate>,
}

impl Policy {
    pub(crate) fn new(name: &str, rate: Rate) -> Self {
        Self { name: name.into(), copies: std::array::from_fn(|_| name.into()), rate: AtomicCell::new(rate) }
    }

    #[inline]
    pub(crate) fn rate(&self) -> Rate {
        self.rate.load()
    }

    /// For all calls from now on.
    pub(crate) fn change(&self, rate: Rate) {
        self.rate.store(rate);
    }

    /// The name, for a decision of this thread.
    #[inline]
    pub(crate) fn copy_of_name(&self) -> Arc<str> {
        self.copies[counter::lane()].clone()
    }
}
