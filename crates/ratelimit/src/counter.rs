//! A number that only grows, and its like for whichever recorder of metrics the program has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters by their names as fields of what users see, each with its metric.
macro_rules! counters {
    ($counters:ident for $stats:ident {
        $($field:ident: $metric:literal $(, $label:literal => $value:literal)* $text:literal;)*
    }) => {
        #[derive(Debug)]
        pub(crate) struct $counters { $(pub(crate) $field: crate::counter::Counter,)* }

        impl $counters {
            pub(crate) fn new(limiter: &str) -> Self {
                $(#[cfg(feature = "metrics")]
                metrics::describe_counter!($metric, metrics::Unit::Count, $text);)*
                let counter = |metric, labels: &[_]| crate::counter::Counter::new(limiter, metric, labels);
                Self { $($field: counter($metric, &[$(($label, $value)),*]),)* }
            }

            pub(crate) fn stats(&self) -> $stats {
                $stats { $($field: self.$field.count(),)* ..$stats::default() }
            }
        }
    };
}
pub(crate) use counters;

/// Threads count beside each other: at one number they would wait for one another.
pub(crate) const LANES: usize = 8;

#[derive(Default)]
#[repr(align(64))]
struct Lane(AtomicU64);

thread_local! {
    /// More than there are, until the thread has one: so a look at it is a look, and no call.
    static LANE: Cell<usize> = const { Cell::new(LANES) };
}

/// Which of the lanes is this thread's.
#[inline]
pub(crate) fn lane() -> usize {
    let lane = LANE.get();
    if lane < LANES { lane } else { first_lane() }
}

#[cold]
fn first_lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let lane = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
    LANE.set(lane);
    lane
}

pub(crate) struct Counter {
    lanes: [Lane; LANES],
    #[cfg(feature = "metrics")]
    metric: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are for the feature"))]
    pub(crate) fn new(limiter: &str, name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        #[cfg(feature = "metrics")]
        let metric = {
            let mut all = vec![metrics::Label::new("limiter", limiter.to_owned())];
            all.extend(labels.iter().map(|(name, value)| metrics::Label::new(*name, *value)));
            metrics::counter!(name, all)
        };
        Self {
            lanes: Default::default(),
            #[cfg(feature = "metrics")]
            metric,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }

    #[inline]
    pub(crate) fn one(&self) {
        self.add(1);
    }

    #[inline]
    pub(crate) fn add(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.lanes[lane()].0.fetch_add(count as u64, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.metric.increment(count as u64);
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.count().fmt(f)
    }
}
