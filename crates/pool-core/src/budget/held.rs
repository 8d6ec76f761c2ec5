//! A place in the budget that is filled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Budget, Permit};
use crate::transport::{Farewell, Socket};

/// A place in the budget and the socket that fills it. However it goes, the place is only given on once the
/// server has let go, so that the server never counts more of our connections than the budget allows.
pub(crate) struct Held {
    budget: Arc<Budget>,
    permit: Option<Permit>,
    socket: Option<Arc<dyn Socket>>,
}

impl Held {
    pub(crate) fn new(budget: Arc<Budget>, permit: Permit) -> Self {
        Self { budget, permit: Some(permit), socket: None }
    }

    pub(crate) fn socket(&self) -> Option<Arc<dyn Socket>> {
        self.socket.clone()
    }

    /// With our handle gone too, the reset goes out at once. From then on nobody can ask the socket whether the
    /// server has let go: the budget waits for its time.
    fn abort(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.abort();
        }
    }

    pub(crate) fn leave(mut self, farewell: Farewell) {
        match (farewell, &self.socket) {
            (Farewell::PeerGone, _) => {
                self.permit = None;
                return;
            }
            (Farewell::Finish, Some(socket)) => socket.finish(),
            (Farewell::Abort, _) => self.abort(),
            (Farewell::Finish, None) => {}
        }
        if let Some(permit) = self.permit.take() {
            self.budget.closing(permit, self.socket.take());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.abort();
        if let Some(permit) = self.permit.take() {
            self.budget.closing(permit, None);
        }
    }
}

/// A [`Held`] that is still being made ready, where others can reach it: a runtime that is parked in the middle
/// of a dial would keep its place for ever.
pub(crate) struct Berth {
    /// A task that runs is done by then.
    until: Instant,
    held: Mutex<Option<Held>>,
}

impl Berth {
    pub(crate) fn new(held: Held, limit: Duration) -> Arc<Self> {
        let budget = held.budget.clone();
        let berth = Arc::new(Self { until: Instant::now() + limit, held: Mutex::new(Some(held)) });
        budget.register_berth(&berth);
        berth
    }

    /// The socket is there; false if the place was taken away meanwhile.
    pub(crate) fn fill(&self, socket: &Arc<dyn Socket>) -> bool {
        match &mut *self.held.lock() {
            Some(held) => {
                held.socket = Some(socket.clone());
                true
            }
            None => false,
        }
    }

    /// The socket was of no use, and another one is to come.
    pub(crate) fn empty(&self) {
        if let Some(held) = &mut *self.held.lock() {
            held.abort();
        }
    }

    pub(crate) fn take(&self) -> Option<Held> {
        self.held.lock().take()
    }

    pub(super) fn is_overdue(&self, now: Instant, grace: Duration) -> bool {
        now > self.until + grace
    }
}
