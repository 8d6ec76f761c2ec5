//! A worker's side: what it reports, and when that goes to Redis.

mod board;
mod child;
mod due;
mod estimator;
mod handle;
mod ring;
mod start;
mod text;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::RedisResult;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::builder::Settings;
use crate::event::LogLine;
use crate::position::Position;
use crate::remote::{Address, Begin, Code, Names, Reply, Report};
use crate::snapshot::{Snapshot, Status};

use board::Board;
pub(crate) use board::now_ms;
pub use child::Child;
pub use handle::{Delivery, JobHandle};
pub(crate) use ring::Ring;
pub use start::Start;
#[cfg(feature = "indicatif")]
pub(crate) use text::tame;
pub(crate) use workers::{Workers, drive, flush};

/// A job of this process.
pub(crate) struct Job {
    pub(crate) id: Arc<str>,
    address: Arc<Address>,
    pub(crate) token: CancellationToken,
    throttle: Duration,
    state: Mutex<State>,
    settled: watch::Sender<Settled>,
}

struct State {
    board: Board,
    /// What Redis has of this attempt, as far as is known.
    acked: Position,
    /// When it is looked at next, and when a report last went.
    due: Option<Instant>,
    last: Option<Instant>,
    in_flight: bool,
    /// Redis may have lost it.
    doubt: bool,
    /// Redis did not take the last report.
    failed: bool,
    /// The version of the last report.
    reported: u64,
    /// What it asked for at its start.
    begin: Begin,
    fenced: Option<u64>,
    ended: Option<Instant>,
}

/// What became of the reports.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settled {
    pub(crate) acked: Position,
    /// Up to here it was tried in vain.
    pub(crate) failed: Position,
    pub(crate) fenced: Option<u64>,
}

impl Job {
    pub(crate) fn new(id: Arc<str>, names: &Names, settings: &Settings) -> Self {
        Self {
            address: Arc::new(Address {
                keys: [names.state(&id), names.log(&id)],
                channel: names.channel(&id),
                owner: format!("{:016x}", fastrand::u64(..)),
            }),
            token: CancellationToken::new(),
            throttle: settings.throttle,
            state: Mutex::new(State {
                board: Board::new(id.clone(), settings),
                acked: Position::START,
                due: None,
                last: None,
                in_flight: false,
                doubt: false,
                failed: false,
                reported: 0,
                begin: Begin::default(),
                fenced: None,
                ended: None,
            }),
            settled: watch::Sender::new(Settled::default()),
            id,
        }
    }

    /// The first report, which asks for the attempt `run`, or for the next one if it is 0.
    pub(crate) fn first(&self, run: u64, begin: Begin) -> Report {
        let mut state = self.state.lock();
        state.board.claim(run, run);
        (state.in_flight, state.begin) = (true, begin);
        state.last = Some(Instant::now());
        self.report(&mut state, Some(begin))
    }

    /// It is the worker's from now on.
    pub(crate) fn claimed(&self, run: u64, attempt: u64, acked: bool) {
        let mut state = self.state.lock();
        state.board.claim(run, attempt);
        (state.in_flight, state.failed, state.doubt) = (false, !acked, !acked);
        if acked {
            state.acked = state.board.position;
        }
    }

    fn report(&self, state: &mut State, begin: Option<Begin>) -> Report {
        let position = state.board.position;
        let known = if state.acked.run == position.run { state.acked.l } else { 0 };
        let lines: Vec<_> = state.board.lines.after(known).cloned().collect();
        let coalesced = (position.v - state.reported).saturating_sub(1);
        state.reported = position.v;
        let unknown = (begin.is_none() && state.acked.run == 0).then_some(state.begin);
        let base = lines.first().map_or(position.l, |line| line.seq - 1);
        Report {
            to: self.address.clone(),
            position,
            attempt: state.board.attempt,
            snapshot: state.board.snapshot(),
            base,
            force: base > known,
            lines,
            begin,
            unknown,
            again: state.failed,
            coalesced,
        }
    }

    /// What is to be told now; `None` if there is nothing.
    pub(crate) fn prepare(&self, beat: bool, now: Instant) -> Option<Report> {
        let mut state = self.state.lock();
        if !beat && state.due.is_some_and(|due| due > now) {
            // It was put off after this place in the queue was taken.
            return None;
        }
        state.due = None;
        if state.in_flight || state.fenced.is_some() || !(beat || state.is_dirty()) {
            return None;
        }
        (state.in_flight, state.doubt, state.last) = (true, false, Some(now));
        Some(self.report(&mut state, None))
    }

