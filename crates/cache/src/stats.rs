//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a cache has done since its process made it; all caches of one namespace on one pool count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that L1 answered.
    pub l1_hits: u64,
    /// Reads that Redis answered with a value within its ttl.
    pub l2_hits: u64,
    /// Reads that the fallback answered.
    pub fallback_hits: u64,
    /// Reads answered with a value past its ttl.
    pub stale_hits: u64,
    /// Reads answered with the knowledge that there is nothing.
    pub absent_hits: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Loaders that were run.
    pub loads: u64,
    /// Of these, those that failed, panicked, or were ended at their hard limit.
    pub load_failures: u64,
    /// Callers that waited for the loader of another.
    pub coalesced: u64,
    /// Loads begun behind a value that is stale or about to be.
    pub refreshes: u64,
    /// Loads whose result was not stored, because the key was written or removed meanwhile, it could not be encoded,
    /// a tag was wrong, or Redis would not.
    pub not_stored: u64,
    /// Values that could not be read.
    pub corrupt: u64,
    /// Keys that Redis told to have changed; what this process changes, and the fences of loads, count too.
    pub invalidations: u64,
    /// Writes and removals that Redis was yet to be told of when the call returned.
    pub pending: u64,
    /// Entries that L1 dropped for want of room.
    pub l1_evictions: u64,
    /// Entries in L1 at this moment, those that no longer hold included.
    pub l1_entries: u64,
    /// Their values' bytes as encoded.
    pub l1_bytes: u64,
    /// Keys of the pool, of all its caches and connections, that Redis must still be told to forget: values, their
    /// fences, and what stands for a whole namespace.
    pub journal_keys: u64,
}

macro_rules! counters {
    ($($field:ident: $metric:literal $(, $label:literal => $value:literal)? $text:literal;)*) => {
        #[derive(Debug)]
        pub(crate) struct Counters {
            pub(crate) load_time: Timer,
            $(pub(crate) $field: Counter,)*
        }

        impl Counters {
            pub(crate) fn new(title: &str) -> Self {
                $(#[cfg(feature = "metrics")]
                metrics::describe_counter!($metric, metrics::Unit::Count, $text);)*
                Self {
                    load_time: Timer::new(title),
                    $($field: Counter::new(title, $metric, &[$(($label, $value))?]),)*
                }
            }

            pub(crate) fn stats(&self) -> Stats {
                Stats { $($field: self.$field.get(),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    l1_hits: "cenote_cache_hits_total", "tier" => "l1" "Reads answered with a value within its ttl, by the tier that had it";
    l2_hits: "cenote_cache_hits_total", "tier" => "l2" "Reads answered with a value within its ttl, by the tier that had it";
    fallback_hits: "cenote_cache_hits_total", "tier" => "fallback" "Reads answered with a value within its ttl, by the tier that had it";
    stale_hits: "cenote_cache_stale_hits_total" "Reads answered with a value past its ttl";
    absent_hits: "cenote_cache_absent_hits_total" "Reads answered with the knowledge that there is nothing";
    misses: "cenote_cache_misses_total" "Reads that found nothing";
    loads: "cenote_cache_loads_total" "Loaders that were run";
    load_failures: "cenote_cache_load_failures_total" "Loaders that failed, panicked or were ended at their hard limit";
    coalesced: "cenote_cache_coalesced_total" "Callers that waited for the loader of another";
    refreshes: "cenote_cache_refreshes_total" "Loads begun behind a value that is stale or about to be";
    not_stored: "cenote_cache_not_stored_total" "Loads whose result was not stored";
    corrupt: "cenote_cache_corrupt_total" "Values that could not be read";
    invalidations: "cenote_cache_invalidations_total" "Keys that Redis told to have changed";
    pending: "cenote_cache_pending_total" "Writes and removals of which Redis was yet to be told when the call returned";
    l1_evictions: "cenote_cache_l1_evictions_total" "Entries that L1 dropped for want of room";
}

pub(crate) struct Counter {
    count: AtomicU64,
    #[cfg(feature = "metrics")]
    metric: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are for the feature"))]
    fn new(title: &str, name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        #[cfg(feature = "metrics")]
        let metric = {
            let mut all = vec![metrics::Label::new("cache", title.to_owned())];
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

    /// One that is counted elsewhere, under a lock that is held anyway.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "told to the feature alone"))]
    pub(crate) fn tell(&self, count: usize) {
        #[cfg(feature = "metrics")]
        if count > 0 {
            self.metric.increment(count as u64);
        }
    }

    fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// How long something took, for the feature alone.
#[derive(Debug)]
pub(crate) struct Timer {
    #[cfg(feature = "metrics")]
    metric: metrics::Histogram,
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "times are for the feature"))]
impl Timer {
    fn new(title: &str) -> Self {
        #[cfg(feature = "metrics")]
        metrics::describe_histogram!(
            "cenote_cache_load_duration_seconds",
            metrics::Unit::Seconds,
            "Time of loaders, failed ones included"
        );
        Self {
            #[cfg(feature = "metrics")]
            metric: metrics::histogram!("cenote_cache_load_duration_seconds", "cache" => title.to_owned()),
        }
    }

    pub(crate) fn took(&self, time: std::time::Duration) {
        #[cfg(feature = "metrics")]
        self.metric.record(time);
    }
}
