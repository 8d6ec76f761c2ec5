//! What a watcher is told.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::snapshot::{Encoded, Liveness, Snapshot};

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// An ordinary line.
    #[default]
    Info,
    /// Something to look at.
    Warning,
    /// A phase began; the text is its name.
    Phase,
}

/// One line of a job's log. Shared by all its watchers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// Its number, dense from 1 in each attempt.
    pub seq: u64,
    /// What kind of line it is.
    pub level: Level,
    /// The text, of one line and without control characters.
    pub text: Arc<str>,
    /// When, in milliseconds since 1970 by the worker's clock.
    pub at_ms: u64,
    #[serde(skip)]
    pub(crate) encoded: Encoded,
}

impl LogLine {
    /// It as JSON, made once for all who ask.
    pub fn to_json(&self) -> Arc<str> {
        self.encoded.get(self)
    }
}

/// One thing that a [`Watch`](crate::Watch) tells.
///
/// Each has a position: all that was told up to and including this event. A watch that begins there
/// ([`watch_from`](crate::Progress::watch_from)) goes on where this one was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Nobody knows of the job yet. Comes first, if it comes.
    Pending {
        /// Up to where.
        at: Position,
    },
    /// The present state: where the watch begins, after a gap, or when a new attempt began. Of a job that has ended its
    /// position is before the end, which follows.
    Snapshot {
        /// Up to where.
        at: Position,
        /// The state.
        snapshot: Arc<Snapshot>,
    },
    /// The state has changed. Versions grow, and a slow watcher sees the latest only.
    Update {
        /// Up to where.
        at: Position,
        /// The state.
        snapshot: Arc<Snapshot>,
    },
    /// A line of the log: the one after the last, unless a gap was told.
    Log {
        /// Up to where.
        at: Position,
        /// The line.
        line: Arc<LogLine>,
    },
    /// These lines of the log are no longer to be had: the first and the last of them. A snapshot follows.
    Gap {
        /// Up to where.
        at: Position,
        /// The first line that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The worker's heart has stopped, beats again, or nobody knows.
    Liveness {
        /// Up to where.
        at: Position,
        /// Which of them.
        liveness: Liveness,
        /// How long ago its worker gave a sign of life, by the server's clock.
        heartbeat_age: Option<Duration>,
    },
    /// The end: it finished, and the snapshot has its result.
    Finished {
        /// Up to where.
        at: Position,
        /// The last state.
        snapshot: Arc<Snapshot>,
    },
    /// The end: it failed, and the snapshot has the error.
    Failed {
        /// Up to where.
        at: Position,
        /// The last state.
        snapshot: Arc<Snapshot>,
    },
    /// The end: it was asked to stop, and did.
    Cancelled {
        /// Up to where.
        at: Position,
        /// The last state.
        snapshot: Arc<Snapshot>,
    },
    /// The end: its worker let go of it without a word.
    Abandoned {
        /// Up to where.
        at: Position,
        /// The last state.
        snapshot: Arc<Snapshot>,
    },
    /// The end: its record is gone from Redis, and no worker gives a sign of life.
    Lost {
        /// Up to where.
        at: Position,
        /// The last state that was seen, if any was.
        snapshot: Option<Arc<Snapshot>>,
    },
}

impl Event {
    /// All that was told up to and including this event.
    pub fn position(&self) -> Position {
        match self {
            Self::Pending { at }
            | Self::Snapshot { at, .. }
            | Self::Update { at, .. }
            | Self::Log { at, .. }
            | Self::Gap { at, .. }
            | Self::Liveness { at, .. }
            | Self::Finished { at, .. }
            | Self::Failed { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Abandoned { at, .. }
            | Self::Lost { at, .. } => *at,
        }
    }

    /// The state, where the event has one.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Snapshot { snapshot, .. }
            | Self::Update { snapshot, .. }
            | Self::Finished { snapshot, .. }
            | Self::Failed { snapshot, .. }
            | Self::Cancelled { snapshot, .. }
            | Self::Abandoned { snapshot, .. } => Some(snapshot),
            Self::Lost { snapshot, .. } => snapshot.as_ref(),
            Self::Pending { .. } | Self::Log { .. } | Self::Gap { .. } | Self::Liveness { .. } => None,
        }
    }

    /// Nothing follows it.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Finished { .. }
                | Self::Failed { .. }
                | Self::Cancelled { .. }
                | Self::Abandoned { .. }
                | Self::Lost { .. }
        )
    }

    /// Its name in lower case, as in an SSE stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Snapshot { .. } => "snapshot",
            Self::Update { .. } => "update",
            Self::Log { .. } => "log",
            Self::Gap { .. } => "gap",
            Self::Liveness { .. } => "liveness",
            Self::Finished { .. } => "finished",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Abandoned { .. } => "abandoned",
            Self::Lost { .. } => "lost",
        }
    }

    /// What it says as JSON, without its position: the snapshot, the line, or the few words of the others. Snapshots
    /// and lines are encoded once for all watchers.
    pub fn to_json(&self) -> Arc<str> {
        match self {
            Self::Log { line, .. } => line.to_json(),
            Self::Gap { from, to, .. } => format!(r#"{{"from":{from},"to":{to}}}"#).into(),
            Self::Liveness { liveness, heartbeat_age, .. } => {
                let age = heartbeat_age.map(|age| age.as_secs_f64());
                serde_json::json!({ "liveness": liveness, "heartbeat_age": age }).to_string().into()
            }
            other => other.snapshot().map_or_else(|| "{}".into(), |snapshot| snapshot.to_json()),
        }
    }
}
