//! What is told line by line. No I/O and no clock of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::words;
use crate::event::Event;
use crate::snapshot::Snapshot;

/// Of a job's state no more than one line in so long.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Lines {
    jobs: HashMap<String, Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// When its state was last told, and what was said that is not merely a number that always moves.
    last: Option<(Instant, String)>,
    /// What is new since then.
    waiting: Option<State>,
    liveness: Option<String>,
}

#[derive(Debug)]
struct State {
    line: String,
    /// The line without rate and time left.
    gist: String,
}

impl Lines {
    /// The lines that are to be written now.
    pub(super) fn show(&mut self, job: &str, event: &Event, now: Instant) -> Vec<String> {
        let told = self.jobs.entry(job.to_owned()).or_default();
        let name = words::safe(job);
        let mut lines = Vec::new();
        match event {
            Event::Snapshot { snapshot, .. } | Event::Update { snapshot, .. } => {
                let state = State::of(&name, snapshot);
                let is_new = told.last.as_ref().is_none_or(|(_, gist)| *gist != state.gist);
                told.waiting = is_new.then_some(state);
                lines.extend(told.due(now));
            }
            Event::Log { line, .. } => lines.push(format!("{name}: {}", words::log(line))),
            Event::Liveness { liveness, heartbeat_age, .. } => {
                let mark = words::liveness(*liveness, *heartbeat_age);
                if told.liveness.is_some() || mark.is_some() {
                    let said = mark.as_deref().unwrap_or("its worker gives signs of life");
                    lines.push(format!("{name}: {said}"));
                }
                told.liveness = mark;
            }
            other => {
                // What comes after it would be older.
                told.waiting = None;
                lines.extend(words::other(other).map(|said| format!("{name}: {said}")));
            }
        }
        lines
    }

    /// What had to wait, if it has waited long enough.
    pub(super) fn due(&mut self, job: &str, now: Instant) -> Option<String> {
        self.jobs.get_mut(job)?.due(now)
    }

    pub(super) fn forget(&mut self, job: &str) {
        self.jobs.remove(job);
    }
}

impl Told {
    fn due(&mut self, now: Instant) -> Option<String> {
        if self.last.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < PAUSE) {
            return None;
        }
        let State { line, gist } = self.waiting.take()?;
        self.last = Some((now, gist));
        Some(line)
    }
}

impl State {
    fn of(name: &str, snapshot: &Snapshot) -> Self {
        let percent = words::percent(snapshot.fraction);
        let count = words::count(snapshot.done, snapshot.total, snapshot.unit.as_deref());
        // With a total it is the percentage that says whether it got on.
        let counted = percent.clone().unwrap_or_else(|| count.clone());
        let doing = words::doing(snapshot);
        let children = words::children(&snapshot.children).map(|children| format!("({children})"));
        let attempt = (snapshot.attempt > 1).then(|| format!("attempt {}", snapshot.attempt));
        let marks = words::marks(snapshot, None);
        let moving = [words::rate(snapshot), words::left(snapshot)];

        let first: Vec<_> =
            attempt.into_iter().chain(percent).chain((!count.is_empty()).then_some(count)).collect();
        let mut parts = vec![first.join(" ")];
        parts.extend(moving.into_iter().flatten());
        parts.extend(doing.clone());
        parts.retain(|part| !part.is_empty());
        let mut line = parts.join(", ");
        for more in children.iter().chain(&marks) {
            line.push(' ');
            line += more;
        }
        if line.is_empty() {
            "running".clone_into(&mut line);
        }
        let gist = format!("{counted}|{doing:?}|{children:?}|{marks:?}|{}", snapshot.attempt);
        Self { line: format!("{name}: {}", line.trim_start()), gist }
    }
}
