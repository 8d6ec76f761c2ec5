//! A raw stream as others see it: who may end it, and when that harms nobody.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bench::Place;
use super::talk::Talk;
use crate::budget::Held;
use crate::transport::{Farewell, Socket};

/// A stream that its user did not let go, as far as can be seen, is left alone for so long after its last reply.
const IN_HAND: Duration = Duration::from_millis(250);

/// The half of a raw stream that is reachable from outside its runtime.
pub(super) struct Guest {
    /// Whether it may be ended for others to have its place.
    yields: bool,
    state: Mutex<State>,
}

struct State {
    talk: Talk,
    /// `None` once it was ended.
    tenure: Option<(Held, Place)>,
    socket: Option<Arc<dyn Socket>>,
}

impl Guest {
    pub(super) fn new(yields: bool, held: Held, place: Place) -> Arc<Self> {
        let socket = held.socket();
        let state = State { talk: Talk::default(), tenure: Some((held, place)), socket };
        Arc::new(Self { yields, state: Mutex::new(state) })
    }

    /// Lets the stream take bytes, unless it was ended. One step with the look of [`quiet_since`](Self::quiet_since):
    /// no command slips in between that and the end.
    pub(super) fn write(
        &self,
        bytes: impl IntoIterator<Item = impl AsRef<[u8]>>,
        write: impl FnOnce() -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.tenure.is_none() {
            let why = "the pool gave the place of this idle connection to somebody else, or was closed";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why)));
        }
        let written = write();
        if let Poll::Ready(Ok(count)) = &written
            && self.yields
        {
            let (mut left, now) = (*count, Instant::now());
            for part in bytes {
                let part = part.as_ref();
                let taken = left.min(part.len());
                state.talk.wrote(&part[..taken], now);
                left -= taken;
            }
        }
        written
    }

    pub(super) fn note_read(&self, bytes: &[u8]) {
        if self.yields && !bytes.is_empty() {
            self.state.lock().talk.read(bytes, Instant::now());
        }
    }

    /// Since when its place could be had without harm; those whose users let them go come first.
    pub(super) fn quiet_since(&self, now: Instant) -> Option<(bool, Instant)> {
        let state = self.state.lock();
        state.quiet_since(self.yields, now)
    }

    /// Ends it if it is still quiet.
    pub(super) fn retire(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        if state.quiet_since(self.yields, now).is_none() {
            return false;
        }
        let tenure = state.tenure.take();
        drop(state);
        leave(tenure);
        true
    }

    /// Its user is done with it.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        let tenure = state.tenure.take();
        drop(state);
        leave(tenure);
    }

    /// Ends it, whatever it does.
    pub(super) fn abort(&self) {
        if let Some(socket) = &self.state.lock().socket {
            socket.abort();
        }
    }
}

impl State {
    fn quiet_since(&self, yields: bool, now: Instant) -> Option<(bool, Instant)> {
        let (since, rests) = self.talk.quiet().filter(|_| yields && self.tenure.is_some())?;
        let may = rests || now.saturating_duration_since(since) >= IN_HAND;
        may.then_some((!rests, since))
    }
}

/// Not under the lock: whoever waits for the place is served in the same step.
fn leave(tenure: Option<(Held, Place)>) {
    if let Some((held, place)) = tenure {
        held.leave(Farewell::Finish);
        drop(place);
    }
}
