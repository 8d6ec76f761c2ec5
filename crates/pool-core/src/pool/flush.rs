//! What other crates have yet to tell Redis when the pool is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Something that is to be told before the pool ends; for the crate `cenote-pubsub-progress`.
#[doc(hidden)]
pub trait Flush: Send + Sync {
    /// Tells it, over connections with [`last_words`](crate::Conn::last_words): others are refused by then.
    fn flush(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

pub(crate) struct Flushes {
    /// `None` once the pool is being closed.
    all: Mutex<Option<Vec<Weak<dyn Flush>>>>,
    /// From the beginning of the end until all is flushed.
    under_way: AtomicBool,
}

impl Flushes {
    pub(crate) fn new() -> Self {
        Self { all: Mutex::new(Some(Vec::new())), under_way: AtomicBool::new(false) }
    }

    pub(crate) fn add(&self, flush: Weak<dyn Flush>) {
        if let Some(all) = &mut *self.all.lock() {
            all.retain(|flush| flush.strong_count() > 0);
            all.push(flush);
        }
    }

    /// Those that there are, to the first who asks. From then on only last words are admitted, if there are any.
    pub(crate) fn begin(&self) -> Vec<Arc<dyn Flush>> {
        let mut place = self.all.lock();
        let all: Vec<_> = place.take().into_iter().flatten().filter_map(|flush| flush.upgrade()).collect();
        if !all.is_empty() {
            self.under_way.store(true, Ordering::Release);
        }
        all
    }

    pub(crate) fn end(&self) {
        self.under_way.store(false, Ordering::Release);
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }
}
