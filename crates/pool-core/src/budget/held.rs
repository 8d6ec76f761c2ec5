//! A place in the budget that is filled.

use std::sync::Arc;

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

    /// The socket is there.
    pub(crate) fn fill(&mut self, socket: Arc<dyn Socket>) {
        self.socket = Some(socket);
    }

    pub(crate) fn socket(&self) -> Option<Arc<dyn Socket>> {
        self.socket.clone()
    }

    pub(crate) fn leave(mut self, farewell: Farewell) {
        match (farewell, &self.socket) {
            (Farewell::PeerGone, _) => {
                self.permit = None;
                return;
            }
            (Farewell::Finish, Some(socket)) => socket.finish(),
            (Farewell::Abort, Some(socket)) => socket.abort(),
            (_, None) => {}
        }
        if let Some(permit) = self.permit.take() {
            self.budget.closing(permit, self.socket.take());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            if let Some(socket) = &self.socket {
                socket.abort();
            }
            self.budget.closing(permit, self.socket.take());
        }
    }
}
