//! The push connection of one runtime, as subscribers and the pool see it.
//!
//! Invariants:
//! * A hub that has ended takes no members any more, and has told all it had: so a subscriber always finds out,
//!   and goes elsewhere. Both happen under the lock, which also decides whether a deserted hub may end.
//! * Wakers are woken, acknowledgements excepted, only after the lock is released.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::oneshot;

use super::machine::Machine;
use super::queue::{Queue, Wakes};
use super::topics::Topic;
use crate::budget::{Held, Tenant};
use crate::dedicated::Place;
use crate::error::{Error, Kind};
use crate::lane::{Reply, Spare};
use crate::sentinel::Node;
use crate::transport::Farewell;

pub(super) struct Hub {
    runtime: runtime::Id,
    state: Mutex<State>,
    /// The connection, while there is one; taken by whoever ends it.
    held: Mutex<Option<Held>>,
    /// Where that leads, if sentinels said where to.
    node: Mutex<Option<Arc<Node>>>,
    /// Its place among the exclusive connections, kept from the first connection to the end.
    place: Mutex<Option<Place>>,
}

pub(super) struct State {
    pub(super) machine: Machine,
    /// The task, while it sleeps with nothing to do.
    pub(super) driver: Option<Waker>,
    pub(super) ended: bool,
    /// Since when nobody subscribes to anything any more. A new one waits for its first member, which is sure to come
    /// in this moment: nobody may end it before.
    pub(super) deserted: Option<Instant>,
}

/// What is to come of a subscription.
pub(super) type Acks = Vec<oneshot::Receiver<Result<(), Error>>>;

impl Hub {
    pub(super) fn new(runtime: runtime::Id) -> Arc<Self> {
        let state = State { machine: Machine::default(), driver: None, ended: false, deserted: None };
        Arc::new(Self {
            runtime,
            state: Mutex::new(state),
            held: Mutex::new(None),
            node: Mutex::new(None),
            place: Mutex::new(None),
        })
    }

    pub(super) fn runtime(&self) -> runtime::Id {
        self.runtime
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.state
    }

    /// Adds `queue` to topics that it has not had yet; `None` if the hub has ended.
    pub(super) fn join(&self, topics: &[Topic], queue: &Arc<Queue>) -> Option<Acks> {
        let mut acks = Acks::new();
        self.change(|state, _| {
            for topic in topics {
                let (ack, receiver) = oneshot::channel();
                state.machine.join(topic, queue, Some(ack));
                acks.push(receiver);
            }
        })
        .then_some(acks)
    }

    /// Adds a subscriber that comes from another hub, with all it had there. False if the hub has ended.
    pub(super) fn take_in(&self, topics: &HashSet<Topic>, queue: &Arc<Queue>) -> bool {
        self.change(|state, wakes| {
            queue.begin_move(!topics.is_empty());
            topics.iter().for_each(|topic| state.machine.join(topic, queue, None));
            queue.end_move(wakes);
        })
    }

    pub(super) fn leave<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>, queue: &Arc<Queue>) {
        self.change(|state, wakes| {
            topics.into_iter().for_each(|topic| state.machine.leave(topic, queue, wakes));
        });
    }

    /// Whoever waits for a connection gets none.
    pub(super) fn fail_waiting(&self, error: &Error) {
        self.change(|state, _| state.machine.fail_waiting(error));
    }

    fn change(&self, change: impl FnOnce(&mut State, &mut Wakes)) -> bool {
        let mut wakes = Wakes::new();
        let mut state = self.state.lock();
        let live = !state.ended;
        if live {
            let had_members = !state.machine.topics.is_empty();
            change(&mut state, &mut wakes);
            state.note_desertion(had_members);
            wakes.extend(state.driver.take());
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        live
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.state.lock().machine.topics.members()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.held.lock().is_some()
    }

    pub(super) fn has_place(&self) -> bool {
        self.place.lock().is_some()
    }

    /// Gives its place up at once if nobody subscribes to anything; from any thread, also while its own runtime is
    /// parked.
    pub(super) fn leave_if_deserted(&self) -> bool {
        let deserted = self.end_if_deserted(Duration::ZERO);
        if deserted {
            self.end(
                &Error::not_sent(Kind::Moved, "nobody subscribed, and the place was needed"),
                Farewell::Finish,
            );
        }
        deserted
    }

    /// Ends it if nobody has subscribed to anything for `linger`; the check and the end are one step.
    pub(super) fn end_if_deserted(&self, linger: Duration) -> bool {
        let mut state = self.state.lock();
        let deserted = state.deserted.is_some_and(|since| since.elapsed() >= linger);
        state.ended |= deserted;
        deserted
    }

    /// Ends it: its subscribers are orphans, and go to another hub if they can.
    pub(super) fn end(&self, error: &Error, farewell: Farewell) {
        let mut wakes = Wakes::new();
        let mut state = self.state.lock();
        state.ended = true;
        state.machine.topics.clear(error, |queue| queue.orphan(&mut wakes));
        wakes.extend(state.driver.take());
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        self.leave_connection(farewell);
        let place = self.place.lock().take();
        drop(place);
    }

    /// The connection is there; false, and it goes, if the hub was ended meanwhile.
    ///
    /// Invariant: `held` is set before `ended` is looked at, and [`end`](Self::end) sets `ended` before it takes
    /// `held`, so one of the two finds the other's work. The same holds for `place`.
    pub(super) fn install(&self, held: Held, node: Option<Arc<Node>>) -> bool {
        *self.node.lock() = node;
        *self.held.lock() = Some(held);
        let live = !self.has_ended();
        if !live {
            self.leave_connection(Farewell::Abort);
        }
        live
    }

    pub(super) fn keep_place(&self, place: Place) {
        *self.place.lock() = Some(place);
        if self.has_ended() {
            let place = self.place.lock().take();
            drop(place);
        }
    }

    pub(super) fn leave_connection(&self, farewell: Farewell) {
        let held = self.held.lock().take();
        if let Some(held) = held {
            held.leave(farewell);
        }
    }
}

impl State {
    pub(super) fn note_desertion(&mut self, had_members: bool) {
        if !self.machine.topics.is_empty() {
            self.deserted = None;
        } else if had_members {
            self.deserted.get_or_insert_with(Instant::now);
        }
    }
}

/// A subscriber's connection serves nobody who could go elsewhere: unless nobody subscribes to anything, it makes no
/// room for others.
impl Tenant for Hub {
    fn idle_since(&self) -> Option<Instant> {
        self.state.lock().deserted.filter(|_| self.is_connected())
    }

    fn serving_since(&self) -> Option<Instant> {
        None
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn draining_unnoticed_for(&self, _: Instant) -> Duration {
        Duration::ZERO
    }

    fn retire(&self) -> bool {
        self.leave_if_deserted()
    }

    fn drain(&self) {}

    fn give_up(&self) {}

    /// Its subscribers are told of a gap, and it connects again.
    fn forsake(&self, is_stale: &dyn Fn(&Node) -> bool, _: bool) {
        if self.node.lock().as_deref().is_some_and(is_stale) {
            self.leave_connection(Farewell::Abort);
        }
    }

    /// It carries no commands: that it lives says nothing of those.
    fn ask(&self) -> Option<(Reply, Spare)> {
        None
    }

    fn cut(&self, cause: &Error) {
        self.end(cause, Farewell::Abort);
    }
}
