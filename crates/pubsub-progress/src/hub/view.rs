//! What one watcher has seen of a job, and what it is to be told next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Known;
use crate::event::Event;
use crate::position::Position;
use crate::snapshot::{Liveness, Snapshot, Status};

/// How many lines are fetched at once.
const LINES: usize = 64;

#[derive(Debug)]
pub(super) struct View {
    pub(super) at: Position,
    began: bool,
    told: Liveness,
    ended: bool,
}

impl View {
    pub(super) fn new(from: Position) -> Self {
        Self { at: from, began: false, told: Liveness::Live, ended: false }
    }

    /// What is new since it was last asked, in order; false if there is more.
    pub(super) fn collect(&mut self, known: &Known, events: &mut VecDeque<Event>) -> bool {
        if self.ended || !known.ready {
            return true;
        }
        let first = !std::mem::replace(&mut self.began, true);
        let Some(latest) = &known.latest else {
            if first {
                events.push_back(Event::Pending { at: self.at });
            }
            self.tell_liveness(known, events);
            if known.lost {
                self.end(Event::Lost { at: self.at, snapshot: None }, events);
            }
            return true;
        };
        // A position ahead of all that is known is of another life of Redis, if not made up.
        if self.at.run != known.position.run {
            self.begin_attempt(known, latest, events);
        }
        self.tell_liveness(known, events);
        let told_all = self.tell_lines(known, events);
        if known.position.v > self.at.v && !latest.status.is_end() {
            self.at.v = known.position.v;
            events.push_back(Event::Update { at: self.at, snapshot: latest.clone() });
        }
        if !told_all {
            return false;
        }
        if known.lost {
            self.end(Event::Lost { at: self.at, snapshot: Some(latest.clone()) }, events);
        } else if latest.status.is_end() {
            self.at.v = self.at.v.max(known.position.v);
            self.end(end_of(latest, self.at), events);
        }
        true
    }

    fn begin_attempt(&mut self, known: &Known, latest: &Arc<Snapshot>, events: &mut VecDeque<Event>) {
        if let Some((run, l)) = known.before
            && run == self.at.run
            && l > self.at.l
        {
            let from = self.at.l + 1;
            self.at.l = l;
            events.push_back(Event::Gap { at: self.at, from, to: l });
        }
        // The version of the end is told with the end: whoever goes on from here, or from a line after it, has not seen it.
        let v = known.position.v - u64::from(latest.status.is_end() && known.position.v > 0);
        self.at = Position::new(known.position.run, v, 0);
        events.push_back(Event::Snapshot { at: self.at, snapshot: latest.clone() });
    }

    fn tell_liveness(&mut self, known: &Known, events: &mut VecDeque<Event>) {
        let has_ended = known.latest.as_ref().is_some_and(|latest| latest.status.is_end());
        if known.liveness != self.told && !has_ended {
            self.told = known.liveness;
            events.push_back(Event::Liveness {
                at: self.at,
                liveness: known.liveness,
                heartbeat_age: known.heartbeat_age,
            });
        }
    }

    /// Whether these were all that there are.
    fn tell_lines(&mut self, known: &Known, events: &mut VecDeque<Event>) -> bool {
        let mut lines = known.ring.after(self.at.l);
        for line in lines.by_ref().take(LINES) {
            self.tell_gap(line.seq - 1, events);
            self.at.l = line.seq;
            events.push_back(Event::Log { at: self.at, line: line.clone() });
        }
        if lines.next().is_some() {
            return false;
        }
        self.tell_gap(known.position.l, events);
        true
    }

    fn tell_gap(&mut self, to: u64, events: &mut VecDeque<Event>) {
        if to > self.at.l {
            let from = self.at.l + 1;
            self.at.l = to;
            events.push_back(Event::Gap { at: self.at, from, to });
        }
    }

    fn end(&mut self, event: Event, events: &mut VecDeque<Event>) {
        self.ended = true;
        events.push_back(event);
    }

    /// The stream is over once all that was collected is told.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

fn end_of(snapshot: &Arc<Snapshot>, at: Position) -> Event {
    let snapshot = snapshot.clone();
    match snapshot.status {
        Status::Failed => Event::Failed { at, snapshot },
        Status::Cancelled => Event::Cancelled { at, snapshot },
        Status::Abandoned => Event::Abandoned { at, snapshot },
        Status::Finished | Status::Running => Event::Finished { at, snapshot },
    }
}