    /// Redis has answered; the answer says whether it has the report.
    pub(crate) fn settle(&self, report: &Report, reply: &RedisResult<Reply>) -> bool {
        let mut state = self.state.lock();
        state.in_flight = false;
        let Ok(reply) = reply else {
            (state.failed, state.doubt) = (true, true);
            drop(state);
            self.settled.send_modify(|settled| settled.failed = settled.failed.max(report.position));
            return false;
        };
        match reply.code {
            Code::Applied | Code::Duplicate => {
                (state.failed, state.acked) = (false, report.position);
                if reply.cancel && !state.board.cancelling && !state.board.status.is_end() {
                    state.board.cancelling();
                    self.token.cancel();
                }
                drop(state);
                self.settled.send_modify(|settled| settled.acked = report.position);
                return true;
            }
            Code::Behind => {
                let known = if reply.position.run == report.position.run { reply.position.l } else { 0 };
                state.acked = Position { l: known, ..state.acked };
                state.doubt = true;
            }
            Code::Renamed => {
                // It goes on under the number that all others know it by.
                state.board.claim(reply.position.run, reply.attempt);
                (state.acked, state.doubt) = (reply.position, true);
            }
            Code::Fenced | Code::Ended => {
                let run = reply.position.run;
                state.fenced = Some(run);
                drop(state);
                self.token.cancel();
                self.settled.send_modify(|settled| settled.fenced = Some(run));
            }
        }
        false
    }

    /// Without a Redis this process is all there is.
    pub(crate) fn take(&self, report: &Report) {
        let mut state = self.state.lock();
        (state.in_flight, state.failed, state.acked) = (false, false, report.position);
        drop(state);
        self.settled.send_modify(|settled| settled.acked = report.position);
    }

    /// What was in flight is lost: whoever waited for it is no more.
    pub(crate) fn abort(&self) {
        let mut state = self.state.lock();
        state.doubt |= std::mem::take(&mut state.in_flight);
        state.due = None;
    }

    /// A change by the worker. Returns when it is to be looked at, if that is not known yet.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Board) -> T) -> (Option<T>, Option<Instant>) {
        let mut state = self.state.lock();
        if state.is_over() {
            return (None, None);
        }
        let before = (state.board.position.l, state.board.status);
        let result = change(&mut state.board);
        let urgent = before != (state.board.position.l, state.board.status);
        if state.board.status.is_end() {
            state.ended = Some(Instant::now());
        }
        (Some(result), state.plan(urgent, self.throttle))
    }

    /// After a report: when the next one is due, if there is anything to report.
    pub(crate) fn plan_next(&self, retry: Duration) -> Option<Instant> {
        let mut state = self.state.lock();
        if state.failed {
            return state.plan_at(Instant::now() + retry);
        }
        let urgent = state.doubt || state.board.status.is_end() || state.board.position.l != state.acked.l;
        state.plan(urgent, self.throttle)
    }

    /// Redis may have lost it, or is back.
    pub(crate) fn doubt(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.doubt = true;
        state.plan(true, self.throttle)
    }

    /// Somebody asks it to stop.
    pub(crate) fn cancel(&self) -> Option<Instant> {
        let (_, due) = self.change(|board| {
            board.cancelling();
            // Those who asked wait for it.
            board.status
        });
        self.token.cancel();
        let mut state = self.state.lock();
        state.plan(true, self.throttle).or(due)
    }

    /// The lines after number `seq` of this attempt.
    pub(crate) fn lines_after(&self, seq: u64) -> Vec<Arc<LogLine>> {
        self.state.lock().board.lines.after(seq).cloned().collect()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.state.lock().board.snapshot()
    }

    pub(crate) fn position(&self) -> Position {
        self.state.lock().board.position
    }

    pub(crate) fn status(&self) -> Status {
        self.state.lock().board.status
    }

    pub(crate) fn fenced(&self) -> Option<u64> {
        self.state.lock().fenced
    }

    pub(crate) fn ended(&self) -> Option<Instant> {
        self.state.lock().ended
    }

    /// Redis has not got all of it, and may get it yet.
    pub(crate) fn is_unsettled(&self) -> bool {
        let state = self.state.lock();
        state.fenced.is_none() && (state.in_flight || state.is_dirty())
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    pub(crate) fn settled(&self) -> watch::Receiver<Settled> {
        self.settled.subscribe()
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.board.status.is_end() || self.fenced.is_some()
    }

    fn is_dirty(&self) -> bool {
        self.doubt || self.board.position != self.acked
    }

    fn plan(&mut self, urgent: bool, throttle: Duration) -> Option<Instant> {
        if !self.is_dirty() {
            return None;
        }
        let now = Instant::now();
        let at = match self.last {
            Some(last) if !urgent => now.max(last + throttle),
            _ => now,
        };
        self.plan_at(at)
    }

    fn plan_at(&mut self, at: Instant) -> Option<Instant> {
        // While one is in flight, its end plans the next.
        if self.in_flight || self.fenced.is_some() || self.due.is_some_and(|due| due <= at) {
            return None;
        }
        self.due = Some(at);
        Some(at)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}
