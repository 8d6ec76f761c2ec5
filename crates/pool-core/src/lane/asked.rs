//! Signs of life that others ask for, while the lane's runtime may rest: its driver asks Redis once it runs. Until then
//! nothing is under way, and the lane is as idle as it was.

use std::sync::Arc;
use std::time::Instant;

use super::machine::{Filled, Machine};
use super::slot::Slot;
use super::tenancy;

#[derive(Debug, Default)]
pub(super) struct Asked(Vec<Arc<Slot>>);

impl Asked {
    /// Those who wait no longer are forgotten, so they are few.
    pub(super) fn push(&mut self, slot: Arc<Slot>) {
        self.0.retain(|slot| slot.is_awaited());
        self.0.push(slot);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that are still waited for.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Slot>> + use<> {
        std::mem::take(&mut self.0).into_iter().filter(|slot| slot.is_awaited())
    }
}

impl Machine {
    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self, slot: Option<Arc<Slot>>, now: Instant) {
        self.ask(b"*1\r\n$4\r\nPING\r\n", slot, now);
    }

    /// The driver runs: now Redis is asked, unless a caller has the lane to itself.
    pub(super) fn take_asked(&mut self, checked_out: bool, now: Instant, filled: &mut Filled) {
        for slot in self.asked.drain() {
            if checked_out {
                filled.push((slot, Err(tenancy::moved())));
            } else {
                self.ping(Some(slot), now);
            }
        }
    }
}
