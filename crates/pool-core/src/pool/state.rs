//! What a pool is, at this moment, to those who only watch.

use std::time::SystemTime;

/// The stages of a pool's life: `Idle -> Connecting -> Ready <-> Degraded -> Closed`, or `Embedded`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Built, and not used yet: nothing was dialled.
    Idle,
    /// The first connection is being made.
    Connecting,
    /// Redis answered, and nothing says that it would not answer now.
    Ready,
    /// Redis does not answer. Strict calls fail fast; the pool tries again by itself.
    Degraded {
        /// Since when.
        since: SystemTime,
        /// Why, in words; it names the address, never a password.
        cause: String,
    },
    /// There is no Redis, by choice: the fallback answers everything it serves.
    Embedded,
    /// Closed for good.
    Closed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl State {
    /// The stage's name in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Degraded { .. } => "degraded",
            Self::Embedded => "embedded",
            Self::Closed => "closed",
        }
    }
}
