//! Holds the load still, so that what it did can be looked at.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cenote_testkit::eventually;
use tokio::sync::watch;

pub(crate) struct Gate {
    is_open: watch::Sender<bool>,
    inside: AtomicUsize,
}

/// While it lives the gate cannot be shut.
pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new() -> Self {
        Self { is_open: watch::Sender::new(true), inside: AtomicUsize::new(0) }
    }

    pub(crate) async fn enter(&self) -> Turn<'_> {
        let mut is_open = self.is_open.subscribe();
        loop {
            let _ = is_open.wait_for(|is_open| *is_open).await;
            self.inside.fetch_add(1, Ordering::SeqCst);
            let turn = Turn(self);
            // Shut in between: whoever shuts it may have counted already.
            if *self.is_open.borrow() {
                return turn;
            }
        }
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Returns when nobody is inside.
    pub(crate) fn shut(&self) {
        self.is_open.send_replace(false);
        eventually(Duration::from_secs(20), "every call ends", || self.inside.load(Ordering::SeqCst) == 0);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}
