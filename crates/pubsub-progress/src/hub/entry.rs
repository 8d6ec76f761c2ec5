//! What this process knows of one job that is watched, merged by position.
//!
//! Invariants:
//! * Within one attempt neither the version nor the last line goes back, and no earlier attempt follows a later one.
//! * From the moment in which something may have been missed (`stale`) until what Redis has was merged, messages wait
//!   in `buffer`. When they are too many they are dropped, and Redis is read once more.
//! * The lines in `ring` are dense, or what is missing is not to be had any more: a watcher that finds a hole tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::wakers::Wakers;
use crate::event::LogLine;
use crate::job::{Job, Ring};
use crate::position::Position;
use crate::remote::{Record, Vitals};
use crate::shared::Shared;
use crate::snapshot::{Liveness, Snapshot, Status};
use crate::stats::Counters;

/// How many messages wait for a read of Redis.
const BUFFER: usize = 256;

pub(crate) struct Entry {
    pub(crate) job: Arc<str>,
    pub(crate) channel: Box<[u8]>,
    known: Mutex<Known>,
    /// Grows with each change of what is known.
    news: AtomicU64,
    pub(super) wakers: Wakers,
    counters: Arc<Counters>,
    #[cfg(feature = "sse")]
    pub(super) frames: crate::sse::Frames,
}

pub(super) struct Known {
    pub(super) position: Position,
    pub(super) latest: Option<Arc<Snapshot>>,
    pub(super) ring: Ring,
    /// The attempt before, and its last line.
    pub(super) before: Option<(u64, u64)>,
    pub(super) lost: bool,
    pub(super) liveness: Liveness,
    pub(super) heartbeat_age: Option<Duration>,
    /// Something was read, or cannot be: watchers need not wait for it.
    pub(super) ready: bool,
    pub(super) closed: bool,
    subscribed: bool,
    stale: bool,
    loading: bool,
    buffer: Vec<Message>,
    pub(super) watchers: usize,
    deserted: Option<Instant>,
    heard: Instant,
    missing: Option<(Instant, u32)>,
}

/// What a worker told.
pub(super) struct Message {
    pub(super) position: Position,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) lines: Vec<Arc<LogLine>>,
}

impl Entry {
    pub(super) fn new(job: Arc<str>, shared: &Shared) -> Self {
        let entry = Self {
            channel: shared.names.channel(&job).into_bytes().into(),
            known: Mutex::new(Known {
                position: Position::START,
                latest: None,
                ring: Ring::new(shared.settings.log_lines, shared.settings.log_bytes),
                before: None,
                lost: false,
                liveness: Liveness::Live,
                heartbeat_age: None,
                ready: shared.embedded,
                closed: false,
                subscribed: false,
                stale: !shared.embedded,
                loading: false,
                buffer: Vec::new(),
                watchers: 0,
                deserted: None,
                heard: Instant::now(),
                missing: None,
            }),
            news: AtomicU64::new(1),
            wakers: Wakers::default(),
            counters: shared.counters.clone(),
            #[cfg(feature = "sse")]
            frames: crate::sse::Frames::default(),
            job,
        };
        if let Some(job) = shared.workers.find(&entry.job) {
            entry.take_local(&job, false);
        }
        entry
    }

    pub(super) fn enter(&self, embedded: bool) {
        let mut known = self.known.lock();
        known.watchers += 1;
        known.deserted = None;
        if known.has_ended() && !embedded {
            // Another attempt may have begun, of which nobody here has heard yet.
            (known.ready, known.stale) = (false, true);
        }
    }

    pub(super) fn leave(&self) {
        let mut known = self.known.lock();
        known.watchers -= 1;
        if known.watchers == 0 {
            known.deserted = Some(Instant::now());
        }
    }

    pub(super) fn is_deserted(&self, linger: Duration) -> bool {
        self.known.lock().deserted.is_some_and(|since| since.elapsed() >= linger)
    }

