//! Who may have an exclusive connection, and in which order.
//!
//! Invariants, all under the one lock:
//! * `taken` counts the places that are held by callers and by calls that are being granted one. With the
//!   idle lanes it never exceeds `most`.
//! * Whoever lets go of a place serves the front of the queue in the same step, so nobody waits while a place
//!   is free, and nobody overtakes.
//! * A runtime with callers in the queue has a watch, and so a task that keeps their time.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use super::guest::Guest;
use super::patience::{self, Watch};
use crate::error::Error;
use crate::lane::Lane;
use crate::transport::Farewell;

/// A queue shorter than this is not searched for callers that left.
const PRUNE: usize = 64;

#[derive(Clone)]
pub(crate) struct Bench(Arc<Mutex<State>>);

struct State {
    most: usize,
    taken: usize,
    idle: Vec<Arc<Lane>>,
    queue: VecDeque<Waiting>,
    prune_at: usize,
    watches: HashMap<runtime::Id, Watch>,
    holders: Vec<Holder>,
    last_holder: u64,
    raw: Vec<Weak<Guest>>,
}

struct Waiting {
    runtime: runtime::Id,
    until: Instant,
    grant: oneshot::Sender<Result<Grant, Unserved>>,
}

/// Why someone in the queue gets nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unserved {
    TimeIsUp,
    RuntimeEnded,
}

struct Holder {
    id: u64,
    since: Instant,
    at: &'static Location<'static>,
}

/// The right to one exclusive connection. Dropping it passes it on.
pub(crate) struct Place {
    bench: Bench,
    armed: bool,
}

/// A place, and the idle connection that came with it if there was one for the asking runtime.
pub(super) struct Grant(Option<(Place, Option<Arc<Lane>>)>);

pub(super) enum Entry {
    Granted(Grant),
    /// An error of the channel itself means that the pool was closed.
    Wait(oneshot::Receiver<Result<Grant, Unserved>>),
}

