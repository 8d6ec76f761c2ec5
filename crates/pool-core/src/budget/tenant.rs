//! Who fills the places, and who is asked to give one up when others wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::lane::{Reply, Spare};
use crate::sentinel::Node;

/// A connection in use is left to its runtime for so long, at least, before others may ask for it.
const TENURE: Duration = Duration::from_millis(10);
/// Who drains and whose task was not seen to run for so long is on a parked runtime.
const UNNOTICED: Duration = Duration::from_millis(100);

/// What the budget must know of, and may ask of, a connection.
pub(crate) trait Tenant: Send + Sync {
    /// Since when nothing is in flight on it and nobody holds it.
    fn idle_since(&self) -> Option<Instant>;
    /// Since when it has been open, if others may ask for it although it is busy.
    fn serving_since(&self) -> Option<Instant>;
    fn is_draining(&self) -> bool;
    /// How long ago its task last ran, while it drains; also makes it run.
    fn draining_unnoticed_for(&self, now: Instant) -> Duration;
    /// Ends it if it is idle; the check and the end are one step, so no call slips in between.
    fn retire(&self) -> bool;
    /// Takes no more calls, finishes what is in flight, then ends.
    fn drain(&self);
    /// Its runtime does not run: nobody there can finish anything.
    fn give_up(&self);
    /// Leads it to such a server, it serves nobody else. With `cut` it ends although calls are under way.
    fn forsake(&self, is_stale: &dyn Fn(&Node) -> bool, cut: bool);
    /// Asks the server for a sign of life, if it is open and no caller has it to itself; the answer, once there is one.
    fn ask(&self) -> Option<(Reply, Spare)>;
    /// Ends it, whatever it does.
    fn cut(&self, cause: &Error);
}

pub(super) fn give_up_parked(tenants: &[Arc<dyn Tenant>], now: Instant) {
    for tenant in tenants {
        if tenant.draining_unnoticed_for(now) > UNNOTICED {
            tenant.give_up();
        }
    }
}

/// Retires the longest idle lane; if none is idle, asks the one that was at it longest to finish.
pub(super) fn make_room(tenants: &[Arc<dyn Tenant>], now: Instant) {
    let mut idle: Vec<_> = tenants.iter().filter_map(|tenant| Some((tenant.idle_since()?, tenant))).collect();
    idle.sort_by_key(|(since, _)| *since);
    if idle.iter().any(|(_, tenant)| tenant.retire()) {
        return;
    }
    let busy = tenants.iter().filter_map(|tenant| Some((tenant.serving_since()?, tenant)));
    if let Some((since, tenant)) = busy.min_by_key(|(since, _)| *since)
        && now.saturating_duration_since(since) > TENURE
    {
        tenant.drain();
    }
}
