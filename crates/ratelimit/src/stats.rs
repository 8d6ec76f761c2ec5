//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

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

macro_rules! counters {
    ($($field:ident: $metric:literal $(, $label:literal => $value:literal)*;)*) => {
        #[derive(Debug)]
        pub(crate) struct Counters { $(pub(crate) $field: Counter,)* }

        impl Counters {
            pub(crate) fn new(limiter: &str) -> Self {
                Self { $($field: Counter::new(limiter, $metric, &[$(($label, $value)),*]),)* }
            }

            pub(crate) fn stats(&self) -> Stats {
                Stats { $($field: self.$field.count.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    redis_allowed: "cenote_ratelimit_decisions_total", "source" => "redis", "outcome" => "allowed";
    redis_refused: "cenote_ratelimit_decisions_total", "source" => "redis", "outcome" => "refused";
    fallback_allowed: "cenote_ratelimit_decisions_total", "source" => "fallback", "outcome" => "allowed";
    fallback_refused: "cenote_ratelimit_decisions_total", "source" => "fallback", "outcome" => "refused";
    leased: "cenote_ratelimit_decisions_total", "source" => "lease", "outcome" => "allowed";
    blocked_locally: "cenote_ratelimit_decisions_total", "source" => "blocked-locally", "outcome" => "refused";
    open: "cenote_ratelimit_decisions_total", "source" => "open", "outcome" => "allowed";
    closed: "cenote_ratelimit_decisions_total", "source" => "closed", "outcome" => "refused";
    shadowed: "cenote_ratelimit_shadowed_total";
    misses: "cenote_ratelimit_misses_total";
    failures: "cenote_ratelimit_failures_total";
    pauses: "cenote_ratelimit_pauses_total";
    overflows: "cenote_ratelimit_overflows_total";
    unsettled: "cenote_ratelimit_unsettled_total";
}

pub(crate) struct Counter {
    count: AtomicU64,
    #[cfg(feature = "metrics")]
    metric: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are for the feature"))]
    fn new(limiter: &str, name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        #[cfg(feature = "metrics")]
        let metric = {
            let mut all = vec![metrics::Label::new("limiter", limiter.to_owned())];
            all.extend(labels.iter().map(|(name, value)| metrics::Label::new(*name, *value)));
            metrics::counter!(name, all)
        };
        Self {
            count: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            metric,
        }
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.metric.increment(count as u64);
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.count.fmt(f)
    }
}