impl Bench {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            most,
            taken: 0,
            idle: Vec::new(),
            queue: VecDeque::new(),
            prune_at: PRUNE,
            watches: HashMap::new(),
            holders: Vec::new(),
            last_holder: 0,
            raw: Vec::new(),
        })))
    }

    /// Takes a place, or one in the queue until then.
    pub(super) fn enter(&self, handle: &Handle, until: Instant) -> Entry {
        let runtime = handle.id();
        let mut state = self.0.lock();
        state.prune();
        if state.queue.is_empty()
            && let Some(lane) = state.claim(runtime)
        {
            drop(state);
            return Entry::Granted(Grant(Some((self.place(), lane))));
        }
        let (grant, receiver) = oneshot::channel();
        state.queue.push_back(Waiting { runtime, until, grant });
        match state.watches.get_mut(&runtime) {
            Some(watch) => {
                let late = watch.too_late_for(until);
                drop(state);
                late.into_iter().for_each(Waker::wake);
            }
            None => {
                state.watches.insert(runtime, Watch::unset(until));
                drop(state);
                patience::start(self.clone(), handle);
            }
        }
        self.make_room(Instant::now());
        Entry::Wait(receiver)
    }

    /// Tells those of a runtime whose time is up. When to look again; `None`, and the watch is over, if none of
    /// them is left.
    pub(super) fn expire(&self, runtime: runtime::Id, now: Instant, waker: &Waker) -> Option<Instant> {
        let mut state = self.0.lock();
        let over = state.dismiss(|waiting| waiting.runtime == runtime && waiting.until <= now);
        let own = state.queue.iter().filter(|waiting| waiting.runtime == runtime);
        let next = own.map(|waiting| waiting.until).min();
        match (next, state.watches.get_mut(&runtime)) {
            (Some(at), Some(watch)) => watch.set(at, waker),
            _ => drop(state.watches.remove(&runtime)),
        }
        drop(state);
        for waiting in over {
            let _ = waiting.grant.send(Err(Unserved::TimeIsUp));
        }
        next
    }

    /// Nobody keeps the time of those of a runtime any more.
    pub(super) fn desert(&self, runtime: runtime::Id, why: Unserved) {
        let mut state = self.0.lock();
        state.watches.remove(&runtime);
        let left = state.dismiss(|waiting| waiting.runtime == runtime);
        drop(state);
        for waiting in left {
            let _ = waiting.grant.send(Err(why));
        }
    }

    fn place(&self) -> Place {
        Place { bench: self.clone(), armed: true }
    }

    /// Gives a clean lane to the next who waits in its runtime's turn, or lets it rest.
    pub(super) fn put_back(&self, mut place: Place, lane: Arc<Lane>) {
        place.armed = false;
        let mut state = self.0.lock();
        state.idle.push(lane);
        state.taken -= 1;
        self.serve(state);
    }

    fn release(&self) {
        let mut state = self.0.lock();
        state.taken -= 1;
        self.serve(state);
    }

    fn serve(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        while let Some(next) = state.queue.pop_front() {
            if next.grant.is_closed() {
                continue;
            }
            let Some(lane) = state.claim(next.runtime) else {
                state.queue.push_front(next);
                return;
            };
            drop(state);
            // If the caller went away in this moment, the grant comes back and its drop serves the next.
            drop(next.grant.send(Ok(Grant(Some((self.place(), lane))))));
            return;
        }
    }

    /// Remembers who holds a place, for the message of whoever waits in vain.
    pub(crate) fn hold(&self, at: &'static Location<'static>) -> u64 {
        let mut state = self.0.lock();
        state.last_holder += 1;
        let id = state.last_holder;
        state.holders.push(Holder { id, since: Instant::now(), at });
        id
    }

    pub(crate) fn unhold(&self, id: u64) {
        self.0.lock().holders.retain(|holder| holder.id != id);
    }

    /// No place is free, nor could one be had of an idle connection.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.0.lock();
        state.taken >= state.most
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.0.lock().queue.iter().any(|waiting| !waiting.grant.is_closed())
    }

    /// `own` of those who wait are the asker's own.
    pub(crate) fn describe(&self, waited: Duration, own: usize) -> String {
        let state = self.0.lock();
        let mut text = format!(
            "waited {:.3} s for one of {} exclusive connections (REDIS_MAX_CONNECTIONS - 1); in use: {}",
            waited.as_secs_f64(),
            state.most,
            state.holders.len()
        );
        let mut holders: Vec<_> = state.holders.iter().collect();
        holders.sort_by_key(|holder| holder.since);
        for holder in holders.iter().take(5) {
            let held = holder.since.elapsed().as_secs_f64();
            text.push_str(&format!(", {held:.3} s by {}", holder.at));
        }
        text.push_str(&format!(
            "; others waiting: {}",
            state.queue.iter().filter(|waiting| !waiting.grant.is_closed()).count().saturating_sub(own)
        ));
        text
    }

    pub(super) fn keep_raw(&self, guest: &Arc<Guest>) {
        let mut state = self.0.lock();
        state.raw.retain(|guest| guest.strong_count() > 0);
        state.raw.push(Arc::downgrade(guest));
        // Whoever keeps the time of a queue looks only now and then while there is nobody to ask for a place.
        let keepers = if state.queue.is_empty() { Vec::new() } else { state.keepers() };
        drop(state);
        keepers.into_iter().for_each(Waker::wake);
    }

    /// Whether there is a raw stream that may be asked for its place.
    pub(super) fn has_raw(&self) -> bool {
        self.0.lock().raw.iter().any(|guest| guest.strong_count() > 0)
    }

    /// Ends raw streams that yield, as many as there are callers waiting, the longest quiet first.
    pub(super) fn make_room(&self, now: Instant) {
        let state = self.0.lock();
        let wanted = state.queue.iter().filter(|waiting| !waiting.grant.is_closed()).count();
        let guests: Vec<_> = state.raw.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        retire_quiet(&guests, wanted, now);
    }

    /// Ends all raw streams that yield and are quiet: whoever has one asks for another.
    pub(crate) fn end_quiet(&self) {
        let guests: Vec<_> = self.0.lock().raw.iter().filter_map(Weak::upgrade).collect();
        retire_quiet(&guests, usize::MAX, Instant::now());
    }

    /// Places held by callers.
    pub(crate) fn in_use(&self) -> usize {
        self.0.lock().taken
    }

    /// An idle lane has ended by itself.
    pub(crate) fn forget(&self, lane: &Lane) {
        self.0.lock().idle.retain(|idle| !std::ptr::eq(Arc::as_ptr(idle), lane));
    }

    /// The pool closes: whoever waits is told so, and what rests ends. To be called until nobody is left, as raw
    /// streams come to rest one by one.
    pub(crate) fn end_idle(&self) {
        let mut state = self.0.lock();
        let keepers = state.clear_queue();
        let idle = std::mem::take(&mut state.idle);
        let guests: Vec<_> = state.raw.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        retire_quiet(&guests, usize::MAX, Instant::now());
        keepers.into_iter().for_each(Waker::wake);
        for lane in idle {
            lane.dismiss();
        }
    }

    /// Cuts everything, raw streams too.
    pub(crate) fn end_all(&self, cause: &Error) {
        let mut state = self.0.lock();
        let idle = std::mem::take(&mut state.idle);
        let raw = std::mem::take(&mut state.raw);
        let keepers = state.clear_queue();
        drop(state);
        keepers.into_iter().for_each(Waker::wake);
        for lane in idle {
            lane.end(cause, Farewell::Finish);
        }
        for guest in raw.iter().filter_map(Weak::upgrade) {
            guest.abort();
        }
    }
}

