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
    ($($field:ident),*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $field: Counter,)* }

        impl Counters {
            pub(crate) fn stats(&self) -> Stats {
                Stats { $($field: self.$field.0.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    published, duplicates, coalesced, failures, retries, fenced, pending, messages, gaps, loads, repairs, stalls, lost,
    reconnects, lagged
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
