//! The shared lanes, a set for each runtime: a socket belongs to the runtime it was opened in.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{self, Handle};

use super::handle::{Lane, Use};
use super::task::{launch, launch_heir};
use crate::breaker::Backoff;
use crate::dial::Connection;
use crate::error::Error;
use crate::pool::Shared;
use crate::transport::Farewell;

/// A runtime that lost a lane and has another makes do with that for so long.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Sets {
    map: Mutex<HashMap<runtime::Id, Set>>,
    /// They have been replaced, and answer what they have.
    leaving: Mutex<Vec<Weak<Lane>>>,
}

#[derive(Default)]
struct Set {
    lanes: Vec<Option<Arc<Lane>>>,
    paused_until: Option<Instant>,
    /// Redis serves others and turned this runtime away: until when it does not ask again, and why.
    refused: Option<Refused>,
}

struct Refused {
    since: Instant,
    until: Instant,
    backoff: Backoff,
    error: Error,
}

impl Set {
    fn is_refused(&self, now: Instant) -> bool {
        self.refused.as_ref().is_some_and(|refused| now < refused.until)
    }
}

impl Sets {
    /// The lane for `index` in the runtime of `handle`, made if need be. A lane that has ended is replaced
    /// here: so a runtime with the id of one that ended finds nothing of its predecessor's in use.
    ///
    /// # Errors
    ///
    /// Redis turned this runtime away a moment ago, and it has no other lane.
    pub(crate) fn pick(
        &self,
        shared: &Arc<Shared>,
        handle: &Handle,
        index: usize,
    ) -> Result<Arc<Lane>, Error> {
        let context = &shared.context;
        let mut map = self.map.lock();
        let set = map.entry(handle.id()).or_default();
        set.lanes.resize(context.config.shared_connections, None);
        let index = index % set.lanes.len();
        if let Some(lane) = set.lanes[index].as_ref().filter(|lane| lane.accepts()) {
            return Ok(lane.clone());
        }
        let now = Instant::now();
        let other = set.lanes.iter().flatten().find(|lane| lane.accepts());
        if let Some(other) = other {
            // Until a command was answered again, one lane is enough to find out what the others would.
            let unproven = context.breaker.is_unproven();
            let paused = set.paused_until.is_some_and(|until| now < until) || set.is_refused(now);
            if unproven || paused || context.budget.used() >= context.budget.max() {
                return Ok(other.clone());
            }
        } else if let Some(refused) = set.refused.as_ref().filter(|refused| now < refused.until) {
            return Err(refused.error.clone());
        }
        let patient = other.is_none();
        let lane = Lane::new(handle.id(), Use::Shared, context.window());
        context.budget.register(lane.tenant());
        let before = set.lanes[index].replace(lane.clone());
        drop(map);
        before.iter().for_each(|before| self.let_go(before));
        launch(handle, lane.clone(), shared, None, patient);
        Ok(lane)
    }

    /// Redis turned a runtime away.
    pub(crate) fn pause(&self, runtime: runtime::Id, backoff: Backoff, error: &Error) {
        let now = Instant::now();
        let mut map = self.map.lock();
        let set = map.entry(runtime).or_default();
        let refused = set.refused.get_or_insert_with(|| Refused {
            since: now,
            until: now,
            backoff,
            error: error.clone(),
        });
        refused.error = error.clone();
        refused.until = now + refused.backoff.next(now.saturating_duration_since(refused.since));
    }

    /// Why this runtime is not to dial at this moment, if it was turned away.
    pub(crate) fn refusal(&self, runtime: runtime::Id) -> Option<Error> {
        let map = self.map.lock();
        let refused = map.get(&runtime)?.refused.as_ref()?;
        (Instant::now() < refused.until).then(|| refused.error.clone())
    }

    /// A lane was made: nobody is turned away any more.
    pub(crate) fn unpause(&self, runtime: runtime::Id) {
        if let Some(set) = self.map.lock().get_mut(&runtime) {
            set.refused = None;
        }
    }

    /// Makes a lane of a connection that is there already.
    pub(crate) fn adopt(&self, shared: &Arc<Shared>, handle: &Handle, connection: Connection) {
        let context = &shared.context;
        let mut map = self.map.lock();
        let set = map.entry(handle.id()).or_default();
        set.lanes.resize(context.config.shared_connections, None);
        let vacant = set.lanes.iter_mut().find(|lane| lane.as_ref().is_none_or(|lane| !lane.accepts()));
        let Some(place) = vacant else { return };
        let lane = Lane::new(handle.id(), Use::Shared, context.window());
        context.budget.register(lane.tenant());
        *place = Some(lane.clone());
        drop(map);
        launch(handle, lane, shared, Some(connection), true);
    }

    /// Dials a lane that is to take the place of `old`.
    pub(super) fn succeed(&self, shared: &Arc<Shared>, handle: &Handle, old: &Lane) {
        let context = &shared.context;
        let map = self.map.lock();
        let lanes = map.get(&old.runtime()).map(|set| &set.lanes);
        let found = lanes.into_iter().flatten().flatten().find(|lane| std::ptr::eq(Arc::as_ptr(lane), old));
        let Some(old) = found.filter(|old| old.accepts() && !context.breaker.is_open()).cloned() else {
            return;
        };
        drop(map);
        let lane = Lane::new(handle.id(), Use::Shared, context.window());
        context.budget.register(lane.tenant());
        launch_heir(handle, lane, shared, old);
    }

    /// Puts `new` where `old` is. False if it is there no more.
    pub(super) fn replace(&self, old: &Arc<Lane>, new: &Arc<Lane>) -> bool {
        let mut map = self.map.lock();
        let lanes = map.get_mut(&old.runtime()).map(|set| &mut set.lanes);
        let found = lanes.into_iter().flatten().flatten().find(|lane| Arc::ptr_eq(lane, old));
        let Some(place) = found else { return false };
        *place = new.clone();
        drop(map);
        self.let_go(old);
        true
    }

    fn let_go(&self, lane: &Arc<Lane>) {
        let mut leaving = self.leaving.lock();
        leaving.retain(|lane| lane.upgrade().is_some_and(|lane| !lane.has_ended()));
        if !lane.has_ended() {
            leaving.push(Arc::downgrade(lane));
        }
    }

    /// The lane's task is over.
    pub(crate) fn forget(&self, lane: &Lane) {
        let mut map = self.map.lock();
        let Some(set) = map.get_mut(&lane.runtime()) else { return };
        for place in &mut set.lanes {
            if place.as_ref().is_some_and(|held| std::ptr::eq(Arc::as_ptr(held), lane)) {
                *place = None;
                set.paused_until = Some(Instant::now() + PAUSE);
            }
        }
        let now = Instant::now();
        map.retain(|_, set| set.lanes.iter().any(Option::is_some) || set.is_refused(now));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Lane>> {
        let leaving = self.leaving.lock().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        let map = self.map.lock();
        let all = map.values().flat_map(|set| set.lanes.iter().flatten().cloned());
        all.chain(leaving.into_iter().filter(|lane| !lane.has_ended())).collect()
    }

    pub(crate) fn end_all(&self, cause: &Error, farewell: Farewell) -> usize {
        self.all().iter().filter(|lane| lane.end(cause, farewell)).count()
    }
}
