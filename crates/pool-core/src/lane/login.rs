//! A lane's own `AUTH`, in a slot of its own among those of its callers.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redis::Cmd;

use super::handle::{Lane, Use};
use super::machine::Phase;
use super::slot::{Answer, Reply, Slot, Spare};
use crate::credentials::Renewal;

pub(super) struct Login {
    renewal: Renewal,
    /// To the `AUTH` that was sent.
    reply: Option<Reply>,
    spare: Spare,
}

impl Login {
    pub(super) fn new(renewal: Renewal) -> Self {
        Self { renewal, reply: None, spare: Spare::default() }
    }

    /// Sends what is due, if the lane can take it now. The lane's task then writes it.
    pub(super) fn poll(&mut self, lane: &Lane, cx: &mut Context<'_>) {
        loop {
            if let Some(reply) = &mut self.reply {
                let Poll::Ready(answer) = reply.poll(cx, &mut self.spare) else { return };
                self.reply = None;
                match answer {
                    Ok(Answer::One(value)) => self.renewal.answered(value),
                    // The lane has ended.
                    _ => return,
                }
            }
            let Poll::Ready(auth) = self.renewal.poll(cx) else { return };
            if !self.send(lane, &auth, cx.waker()) {
                return;
            }
        }
    }

    /// A connection that its holder has changed (`MULTI`, `AUTH`, ...) is left as it is: it logs in anew when it is
    /// reset.
    fn send(&mut self, lane: &Lane, auth: &Cmd, waker: &Waker) -> bool {
        let mut state = lane.state().lock();
        let free = match lane.usage() {
            Use::Shared => true,
            Use::Exclusive => state.machine.is_idle() && !lane.is_changed(),
        };
        if !free || self.reply.is_some() || !matches!(state.machine.phase(), Phase::Open) {
            return false;
        }
        let (slot, reply): (Arc<Slot>, Reply) = self.spare.slot(waker);
        state.machine.ask(&auth.get_packed_command(), Some(slot), Instant::now());
        self.reply = Some(reply);
        self.renewal.sent();
        true
    }
}