    pub(super) fn news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    pub(super) fn is_stale(&self) -> bool {
        self.known.lock().stale
    }

    pub(super) fn position(&self) -> Position {
        self.known.lock().position
    }

    /// Changes what is known, and wakes those who wait for news if `change` says that there are any.
    fn change(&self, change: impl FnOnce(&mut Known) -> bool) {
        let mut known = self.known.lock();
        let (lost, liveness) = (known.lost, known.liveness);
        let news = change(&mut known);
        self.counters.lost.add(u64::from(known.lost && !lost));
        self.counters
            .stalls
            .add(u64::from(known.liveness == Liveness::Stalled && liveness != Liveness::Stalled));
        if news {
            self.news.fetch_add(1, Ordering::Release);
        }
        drop(known);
        if news {
            self.wakers.wake();
        }
    }

    /// A job of this process tells it itself, whether Redis is there or not.
    pub(super) fn take_local(&self, job: &Job, degraded: bool) {
        if job.fenced().is_some() {
            return;
        }
        let mut snapshot = job.snapshot();
        let position = snapshot.position;
        let seen = self.position();
        let lines = job.lines_after(if seen.run == position.run { seen.l } else { 0 });
        if degraded {
            snapshot = Arc::new(Snapshot { degraded, ..(*snapshot).clone() });
        }
        self.change(|known| {
            let news = known.apply(Message { position, snapshot, lines }) | !known.ready;
            known.ready = true;
            news
        });
    }

    /// What was published. True if something before it is missing.
    pub(super) fn take(&self, message: Message) -> bool {
        self.counters.messages.one();
        let mut missing = false;
        self.change(|known| {
            if known.stale || known.loading {
                if known.buffer.len() == BUFFER {
                    known.buffer.clear();
                    known.stale = true;
                }
                known.buffer.push(message);
                return false;
            }
            if known.is_hole(&message) {
                known.buffer.push(message);
                known.stale = true;
                missing = true;
                return false;
            }
            known.heard();
            known.apply(message)
        });
        missing
    }

    /// Something may have been missed.
    pub(super) fn doubt(&self) {
        self.known.lock().stale = true;
    }

    /// It has to be subscribed to anew.
    pub(super) fn unsubscribed(&self) {
        let mut known = self.known.lock();
        (known.subscribed, known.loading, known.stale) = (false, false, true);
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.known.lock().subscribed
    }

    pub(super) fn subscribed(&self) {
        self.known.lock().subscribed = true;
    }

    /// Whether Redis is to be read, which is then under way, and after which position.
    pub(super) fn begin_load(&self) -> Option<Position> {
        let mut known = self.known.lock();
        if !known.stale || known.loading || !known.subscribed {
            return None;
        }
        (known.stale, known.loading) = (false, true);
        self.counters.loads.one();
        Some(known.position)
    }

    /// What Redis has.
    pub(super) fn loaded(&self, record: Option<Record>, back: Option<Duration>) {
        self.change(|known| {
            let mut news = !known.ready;
            (known.ready, known.loading) = (true, false);
            if let Some(Record { vitals, snapshot, lines }) = record {
                news |= known.apply(Message { position: vitals.position, snapshot, lines });
                news |= known.beats(&vitals, back);
            }
            if known.stale {
                return news;
            }
            for message in std::mem::take(&mut known.buffer) {
                if known.stale || known.is_hole(&message) {
                    known.stale = true;
                    known.buffer.push(message);
                    continue;
                }
                known.heard();
                news |= known.apply(message);
            }
            news
        });
    }

    /// Redis cannot be read now: it is tried again.
    pub(super) fn load_failed(&self) {
        let mut known = self.known.lock();
        (known.stale, known.loading) = (true, false);
    }

    /// Redis is away, and the job is one of this process: all that there is to know is known.
    pub(super) fn is_own(&self) {
        self.change(|known| !std::mem::replace(&mut known.ready, true));
    }

