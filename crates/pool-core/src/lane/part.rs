//! A large batch goes out in parts, so that the server works on the first while the rest comes together: whoever
//! completes a part writes it, as the driver runs only after all who are ready.
//!
//! Invariant: under the lane's lock, and only while the driver is scheduled with nothing half written. So it has no
//! bytes that these could overtake, and looks at every deadline before it sleeps.

use std::time::Instant;

use super::handle::State;

/// Calls that are worth a write of their own, and so a read of the server's.
const LEAST: u64 = 64;
/// The more there are in flight, the larger the parts: the server has enough to do meanwhile.
const SHARE: u64 = 4;
/// More is written by the driver: the lane is locked meanwhile.
const MOST: usize = 64 << 10;

impl State {
    /// Writes what came together so far, if that makes a part.
    pub(super) fn write_part(&mut self, now: Instant) {
        let Some(shortcut) = &self.shortcut else { return };
        let calls = self.machine.mark() - self.pace.calls();
        let least = LEAST.max(self.machine.in_flight() as u64 / SHARE);
        if calls < least || !(1..=MOST).contains(&self.machine.output().len()) {
            return;
        }
        // Where nothing is under way the peer may have closed in the pause: that is for the driver to find, before
        // anything is written.
        if self.pace.is_quiet() && shortcut.socket.is_closed() {
            return;
        }
        // An error is the driver's business: it finds the connection just as lost.
        let written = shortcut.socket.try_write(self.machine.output()).unwrap_or(0);
        match self.machine.written_through(written) {
            Some(asked) => {
                self.pace.sent(asked, self.machine.mark(), now);
            }
            // The socket takes no more for now: the rest is the driver's.
            None => self.gathering = false,
        }
    }
}
