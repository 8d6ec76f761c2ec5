//! The connections that are there, for counting them and for waiting until they are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::modes::Modes;

/// A cut is a few system calls on a thread that does nothing else; this is for a machine near its end.
const CUT_LIMIT: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(super) struct Registry {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Entries {
    accepted: usize,
    live: BTreeMap<usize, State>,
}

struct State {
    cuts: u64,
    client_cuts: u64,
    client_open: bool,
}

impl Registry {
    pub(super) fn accepted(&self) -> usize {
        self.entries.lock().accepted
    }

    pub(super) fn open(&self) -> usize {
        self.entries.lock().live.values().filter(|state| state.client_open).count()
    }

    /// Accepting and cutting exclude each other by this lock, so that each connection is before a cut or after.
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }

    /// Waits until all that the cuts in `modes` concern has been reset.
    pub(super) fn wait_for_cuts(&self, modes: &Modes) {
        let concerned = |state: &State| {
            state.cuts < modes.cuts || (state.client_cuts < modes.client_cuts && state.client_open)
        };
        let mut entries = self.entries.lock();
        let wait = self.changed.wait_while_for(&mut entries, |e| e.live.values().any(concerned), CUT_LIMIT);
        assert!(!wait.timed_out(), "the proxy did not cut its connections");
    }
}

impl Entries {
    pub(super) fn count_accepted(&mut self) {
        self.accepted += 1;
    }

    /// Counts a new connection, which past cuts do not concern.
    pub(super) fn admit(&mut self, registry: &Arc<Registry>, modes: &Modes) -> Entry {
        self.accepted += 1;
        let id = self.accepted;
        let (cuts, client_cuts) = (modes.cuts, modes.client_cuts);
        self.live.insert(id, State { cuts, client_cuts, client_open: true });
        Entry { registry: Arc::clone(registry), id, cuts, client_cuts }
    }
}

/// A connection's place in the registry; dropped after its sockets.
pub(super) struct Entry {
    registry: Arc<Registry>,
    id: usize,
    cuts: u64,
    client_cuts: u64,
}

impl Entry {
    pub(super) fn is_cut(&self, modes: &Modes) -> bool {
        self.cuts < modes.cuts
    }

    pub(super) fn is_client_cut(&self, modes: &Modes) -> bool {
        self.is_cut(modes) || self.client_cuts < modes.client_cuts
    }

    pub(super) fn client_left(&self) {
        if let Some(state) = self.registry.entries.lock().live.get_mut(&self.id) {
            state.client_open = false;
        }
        self.registry.changed.notify_all();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.entries.lock().live.remove(&self.id);
        self.registry.changed.notify_all();
    }
}
