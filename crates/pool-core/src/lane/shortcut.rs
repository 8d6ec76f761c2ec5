//! A caller who is alone on a lane writes its bytes itself: waking the driver to do it would cost more than the
//! write.
//!
//! Invariants, all under the lane's lock:
//! * Only if nobody has given the driver work since it went to sleep with nothing half written, and this call alone is in
//!   flight: so the driver has taken no bytes that these could overtake.
//! * Only while the driver's timer is set for no later than the call's limit: nobody else would keep it.
//! * Only if everything sent before was answered, and callers come one at a time: where they are many, batches
//!   are cheaper.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::State;
use crate::transport::Socket;

/// A pause in which a server may have closed the connection; shorter ones are not worth a look.
pub(super) const IDLE: Duration = Duration::from_micros(20);
/// A larger pipeline is written by the driver: the lane is locked meanwhile.
const MOST: usize = 16 << 10;

pub(super) struct Shortcut {
    socket: Arc<dyn Socket>,
    /// A server that owes a reply and is silent for so long is given up.
    silence: Duration,
    /// What the driver's timer is set for, and when the last byte came: as the driver left them.
    alarm: Option<Instant>,
    last_byte: Instant,
}

impl Shortcut {
    pub(super) fn new(socket: Arc<dyn Socket>, silence: Duration, now: Instant) -> Self {
        Self { socket, silence, alarm: None, last_byte: now }
    }

    /// The driver goes to sleep.
    pub(super) fn rest(&mut self, alarm: Option<Instant>, last_byte: Instant) {
        self.alarm = alarm;
        self.last_byte = last_byte;
    }

    fn keeps(&self, deadline: Option<Instant>, now: Instant) -> bool {
        let silent = now + self.silence;
        let due = deadline.map_or(silent, |deadline| deadline.min(silent));
        self.alarm.is_some_and(|alarm| alarm <= due)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }

    /// Asking the kernel before the first write after a pause lets a command on a connection that was closed
    /// meanwhile count as not sent.
    fn may_be_closed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_byte) >= IDLE && self.socket.is_closed()
    }
}

impl State {
    /// Writes what was just submitted. False if there is something left for the driver to do.
    pub(super) fn write_through(&mut self, deadline: Option<Instant>, now: Instant) -> bool {
        let Some(shortcut) = &self.shortcut else { return false };
        let alone = self.pace.is_single() && self.pace.is_quiet() && self.machine.in_flight() == 1;
        let resting = self.driver.is_some() && !self.stuck;
        if !alone
            || !resting
            || !(1..=MOST).contains(&self.machine.output().len())
            || !shortcut.keeps(deadline, now)
            || shortcut.may_be_closed(now)
        {
            return false;
        }
        // An error is the driver's business: it finds the connection just as lost.
        let written = shortcut.socket.try_write(self.machine.output()).unwrap_or(0);
        let Some(asked) = self.machine.written_through(written) else { return false };
        self.pace.sent(asked, self.machine.mark(), now);
        true
    }
}
