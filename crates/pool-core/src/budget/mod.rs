//! How many connections the pool may have, over all kinds and all runtimes.
//!
//! Invariants, all under the one lock:
//! * `used` counts every place that is taken, and a place stays taken after its connection was closed until the
//!   server is seen to have closed its side too, or [`LINGER`] has passed: the server never counts more than
//!   `max` of us.
//! * Free places go to whoever waited longest among those that still look: a runtime that is parked does not
//!   look, so it cannot hold up the others.

mod held;
mod tenant;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Error;
use crate::lane::{Reply, Spare};
use crate::sentinel::Node;
use crate::telemetry::{Counted, Meters};
use crate::timer;
use crate::transport::Socket;

pub(crate) use held::{Berth, Held};
pub(crate) use tenant::Tenant;
use tenant::{give_up_parked, make_room};

/// How long a server may take to close its side before its place is given on all the same.
const LINGER: Duration = Duration::from_millis(100);
/// How often a waiter looks.
const LOOK: Duration = Duration::from_millis(1);
/// A waiter that has not looked for so long is parked.
const PARKED: Duration = Duration::from_millis(50);

pub(crate) struct Budget {
    max: usize,
    inner: Mutex<Inner>,
    meters: Meters,
}

#[derive(Default)]
struct Inner {
    used: usize,
    closing: Vec<Closing>,
    waiters: VecDeque<Waiter>,
    last_waiter: u64,
    tenants: Vec<Weak<dyn Tenant>>,
    berths: Vec<Weak<Berth>>,
}

struct Closing {
    socket: Option<Arc<dyn Socket>>,
    since: Instant,
}

struct Waiter {
    id: u64,
    looked: Instant,
}

/// One place, given back when dropped.
pub(crate) struct Permit {
    budget: Arc<Budget>,
    /// Given back by [`Inner::reap`] instead.
    closing: bool,
    _counted: Counted,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.closing {
            self.budget.inner.lock().used -= 1;
        }
    }
}

impl Budget {
    pub(crate) fn new(max: usize, meters: Meters) -> Arc<Self> {
        Arc::new(Self { max, inner: Mutex::default(), meters })
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit { budget: self.clone(), closing: false, _counted: self.meters.connection() }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Places taken, those still closing included.
    pub(crate) fn used(&self) -> usize {
        let mut inner = self.inner.lock();
        inner.reap(Instant::now());
        inner.used
    }

    /// Every place is taken by a connection that is there, or is being made.
    pub(crate) fn is_full(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.reap(Instant::now());
        inner.used - inner.closing.len() >= self.max
    }

    /// Lets those who wait find whom to ask for room.
    pub(crate) fn register(&self, tenant: Weak<dyn Tenant>) {
        let mut inner = self.inner.lock();
        inner.tenants.retain(|tenant| tenant.strong_count() > 0);
        inner.tenants.push(tenant);
    }

    pub(super) fn register_berth(&self, berth: &Arc<Berth>) {
        let mut inner = self.inner.lock();
        inner.berths.retain(|berth| berth.strong_count() > 0);
        inner.berths.push(Arc::downgrade(berth));
    }

    /// Takes back the places of dials that should be over: all of them, or those of parked runtimes.
    fn clear_berths(&self, overdue: Option<Instant>) {
        let berths: Vec<_> = self.inner.lock().berths.iter().filter_map(Weak::upgrade).collect();
        let is_over = |berth: &Arc<Berth>| overdue.is_none_or(|now| berth.is_overdue(now, LINGER));
        // Dropped outside the lock: a place that is given back takes it.
        berths.iter().filter(|berth| is_over(berth)).for_each(|berth| drop(berth.take()));
    }

    /// Cuts every tenant, also in its holder's hands.
    pub(crate) fn end_all(&self, cause: &Error) {
        let tenants: Vec<_> = self.inner.lock().tenants.iter().filter_map(Weak::upgrade).collect();
        for tenant in tenants {
            tenant.cut(cause);
        }
        self.clear_berths(None);
    }

    /// Some servers are no masters any more: what leads there moves. With `cut` calls that are under way there end too.
    pub(crate) fn forsake(&self, is_stale: &dyn Fn(&Node) -> bool, cut: bool) {
        let tenants: Vec<_> = self.inner.lock().tenants.iter().filter_map(Weak::upgrade).collect();
        for tenant in tenants {
            tenant.forsake(is_stale, cut);
        }
    }

    /// Asks every connection that can be asked for a sign of life.
    pub(crate) fn ask_all(&self) -> Vec<(Reply, Spare)> {
        let tenants: Vec<_> = self.inner.lock().tenants.iter().filter_map(Weak::upgrade).collect();
        tenants.iter().filter_map(|tenant| tenant.ask()).collect()
    }

    /// A place if one is free and nobody waits for it.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.reap(now);
        let contended = inner.waiters.iter().any(|waiter| waiter.is_looking(now));
        (!contended && inner.used < self.max).then(|| {
            inner.used += 1;
            self.permit()
        })
    }

    /// Waits for a place, making others give up theirs where it can. Only for tasks of the pool: it keeps time
    /// by the runtime's timer.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Permit {
        if let Some(permit) = self.try_acquire() {
            return permit;
        }
        let ticket = Ticket::new(self);
        loop {
            if let Some(permit) = self.look(ticket.id, Instant::now()) {
                return permit;
            }
            timer::sleep(LOOK).await;
        }
    }

    fn look(self: &Arc<Self>, id: u64, now: Instant) -> Option<Permit> {
        let mut inner = self.inner.lock();
        inner.reap(now);
        let mut ahead = 0;
        for waiter in &mut inner.waiters {
            if waiter.id == id {
                waiter.looked = now;
                break;
            }
            ahead += usize::from(waiter.is_looking(now));
        }
        if inner.used + ahead < self.max {
            inner.used += 1;
            return Some(self.permit());
        }
        let tenants: Vec<_> = inner.tenants.iter().filter_map(Weak::upgrade).collect();
        let coming = inner.closing.len() + tenants.iter().filter(|tenant| tenant.is_draining()).count();
        drop(inner);
        self.clear_berths(Some(now));
        give_up_parked(&tenants, now);
        if coming <= ahead {
            make_room(&tenants, now);
        }
        None
    }

    /// The connection of this place was closed on our side.
    pub(crate) fn closing(&self, mut permit: Permit, socket: Option<Arc<dyn Socket>>) {
        permit.closing = true;
        let mut inner = self.inner.lock();
        let now = Instant::now();
        inner.reap(now);
        inner.closing.push(Closing { socket, since: now });
    }
}

impl Inner {
    fn reap(&mut self, now: Instant) {
        let before = self.closing.len();
        self.closing.retain(|closing| {
            let waited = now.saturating_duration_since(closing.since) >= LINGER;
            let gone = closing.socket.as_ref().is_some_and(|socket| socket.peer_closed());
            !waited && !gone
        });
        self.used -= before - self.closing.len();
    }
}

impl Waiter {
    fn is_looking(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked) < PARKED
    }
}

/// A place in the queue, left when dropped.
struct Ticket<'a> {
    budget: &'a Budget,
    id: u64,
}

impl<'a> Ticket<'a> {
    fn new(budget: &'a Budget) -> Self {
        let mut inner = budget.inner.lock();
        inner.last_waiter += 1;
        let id = inner.last_waiter;
        inner.waiters.push_back(Waiter { id, looked: Instant::now() });
        Self { budget, id }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.budget.inner.lock().waiters.retain(|waiter| waiter.id != self.id);
    }
}