    /// Redis is away.
    pub(super) fn away(&self) {
        self.change(Known::give_up);
    }

    /// What a look at all jobs found. `beats` says whether its worker lives in this process.
    pub(super) fn swept(
        &self,
        vitals: Option<&Vitals>,
        beats: bool,
        lost_after: Duration,
        back: Option<Duration>,
    ) {
        self.change(|known| {
            let Some(vitals) = vitals else {
                let (since, times) = known.missing.unwrap_or((Instant::now(), 0));
                known.missing = Some((since, times + 1));
                let is_lost = known.latest.is_some()
                    && !known.has_ended()
                    && !beats
                    && times >= 1
                    && since.elapsed() >= lost_after
                    && known.heard.elapsed() >= lost_after;
                known.lost |= is_lost;
                return is_lost;
            };
            known.missing = None;
            if is_after(vitals.position, known.position) {
                self.counters.repairs.add(u64::from(!known.stale));
                known.stale = true;
            }
            known.beats(vitals, back)
        });
    }

    pub(super) fn close(&self) {
        self.change(|known| {
            known.closed = true;
            true
        });
    }
}

impl Known {
    pub(super) fn has_ended(&self) -> bool {
        self.lost || self.latest.as_ref().is_some_and(|latest| latest.status.is_end())
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
        self.missing = None;
    }

    /// Lines before those of the message are missing.
    fn is_hole(&self, message: &Message) -> bool {
        let at = message.position;
        let l = match at.run.cmp(&self.position.run) {
            std::cmp::Ordering::Less => return false,
            std::cmp::Ordering::Equal => self.position.l,
            std::cmp::Ordering::Greater => 0,
        };
        at.l > l && message.lines.iter().find(|line| line.seq > l).is_none_or(|line| line.seq > l + 1)
    }

    /// Takes what is new of it. What it leaves out is not to be had.
    fn apply(&mut self, message: Message) -> bool {
        let Message { position: at, snapshot, lines } = message;
        if at.run < self.position.run {
            return false;
        }
        let mut news = false;
        if at.run > self.position.run {
            self.before = Some((self.position.run, self.position.l));
            self.position = Position::new(at.run, 0, 0);
            self.ring.clear();
            self.lost = false;
            news = true;
        }
        for line in lines {
            if line.seq > self.position.l {
                self.position.l = line.seq;
                self.ring.push(line);
                news = true;
            }
        }
        if at.l > self.position.l {
            self.position.l = at.l;
            news = true;
        }
        if at.v > self.position.v {
            self.position.v = at.v;
            self.lost = false;
            if snapshot.status == Status::Running && self.liveness != Liveness::Live {
                (self.liveness, self.heartbeat_age) = (Liveness::Live, None);
            }
            self.latest = Some(snapshot);
            news = true;
        }
        news
    }

    /// `back` is how long Redis has been back after a loss: its workers may need as long to be heard again.
    fn beats(&mut self, vitals: &Vitals, back: Option<Duration>) -> bool {
        self.heartbeat_age = Some(vitals.heartbeat_age);
        if vitals.position.run < self.position.run {
            return false;
        }
        let liveness = vitals.liveness();
        if liveness == Liveness::Stalled && back.is_some_and(|back| back < vitals.heartbeat * 3 / 2) {
            return false;
        }
        std::mem::replace(&mut self.liveness, liveness) != liveness
    }

    fn give_up(&mut self) -> bool {
        let was_ready = std::mem::replace(&mut self.ready, true);
        let was = std::mem::replace(&mut self.liveness, Liveness::Unknown);
        self.missing = None;
        !was_ready || was != Liveness::Unknown
    }
}

/// Whether there is something at the first position that there was not at the second.
pub(super) fn is_after(one: Position, other: Position) -> bool {
    one.run > other.run || (one.run == other.run && (one.v > other.v || one.l > other.l))
}
