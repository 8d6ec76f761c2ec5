//! What the reports and watches of a process count.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a [`Progress`](crate::Progress) has done since its process made it; all of one pool, one namespace and the same
/// settings count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Reports that Redis took: of a start, a state, lines or an end.
    pub published: u64,
    /// Reports that Redis had already, which is success: most are the signs of life of jobs that are quiet.
    pub duplicates: u64,
    /// Changes of a state that were told with a later one, and not by themselves.
    pub coalesced: u64,
    /// Reports that Redis did not answer, or answered with an error.
    pub failures: u64,
    /// Reports of a job whose last one had failed.
    pub retries: u64,
    /// Jobs that were refused here, at their start or later, because another attempt has them or they have ended.
    pub fenced: u64,
    /// Ends, and calls of `flush`, that Redis was yet to be told of when the call returned.
    pub pending: u64,
    /// Messages about watched jobs that had something new.
    pub messages: u64,
    /// Gaps in logs that watchers were told.
    pub gaps: u64,
    /// Watched jobs that were read whole from Redis: at their first watch, after a loss of the connection, and when
    /// something was missing.
    pub loads: u64,
    /// Of these, those that were read because the look at all watched jobs found what no message had told.
    pub repairs: u64,
    /// How often a watched job was found to be stalled.
    pub stalls: u64,
    /// Watched jobs that were found to be lost.
    pub lost: u64,
    /// How often the connection that listens was back after a loss.
    pub reconnects: u64,
    /// How often messages were dropped because they came faster than they were taken. What they told was read instead.
    pub lagged: u64,
    /// Jobs of this process that run at this moment.
    pub jobs: u64,
    /// Jobs of this process that have ended and are kept, to be told anew if Redis is emptied.
    pub ended_jobs: u64,
    /// Watches in this process at this moment.
    pub watchers: u64,
    /// Jobs that are listened to at this moment, those that nobody watches any more included.
    pub watched_jobs: u64,
    /// Of these, those that are stalled.
    pub stalled_jobs: u64,
}

macro_rules! counters {
    ($($field:ident: $metric:literal $(, $label:literal => $value:literal)? $text:literal;)*) => {
        #[derive(Debug)]
        pub(crate) struct Counters { $(pub(crate) $field: Counter,)* }

        impl Counters {
            pub(crate) fn new(namespace: &str) -> Self {
                $(#[cfg(feature = "metrics")]
                metrics::describe_counter!($metric, metrics::Unit::Count, $text);)*
                Self { $($field: Counter::new(namespace, $metric, &[$(($label, $value))?]),)* }
            }

            pub(crate) fn stats(&self) -> Stats {
                Stats { $($field: self.$field.count.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    published: "cenote_progress_reports_total", "outcome" => "published" "Reports to Redis, by what became of them";
    duplicates: "cenote_progress_reports_total", "outcome" => "duplicate" "Reports to Redis, by what became of them";
    failures: "cenote_progress_reports_total", "outcome" => "failed" "Reports to Redis, by what became of them";
    coalesced: "cenote_progress_coalesced_total" "Changes that were told with a later one";
    retries: "cenote_progress_retries_total" "Reports of a job whose last one had failed";
    fenced: "cenote_progress_fenced_total" "Jobs that were refused because another attempt has them or they have ended";
    pending: "cenote_progress_pending_total" "Ends and flushes of which Redis was yet to be told when the call returned";
    messages: "cenote_progress_deliveries_total" "Messages about watched jobs that had something new";
    gaps: "cenote_progress_gaps_total" "Gaps in logs that watchers were told";
    loads: "cenote_progress_loads_total" "Watched jobs that were read whole from Redis";
    repairs: "cenote_progress_repairs_total" "Loads that found what no message had told";
    stalls: "cenote_progress_stalls_total" "How often a watched job was found to be stalled";
    lost: "cenote_progress_lost_total" "Watched jobs that were found to be lost";
    reconnects: "cenote_progress_reconnects_total" "How often the connection that listens was back after a loss";
    lagged: "cenote_progress_lagged_total" "How often messages came faster than they were taken";
}

pub(crate) struct Counter {
    count: AtomicU64,
    #[cfg(feature = "metrics")]
    metric: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are for the feature"))]
    fn new(namespace: &str, name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        #[cfg(feature = "metrics")]
        let metric = {
            let mut all = vec![metrics::Label::new("namespace", namespace.to_owned())];
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

    pub(crate) fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.metric.increment(count);
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.count.load(Ordering::Relaxed).fmt(f)
    }
}
