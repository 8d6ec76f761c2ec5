//! Whether strict calls may try Redis, and who finds out when they may again.
//!
//! Invariants:
//! * While it is open nobody begins a dial but the holder of the lease, so an outage costs one dial at a time.
//! * The lease names its holder by a number that only grows; a holder whose number is no longer the current
//!   one stops, so a takeover never leaves two.
//! * A handshake closes the breaker, but only a reply to a command resets the pauses: a server that accepts
//!   and then drops us cannot make us dial faster.

mod backoff;
mod probe;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, Kind};

pub(crate) use backoff::{Backoff, jitter};
pub(crate) use probe::probe;

/// A lease is overdue this long after its holder should have acted.
const OVERDUE: Duration = Duration::from_millis(100);

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

#[derive(Debug)]
pub(crate) struct Breaker {
    /// A copy of what `inner` says, for the call path, which must not lock.
    gate: AtomicU8,
    /// No command was answered since the last failure.
    unproven: AtomicBool,
    probe_limit: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    outage: Option<Outage>,
    backoff: Backoff,
    failing_since: Option<Instant>,
    lease: u64,
    /// When the lease's holder is to act next, or to be done; `None` without a holder.
    due: Option<Instant>,
    /// It is trying.
    trying: bool,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    cause: Error,
}

/// The right, and the duty, to find out whether Redis is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(u64);

impl Inner {
    fn hand_on(&mut self) -> Lease {
        self.trying = false;
        self.lease += 1;
        Lease(self.lease)
    }
}

impl Breaker {
    pub(crate) fn new(backoff: Backoff, probe_limit: Duration) -> Self {
        let inner = Inner { outage: None, backoff, failing_since: None, lease: 0, due: None, trying: false };
        Self {
            gate: AtomicU8::new(CLOSED),
            unproven: AtomicBool::new(false),
            probe_limit,
            inner: Mutex::new(inner),
        }
    }

