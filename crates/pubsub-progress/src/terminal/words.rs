//! What is said of a job, in words.

use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount, HumanDuration};

use crate::event::{Event, Level, LogLine};
use crate::job::tame;
use crate::snapshot::{ChildSnapshot, Liveness, Snapshot};

/// A line is shown up to here.
const LINE: usize = 8 << 10;
/// How many children a line names.
const CHILDREN: usize = 4;

/// Text of others without what could move the cursor, and on one line. Workers of ours send no other; but anybody who may
/// publish can send anything. What was replaced is a `?`: terminals do not agree on how wide U+FFFD is.
pub(super) fn safe(text: &str) -> String {
    tame(text, LINE).replace('\u{FFFD}', "?")
}

/// `450/1,000 rows`; `12 rows` without a total; empty if nothing was counted.
pub(super) fn count(done: u64, total: Option<u64>, unit: Option<&str>) -> String {
    let (total, unit) = (total.filter(|total| *total > 0), unit.map(safe));
    if done == 0 && total.is_none() {
        return String::new();
    }
    let is_bytes = matches!(unit.as_deref(), Some("bytes" | "B"));
    let number = |n: u64| if is_bytes { DecimalBytes(n).to_string() } else { HumanCount(n).to_string() };
    let mut text = number(done);
    if let Some(total) = total {
        text = format!("{text}/{}", number(total));
    }
    match unit {
        Some(unit) if !is_bytes => format!("{text} {unit}"),
        _ => text,
    }
}

/// `45 %`, and never 100 before all is done.
pub(super) fn percent(fraction: Option<f64>) -> Option<String> {
    fraction.map(|fraction| format!("{:.0} %", (fraction.clamp(0.0, 1.0) * 100.0).floor()))
}

/// `120 rows/s`, or nothing. With children it is the whole that gets on, which is told by what is left.
pub(super) fn rate(snapshot: &Snapshot) -> Option<String> {
    let rate =
        snapshot.rate.filter(|rate| rate.is_finite() && *rate > 0.0 && snapshot.children.is_empty())?;
    let unit = snapshot.unit.as_deref();
    if matches!(unit, Some("bytes" | "B")) {
        return Some(format!("{}/s", DecimalBytes(rate as u64)));
    }
    let number = if rate < 10.0 { format!("{rate:.1}") } else { HumanCount(rate as u64).to_string() };
    Some(unit.map_or_else(|| format!("{number}/s"), |unit| format!("{number} {}/s", safe(unit))))
}

/// `12 s left`, while it is known.
pub(super) fn left(snapshot: &Snapshot) -> Option<String> {
    let eta = snapshot.eta.filter(|_| !snapshot.status.is_end())?;
    Some(format!("{} left", time(eta)))
}

/// In two units at most: `12 s`, `3 min 5 s`, `2 h 10 min`, and words from a day on.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => HumanDuration(time).to_string(),
    }
}

/// Phase and message.
pub(super) fn doing(snapshot: &Snapshot) -> Option<String> {
    let [phase, message] = [&snapshot.phase, &snapshot.message].map(|text| text.as_deref().map(safe));
    match (phase, message) {
        (Some(phase), Some(message)) => Some(format!("{phase}: {message}")),
        (phase, message) => phase.or(message),
    }
}

/// What is out of the ordinary, in brackets.
pub(super) fn marks(snapshot: &Snapshot, liveness: Option<&str>) -> Vec<String> {
    let marks = [
        liveness,
        snapshot.cancelling.then_some("stopping"),
        snapshot.degraded.then_some("Redis is away: told by its own process"),
    ];
    marks.into_iter().flatten().map(|mark| format!("[{mark}]")).collect()
}

/// That a worker is stalled, or that nobody knows.
pub(super) fn liveness(liveness: Liveness, age: Option<Duration>) -> Option<String> {
    match (liveness, age) {
        (Liveness::Live, _) => None,
        (Liveness::Stalled, Some(age)) => Some(format!("stalled: no sign of life for {}", time(age))),
        (Liveness::Stalled, None) => Some("stalled: no sign of life".to_owned()),
        (Liveness::Unknown, _) => Some("Redis is away: nobody knows whether it lives".to_owned()),
    }
}

/// Those that are not done, the first few.
pub(super) fn children(children: &[ChildSnapshot]) -> Option<String> {
    let open: Vec<_> = children.iter().filter(|child| !is_done(child)).collect();
    if open.is_empty() {
        return None;
    }
    let mut words: Vec<_> = open.iter().take(CHILDREN).map(|child| self::child(child)).collect();
    if open.len() > CHILDREN {
        words.push(format!("{} more", open.len() - CHILDREN));
    }
    Some(words.join(", "))
}

pub(super) fn is_done(child: &ChildSnapshot) -> bool {
    child.finished || child.fraction.is_some_and(|fraction| fraction >= 1.0)
}

fn child(child: &ChildSnapshot) -> String {
    let name = safe(&child.name);
    match percent(child.fraction) {
        Some(percent) => format!("{name} {percent}"),
        None => format!("{name} {}", count(child.done, None, child.unit.as_deref())).trim_end().to_owned(),
    }
}

pub(super) fn log(line: &LogLine) -> String {
    let text = safe(&line.text);
    match line.level {
        Level::Info => text,
        Level::Warning => format!("warning: {text}"),
        Level::Phase => format!("phase: {text}"),
    }
}

/// The end, or what else is no state and no line.
pub(super) fn other(event: &Event) -> Option<String> {
    let said = |text: Option<String>| text.map_or_else(String::new, |text| format!(": {text}"));
    let after = |snapshot: &Snapshot| {
        time(Duration::from_millis(snapshot.updated_ms.saturating_sub(snapshot.started_ms)))
    };
    Some(match event {
        Event::Pending { .. } => "not known yet: waiting for it".to_owned(),
        Event::Gap { from, to, .. } => format!("lines {from} to {to} of its log are not to be had any more"),
        Event::Finished { snapshot, .. } => {
            let result = snapshot.result.as_ref().filter(|result| !result.is_null());
            let result = result.map(|it| safe(&it.as_str().map_or_else(|| it.to_string(), str::to_owned)));
            format!("finished after {}{}", after(snapshot), said(result))
        }
        Event::Failed { snapshot, .. } => {
            format!("failed after {}{}", after(snapshot), said(snapshot.error.as_deref().map(safe)))
        }
        Event::Cancelled { snapshot, .. } => format!("cancelled after {}", after(snapshot)),
        Event::Abandoned { snapshot, .. } => {
            format!("abandoned after {}: its worker let go of it without a word", after(snapshot))
        }
        Event::Lost { .. } => {
            "lost: its record is gone from Redis, and no worker gives a sign of life".to_owned()
        }
        Event::Snapshot { .. } | Event::Update { .. } | Event::Log { .. } | Event::Liveness { .. } => {
            return None;
        }
    })
}