fn retire_quiet(guests: &[Arc<Guest>], most: usize, now: Instant) {
    let mut quiet: Vec<_> =
        guests.iter().filter_map(|guest| Some((guest.quiet_since(now)?, guest))).collect();
    quiet.sort_by_key(|(since, _)| *since);
    quiet.iter().filter(|(_, guest)| guest.retire(now)).take(most).for_each(drop);
}

impl State {
    /// Forgets callers that left: those at the front, and all once they may be many.
    fn prune(&mut self) {
        while self.queue.front().is_some_and(|first| first.grant.is_closed()) {
            self.queue.pop_front();
        }
        if self.queue.len() >= self.prune_at {
            self.queue.retain(|waiting| !waiting.grant.is_closed());
            self.prune_at = (self.queue.len() * 2).max(PRUNE);
        }
    }

    /// Nobody waits any more. Returns what wakes those who kept the time.
    fn clear_queue(&mut self) -> Vec<Waker> {
        self.queue.clear();
        self.keepers()
    }

    fn keepers(&mut self) -> Vec<Waker> {
        self.watches.values_mut().filter_map(Watch::take_waker).collect()
    }

    /// Takes those that `leave` out of the queue.
    fn dismiss(&mut self, leave: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (leaving, staying) = std::mem::take(&mut self.queue).into_iter().partition(leave);
        self.queue = staying;
        Vec::from(leaving)
    }

    /// Takes a place if one can be had: with an idle lane of this runtime, or a free one, or one that an idle
    /// lane of another runtime gives up. The budget of the whole pool is the dialler's business.
    fn claim(&mut self, runtime: runtime::Id) -> Option<Option<Arc<Lane>>> {
        while let Some(index) = self.idle.iter().rposition(|lane| lane.runtime() == runtime) {
            let lane = self.idle.swap_remove(index);
            if lane.check_out() {
                self.taken += 1;
                return Some(Some(lane));
            }
        }
        if self.taken + self.idle.len() >= self.most {
            if self.idle.is_empty() {
                return None;
            }
            self.idle.remove(0).dismiss();
        }
        self.taken += 1;
        Some(None)
    }
}

impl Grant {
    pub(super) fn accept(mut self) -> Option<(Place, Option<Arc<Lane>>)> {
        self.0.take()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some((place, Some(lane))) = self.0.take()
            && lane.check_in()
        {
            let bench = place.bench.clone();
            bench.put_back(place, lane);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.armed {
            self.bench.release();
        }
    }
}