    /// May a strict call go on? If not, why, at once.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        match self.gate.load(Ordering::Acquire) {
            CLOSED => Ok(()),
            SHUT => Err(Error::closed()),
            _ => self.refusal(Instant::now()).map_or(Ok(()), Err),
        }
    }

    fn refusal(&self, now: Instant) -> Option<Error> {
        let inner = self.inner.lock();
        let outage = inner.outage.as_ref()?;
        let wait = inner.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let next = if inner.trying && !wait.is_zero() {
            // What is due is the limit of that try, and no pause.
            "a try is under way".to_owned()
        } else {
            format!("next try in {} ms", wait.as_millis())
        };
        let message = format!(
            "{} (down for {:.1} s; {next})",
            outage.cause.message(),
            now.saturating_duration_since(outage.since).as_secs_f64(),
        );
        Some(outage.cause.retold(Kind::Away, message))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.gate.load(Ordering::Acquire) == OPEN
    }

    /// No command was answered since the last failure.
    pub(crate) fn is_unproven(&self) -> bool {
        self.unproven.load(Ordering::Acquire)
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.gate.load(Ordering::Acquire) == SHUT
    }

    pub(crate) fn probe_limit(&self) -> Duration {
        self.probe_limit
    }

    /// Redis failed. Whoever opens the breaker with it gets the lease.
    pub(crate) fn trip(&self, cause: &Error, now: Instant) -> Option<Lease> {
        let mut inner = self.inner.lock();
        if self.gate.load(Ordering::Acquire) == SHUT {
            return None;
        }
        if let Some(outage) = &mut inner.outage {
            outage.cause = cause.clone();
            return None;
        }
        inner.outage = Some(Outage { since: now, cause: cause.clone() });
        self.gate.store(OPEN, Ordering::Release);
        self.unproven.store(true, Ordering::Release);
        let failing = *inner.failing_since.get_or_insert(now);
        let pause = inner.backoff.next(now.saturating_duration_since(failing));
        inner.due = Some(now + pause);
        Some(inner.hand_on())
    }

    /// A connection was lost that had worked: one task looks whether Redis is still there.
    pub(crate) fn suspect(&self, now: Instant) -> Option<Lease> {
        let mut inner = self.inner.lock();
        if self.gate.load(Ordering::Acquire) != CLOSED || inner.due.is_some_and(|due| now < due + OVERDUE) {
            return None;
        }
        // Without proof since the last failure this may be a server that greets and hangs up.
        let unproven = self.unproven.load(Ordering::Acquire);
        let pause = if unproven { inner.backoff.next(Duration::ZERO) } else { Duration::ZERO };
        inner.due = Some(now + pause);
        Some(inner.hand_on())
    }

    /// Takes the lease from a holder that is overdue: its runtime may be parked, or gone.
    pub(crate) fn take_over(&self, now: Instant) -> Option<Lease> {
        let mut inner = self.inner.lock();
        let due = inner.due?;
        if inner.outage.is_none() || now < due + OVERDUE {
            return None;
        }
        inner.due = Some(now);
        Some(inner.hand_on())
    }

    /// There is reason to believe that Redis is back: the next try is due, and whoever asks is to make it.
    pub(crate) fn hasten(&self, now: Instant) -> Option<Lease> {
        let mut inner = self.inner.lock();
        // A try that is under way may get there, and is left alone.
        if inner.outage.is_none() || inner.due.is_none_or(|due| inner.trying && now < due) {
            return None;
        }
        inner.due = Some(now);
        Some(inner.hand_on())
    }

    /// When the holder is to try next; `None` if the lease is no longer its own.
    pub(crate) fn due(&self, lease: Lease) -> Option<Instant> {
        let inner = self.inner.lock();
        inner.due.filter(|_| inner.lease == lease.0)
    }

    /// The holder begins a try.
    pub(crate) fn begin(&self, lease: Lease, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.lease == lease.0 && inner.due.is_some();
        if held {
            inner.due = Some(now + self.probe_limit);
            inner.trying = true;
        }
        held
    }

    /// The holder's try failed. True if this opened the breaker.
    pub(crate) fn failed(&self, lease: Lease, cause: &Error, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 || self.gate.load(Ordering::Acquire) == SHUT {
            return false;
        }
        let opened = inner.outage.is_none();
        let outage = inner.outage.get_or_insert_with(|| Outage { since: now, cause: cause.clone() });
        outage.cause = cause.clone();
        self.gate.store(OPEN, Ordering::Release);
        self.unproven.store(true, Ordering::Release);
        let failing = *inner.failing_since.get_or_insert(now);
        let pause = inner.backoff.next(now.saturating_duration_since(failing));
        inner.due = Some(now + pause);
        inner.trying = false;
        opened
    }

    /// The holder's try failed, and yet Redis is there. False if it is known to be away: then the search goes on.
    pub(crate) fn acquit(&self, lease: Lease) -> bool {
        let mut inner = self.inner.lock();
        let suspected = inner.outage.is_none();
        if suspected && inner.lease == lease.0 {
            inner.due = None;
        }
        suspected
    }

    /// The holder got through: calls go on. Returns how long Redis was away, if it was.
    pub(crate) fn recovered(&self, lease: Lease, now: Instant) -> Option<Duration> {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 {
            return None;
        }
        inner.due = None;
        self.close_gate(&mut inner, now)
    }

    /// A command was answered. Cheap when there was no failure before it.
    pub(crate) fn reply_seen(&self, now: Instant) -> Option<Duration> {
        if !self.unproven.load(Ordering::Acquire) {
            return None;
        }
        let mut inner = self.inner.lock();
        self.unproven.store(false, Ordering::Release);
        inner.backoff.reset();
        inner.failing_since = None;
        // The lease lapses with the outage it was for.
        inner.due = None;
        self.close_gate(&mut inner, now)
    }

    fn close_gate(&self, inner: &mut Inner, now: Instant) -> Option<Duration> {
        let outage = inner.outage.take()?;
        let _ = self.gate.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        Some(now.saturating_duration_since(outage.since))
    }

    /// For ever: the pool is closed.
    pub(crate) fn shut(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.due = None;
        self.gate.swap(SHUT, Ordering::AcqRel) != SHUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_how_long_the_pause_is_or_that_a_try_is_under_way() {
        let ms = Duration::from_millis;
        let breaker = Breaker::new(Backoff::new(ms(50), ms(240), ms(900)), ms(500));
        let began = Instant::now();
        let lease = breaker.trip(&Error::not_sent(Kind::Away, "why"), began).unwrap();
        let told = |after: u64| breaker.refusal(began + ms(after)).unwrap().message().to_owned();
        let pause = |told: String| {
            let rest = told.strip_prefix("why (down for 0.0 s; next try in ").unwrap().strip_suffix(" ms)");
            rest.unwrap().parse::<u64>().unwrap()
        };
        assert!((25..=50).contains(&pause(told(0))), "{}", told(0));
        assert!(breaker.begin(lease, began + ms(50)));
        assert_eq!(told(51), "why (down for 0.1 s; a try is under way)");
        assert!(!breaker.failed(lease, &Error::not_sent(Kind::Away, "why"), began));
        assert!((50..=100).contains(&pause(told(0))), "{}", told(0));
    }
}
