//! What a limiter of holders counts.

use serde::Serialize;

use crate::counter::counters;

/// What a [`ConcurrencyLimiter`](super::ConcurrencyLimiter) has done in this process since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ConcurrencyStats {
    /// Permits that Redis gave.
    pub redis_granted: u64,
    /// Looks that found as many holders in Redis as may be. Who waits looks many times.
    pub redis_full: u64,
    /// Permits that this process gave of its share, because Redis did not answer in time.
    pub fallback_granted: u64,
    /// Looks that found its share taken meanwhile.
    pub fallback_full: u64,
    /// Permits given because Redis did not answer in time.
    pub open: u64,
    /// Calls refused because Redis did not answer in time.
    pub closed: u64,
    /// Looks that Redis did not answer within the limiter's time limit.
    pub misses: u64,
    /// Looks that failed otherwise: Redis was away, or answered with an error.
    pub failures: u64,
    /// How often the limiter stopped asking Redis for a second.
    pub pauses: u64,
    /// Renewals that Redis did not answer. They are tried again for as long as the permit lasts.
    pub unrenewed: u64,
    /// Permits that were held and lost.
    pub lost: u64,
    /// Permits that are out at this moment, those of which Redis does not know, and those that were lost, included.
    pub out: u64,
}

counters! {
    Counters for ConcurrencyStats {
        redis_granted: "cenote_concurrency_looks_total", "source" => "redis", "outcome" => "granted" "Looks for a free permit, by who answered and what";
        redis_full: "cenote_concurrency_looks_total", "source" => "redis", "outcome" => "full" "Looks for a free permit, by who answered and what";
        fallback_granted: "cenote_concurrency_looks_total", "source" => "fallback", "outcome" => "granted" "Looks for a free permit, by who answered and what";
        fallback_full: "cenote_concurrency_looks_total", "source" => "fallback", "outcome" => "full" "Looks for a free permit, by who answered and what";
        open: "cenote_concurrency_looks_total", "source" => "open", "outcome" => "granted" "Looks for a free permit, by who answered and what";
        closed: "cenote_concurrency_looks_total", "source" => "closed", "outcome" => "unavailable" "Looks for a free permit, by who answered and what";
        misses: "cenote_concurrency_misses_total" "Calls that Redis did not answer within the limiter's limit";
        failures: "cenote_concurrency_failures_total" "Calls that failed otherwise: Redis was away, or answered with an error";
        pauses: "cenote_concurrency_pauses_total" "How often the limiter stopped asking Redis for a second";
        unrenewed: "cenote_concurrency_unrenewed_total" "Renewals that Redis did not answer";
        lost: "cenote_concurrency_lost_total" "Permits that were held and lost";
    }
}
