//! What a limiter counts.

use serde::Serialize;

use crate::counter::counters;

/// What a limiter has done since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that Redis allowed.
    pub redis_allowed: u64,
    /// Calls that Redis refused.
    pub redis_refused: u64,
    /// Calls that this process allowed at its share, because Redis did not answer in time.
    pub fallback_allowed: u64,
    /// Calls that this process refused at its share.
    pub fallback_refused: u64,
    /// Calls allowed of a lease, without asking Redis.
    pub leased: u64,
    /// Calls refused without asking Redis, which had refused the same.
    pub blocked_locally: u64,
    /// Calls allowed because Redis did not answer in time.
    pub open: u64,
    /// Calls refused because Redis did not answer in time.
    pub closed: u64,
    /// Of the refused, those allowed by shadow mode.
    pub shadowed: u64,
    /// Calls that Redis did not answer within the limiter's time limit.
    pub misses: u64,
    /// Calls that failed otherwise: Redis was away, or answered with an error.
    pub failures: u64,
    /// How often the limiter stopped asking Redis for a second.
    pub pauses: u64,
    /// Local decisions for keys that shared a bucket, because the table was full of debts.
    pub overflows: u64,
    /// Refunds and settlements that did not reach Redis. They are not repeated.
    pub unsettled: u64,
    /// Keys in the local table at this moment.
    pub fallback_keys: u64,
    /// Keys of which this process holds a lease, those that have just ended included.
    pub leased_keys: u64,
    /// Refusals remembered at this moment, those that no longer hold included.
    pub blocked_keys: u64,
}

counters! {
    Counters for Stats {
        redis_allowed: "cenote_ratelimit_decisions_total", "source" => "redis", "outcome" => "allowed" "Decisions, by who made them and which";
        redis_refused: "cenote_ratelimit_decisions_total", "source" => "redis", "outcome" => "refused" "Decisions, by who made them and which";
        fallback_allowed: "cenote_ratelimit_decisions_total", "source" => "fallback", "outcome" => "allowed" "Decisions, by who made them and which";
        fallback_refused: "cenote_ratelimit_decisions_total", "source" => "fallback", "outcome" => "refused" "Decisions, by who made them and which";
        leased: "cenote_ratelimit_decisions_total", "source" => "lease", "outcome" => "allowed" "Decisions, by who made them and which";
        blocked_locally: "cenote_ratelimit_decisions_total", "source" => "blocked-locally", "outcome" => "refused" "Decisions, by who made them and which";
        open: "cenote_ratelimit_decisions_total", "source" => "open", "outcome" => "allowed" "Decisions, by who made them and which";
        closed: "cenote_ratelimit_decisions_total", "source" => "closed", "outcome" => "refused" "Decisions, by who made them and which";
        shadowed: "cenote_ratelimit_shadowed_total" "Calls that shadow mode allowed and a limit would have refused";
        misses: "cenote_ratelimit_misses_total" "Calls that Redis did not answer within the limiter's limit";
        failures: "cenote_ratelimit_failures_total" "Calls that failed otherwise: Redis was away, or answered with an error";
        pauses: "cenote_ratelimit_pauses_total" "How often the limiter stopped asking Redis for a second";
        overflows: "cenote_ratelimit_overflows_total" "Local decisions for keys that shared a bucket because the table was full";
        unsettled: "cenote_ratelimit_unsettled_total" "Refunds and settlements that did not reach Redis";
    }
}
