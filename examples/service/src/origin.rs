//! Where an answer came from, as the answers say it.

use std::time::Duration;

use cenote::{Lookup, Tier};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// This process's memory, of which Redis tells every change.
    L1,
    Redis,
    /// This process's memory, as Redis is away, or as there is none.
    Fallback,
    /// No cache had it, or none could be asked: it was computed.
    Computed,
    /// The same for what the billing system has.
    Billing,
}

/// Part of an answer.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Origin {
    source: Source,
    /// Past its ttl; it is loaded anew behind this answer.
    stale: bool,
    age_ms: u64,
}

impl Origin {
    /// That of what a loader brought just now, for this request or for another that asked at the same time.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, stale: false, age_ms: 0 }
    }

    /// That of what was found; where a loader had to be asked, it is `loader`.
    pub(crate) fn of<V>(found: &Lookup<V>, loader: Source) -> Self {
        let source = match found.tier() {
            Tier::L1 => Source::L1,
            Tier::L2 => Source::Redis,
            Tier::Fallback => Source::Fallback,
            _ => loader,
        };
        let age = match found {
            Lookup::Hit(found) | Lookup::Stale(found) => found.age,
            Lookup::Absent { age, .. } => *age,
            _ => Duration::ZERO,
        };
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self { source, stale: matches!(found, Lookup::Stale(_)), age_ms }
    }
}
