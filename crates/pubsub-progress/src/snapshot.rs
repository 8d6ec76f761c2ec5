//! The whole state of a job at one moment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::position::Position;

/// How far a job has come, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// A worker has it.
    Running,
    /// It ended well.
    Finished,
    /// It ended with an error.
    Failed,
    /// It ended because it was asked to.
    Cancelled,
    /// Its worker let go of it without a word.
    Abandoned,
}

impl Status {
    /// Nothing follows in this attempt.
    pub fn is_end(self) -> bool {
        self != Self::Running
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let all = [Self::Running, Self::Finished, Self::Failed, Self::Cancelled, Self::Abandoned];
        all.into_iter().find(|status| status.name().as_bytes() == name)
    }
}

/// Whether a job's worker is alive, apart from whether the job gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Liveness {
    /// Its heart beats, or beat until it ended.
    Live,
    /// No heartbeat for longer than one and a half of its intervals.
    Stalled,
    /// Redis is away, so nobody knows.
    #[default]
    Unknown,
}

/// The whole state of a job at one moment. Shared by all its watchers.
///
/// As JSON its durations are seconds, and what is not known is left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The job, as its worker and its watchers call it.
    pub job: Arc<str>,
    /// Up to where the worker had come.
    pub position: Position,
    /// Which attempt this is, from 1; or the number that the worker chose.
    pub attempt: u64,
    /// Running, or how it ended.
    pub status: Status,
    /// How much is done, in units. More than the total is possible, and so is less than before.
    pub done: u64,
    /// Of how much, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// What is counted, for instance `bytes`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<Arc<str>>,
    /// The done part of the whole, from 0 to 1: by the children and their weights if there are any, and by `done` and
    /// `total` otherwise. `None` if no total is known, or it is 0.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fraction: Option<f64>,
    /// What the worker says at the moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Arc<str>>,
    /// The part of the work that it is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phase: Option<Arc<str>>,
    /// Its parts, in the order in which they were added.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub children: Vec<ChildSnapshot>,
    /// Units a second, smoothed; of the fraction, if there are children.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<f64>,
    /// How long the rest takes at this rate.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "seconds")]
    pub eta: Option<Duration>,
    /// When this attempt began, in milliseconds since 1970 by the worker's clock.
    pub started_ms: u64,
    /// When the state last changed, in milliseconds since 1970 by the worker's clock.
    pub updated_ms: u64,
    /// What the job gave back, if it finished.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Arc<str>>,
    /// It was asked to stop, and its worker knows.
    #[serde(skip_serializing_if = "is_false", default)]
    pub cancelling: bool,
    /// Redis was away when this was told: it comes from the worker's own process.
    #[serde(skip_serializing_if = "is_false", default)]
    pub degraded: bool,
    /// Whether its worker is alive, as far as was known when this was made.
    #[serde(default)]
    pub liveness: Liveness,
    /// How long ago its worker gave a sign of life, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "seconds")]
    pub heartbeat_age: Option<Duration>,
    /// How often its worker gives one.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "seconds")]
    pub heartbeat: Option<Duration>,
    #[serde(skip)]
    pub(crate) encoded: Encoded,
}

/// A part of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildSnapshot {
    /// Its name, of which a job has one only.
    pub name: Arc<str>,
    /// How much is done, in its own units.
    pub done: u64,
    /// Of how much, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// What is counted, for instance `bytes`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<Arc<str>>,
    /// Its share in the whole, beside the others'.
    pub weight: f64,
    /// The done part of it, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fraction: Option<f64>,
    /// What the worker says of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Arc<str>>,
    /// It is done, whatever was counted.
    #[serde(skip_serializing_if = "is_false", default)]
    pub finished: bool,
}

impl Snapshot {
    /// It as JSON, made once for all who ask.
    pub fn to_json(&self) -> Arc<str> {
        self.encoded.get(self)
    }
}

/// The JSON of what it is in, once somebody asked. A clone has none yet, as it is made to be changed.
#[derive(Debug, Default)]
pub(crate) struct Encoded(OnceLock<Arc<str>>);

impl Encoded {
    pub(crate) fn get(&self, of: &impl Serialize) -> Arc<str> {
        // Only maps with strange keys and failing writers could fail here.
        self.0.get_or_init(|| serde_json::to_string(of).unwrap_or_default().into()).clone()
    }
}

impl Clone for Encoded {
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A duration as seconds with their fraction.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&time.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}
