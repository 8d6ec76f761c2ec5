//! What whichever recorder was there when the pool was built hears of it, by the facade `metrics`.
//!
//! All pools of a process count into the same numbers: a gauge is raised and lowered and never set, and what a pool has
//! raised it lowers when it goes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use redis::Value;

use super::Operation;
use super::operation::Form;
use crate::command::{Payload, known_name, known_names, merely_reads};

const DURATION: &str = "cenote_command_duration_seconds";
const ERRORS: &str = "cenote_command_errors_total";

/// `None` where there is no recorder: a call then asks nothing more.
#[derive(Clone, Default)]
pub(crate) struct Meters(Option<Arc<Inner>>);

/// Counts as one for as long as it lives.
pub(crate) struct Counted(Option<Gauge>);

macro_rules! meters {
    ($($field:ident: $kind:ident $name:literal $({ $label:literal = $value:literal })? $unit:ident $text:literal;)*) => {
        struct Inner {
            /// By the place of the command's name; one for all others, for pipelines, and for transactions.
            durations: Box<[OnceLock<Histogram>]>,
            connections: usize,
            journal_keys_told: AtomicUsize,
            journal_bytes_told: AtomicUsize,
            breaker_is_open: AtomicBool,
            credentials_are_refused: AtomicBool,
            sentinel_is_heard: AtomicBool,
            $($field: $kind,)*
        }

        impl Inner {
            fn new(connections: usize) -> Self {
                metrics::describe_histogram!(DURATION, Unit::Seconds, "Time of a call, from its beginning to its reply or error");
                metrics::describe_counter!(ERRORS, Unit::Count, "Calls that failed, and those whose caller did not wait, by what was wrong");
                $(meters!(@describe $kind $name $unit $text);)*
                let durations = (0..known_names() + 3).map(|_| OnceLock::new()).collect();
                Self {
                    durations,
                    connections,
                    journal_keys_told: AtomicUsize::new(0),
                    journal_bytes_told: AtomicUsize::new(0),
                    breaker_is_open: AtomicBool::new(false),
                    credentials_are_refused: AtomicBool::new(false),
                    sentinel_is_heard: AtomicBool::new(false),
                    $($field: meters!(@make $kind $name $($label $value)?),)*
                }
            }
        }
    };
    (@describe Counter $name:literal $unit:ident $text:literal) => { metrics::describe_counter!($name, Unit::$unit, $text) };
    (@describe Gauge $name:literal $unit:ident $text:literal) => { metrics::describe_gauge!($name, Unit::$unit, $text) };
    (@describe Histogram $name:literal $unit:ident $text:literal) => { metrics::describe_histogram!($name, Unit::$unit, $text) };
    (@make Counter $name:literal $($label:literal $value:literal)?) => { metrics::counter!($name $(, $label => $value)?) };
    (@make Gauge $name:literal) => { metrics::gauge!($name) };
    (@make Histogram $name:literal) => { metrics::histogram!($name) };
}

meters! {
    in_flight: Gauge "cenote_commands_in_flight" Count "Calls under way";
    retries: Counter "cenote_retries_total" Count "Attempts after the first of a call";
    queue_wait: Histogram "cenote_queue_wait_seconds" Seconds "Time of calls that waited for a connection or for room on it, until they were given to it";
    connections_in_use: Gauge "cenote_connections_in_use" Count "Connections open or being opened";
    connections_max: Gauge "cenote_connections_max" Count "Connections there may be";
    dials_ok: Counter "cenote_dials_total" { "result" = "ok" } Count "Attempts to connect";
    dials_failed: Counter "cenote_dials_total" { "result" = "error" } Count "Attempts to connect";
    connections_lost: Counter "cenote_connections_lost_total" Count "Connections that were lost";
    reconnects: Counter "cenote_reconnects_total" Count "Connections that replaced a lost one";
    breaker_open: Gauge "cenote_breaker_open" Count "Pools whose calls fail fast because Redis is away";
    breaker_opened: Counter "cenote_breaker_transitions_total" { "to" = "open" } Count "Beginnings and ends of outages";
    breaker_closed: Counter "cenote_breaker_transitions_total" { "to" = "closed" } Count "Beginnings and ends of outages";
    credentials_refused: Gauge "cenote_credentials_refused" Count "Pools whose open connections Redis refused the newest credentials";
    sentinels_heard: Gauge "cenote_sentinels_heard" Count "Pools that hear a sentinel's news";
    dedicated_wait: Histogram "cenote_dedicated_wait_seconds" Seconds "Time until a place among the exclusive connections was had, or not";
    dedicated_in_use: Gauge "cenote_dedicated_in_use" Count "Exclusive connections in their holders' hands";
    by_redis: Counter "cenote_degradable_calls_total" { "source" = "redis" } Count "Calls on degradable connections, by who answered";
    by_fallback: Counter "cenote_degradable_calls_total" { "source" = "fallback" } Count "Calls on degradable connections, by who answered";
    hits: Counter "cenote_fallback_lookups_total" { "result" = "hit" } Count "Values that the fallback was asked for";
    misses: Counter "cenote_fallback_lookups_total" { "result" = "miss" } Count "Values that the fallback was asked for";
    journal_keys: Gauge "cenote_journal_keys" Count "Keys that Redis must still be told to forget";
    journal_bytes: Gauge "cenote_journal_bytes" Bytes "The same in bytes";
    journal_refused: Counter "cenote_journal_refused_total" Count "Writes refused because the outage journal was full";
    journal_removed: Counter "cenote_journal_removed_total" Count "Keys of the outage journal that were removed in Redis";
    subscribers: Gauge "cenote_subscribers" Count "Subscribers there are";
    lagged: Counter "cenote_subscriber_lagged_total" Count "Events that a subscriber lost because it did not read";
    gaps: Counter "cenote_subscriber_gaps_total" Count "Gaps that subscribers were told";
}

impl Meters {
    /// Heard by whichever recorder there is now, for a pool of so many connections at most.
    ///
    /// The recorder of a program that has none is known by having no size: one of its own without any field is taken
    /// for it, and hears nothing.
    pub(crate) fn new(connections: usize) -> Self {
        if !metrics::with_recorder(|recorder| size_of_val(recorder) > 0) {
            return Self(None);
        }
        let inner = Inner::new(connections);
        inner.connections_max.increment(connections as f64);
        Self(Some(Arc::new(inner)))
    }

    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    fn tell(&self, tell: impl FnOnce(&Inner)) {
        if let Some(inner) = &self.0 {
            tell(inner);
        }
    }

    fn count(&self, gauge: impl FnOnce(&Inner) -> &Gauge) -> Counted {
        let gauge = self.0.as_ref().map(|inner| gauge(inner).clone());
        gauge.iter().for_each(|gauge| gauge.increment(1));
        Counted(gauge)
    }

    pub(crate) fn call_begins(&self) {
        self.tell(|inner| inner.in_flight.increment(1));
    }

    pub(crate) fn call_ends(&self, operation: Operation, took: Duration) {
        self.tell(|inner| {
            inner.in_flight.decrement(1);
            inner.duration(operation).record(took);
        });
    }

    pub(crate) fn call_left(&self) {
        self.tell(|inner| inner.in_flight.decrement(1));
        self.call_failed("abandoned");
    }

    /// Rare, so it is looked up.
    pub(crate) fn call_failed(&self, error: &'static str) {
        self.tell(|_| metrics::counter!(ERRORS, "error" => error).increment(1));
    }

    pub(crate) fn retried(&self) {
        self.tell(|inner| inner.retries.increment(1));
    }

    pub(crate) fn queue_waited(&self, waited: Duration) {
        self.tell(|inner| inner.queue_wait.record(waited));
    }

    pub(crate) fn dialled(&self, well: bool) {
        self.tell(|inner| if well { &inner.dials_ok } else { &inner.dials_failed }.increment(1));
    }

    pub(crate) fn connection_lost(&self) {
        self.tell(|inner| inner.connections_lost.increment(1));
    }

    pub(crate) fn reconnected(&self) {
        self.tell(|inner| inner.reconnects.increment(1));
    }

    pub(crate) fn breaker_opened(&self) {
        self.tell(|inner| {
            if !inner.breaker_is_open.swap(true, Ordering::Relaxed) {
                inner.breaker_open.increment(1);
                inner.breaker_opened.increment(1);
            }
        });
    }

    pub(crate) fn breaker_closed(&self) {
        self.tell(|inner| {
            if inner.breaker_is_open.swap(false, Ordering::Relaxed) {
                inner.breaker_open.decrement(1);
                inner.breaker_closed.increment(1);
            }
        });
    }

    /// Whether Redis refuses the newest credentials to connections that are open.
    pub(crate) fn credentials_refused(&self, refused: bool) {
        self.tell(|inner| turn(&inner.credentials_are_refused, &inner.credentials_refused, refused));
    }

    /// Whether a sentinel is listened to.
    pub(crate) fn sentinel_heard(&self, heard: bool) {
        self.tell(|inner| turn(&inner.sentinel_is_heard, &inner.sentinels_heard, heard));
    }

    pub(crate) fn dedicated_waited(&self, waited: Duration) {
        self.tell(|inner| inner.dedicated_wait.record(waited));
    }

    pub(crate) fn answered_by_redis(&self) {
        self.tell(|inner| inner.by_redis.increment(1));
    }

    pub(crate) fn answered_by_fallback(&self) {
        self.tell(|inner| inner.by_fallback.increment(1));
    }

    /// The fallback answered. What merely reads is counted; one command may ask for several values.
    pub(crate) fn looked_up(&self, payload: Payload<'_>, replies: &[Value]) {
        self.tell(|inner| {
            let reads = payload.commands().zip(replies).filter(|(cmd, _)| merely_reads(cmd));
            let values = reads.map(|(_, reply)| reply).flat_map(|reply| match reply {
                Value::Array(values) => values,
                one => std::slice::from_ref(one),
            });
            for value in values {
                if *value == Value::Nil { &inner.misses } else { &inner.hits }.increment(1);
            }
        });
    }

    /// What the journal holds now. Called under its lock.
    pub(crate) fn journalled(&self, keys: usize, bytes: usize) {
        self.tell(|inner| {
            let before = inner.journal_keys_told.swap(keys, Ordering::Relaxed);
            inner.journal_keys.increment(keys as f64 - before as f64);
            let before = inner.journal_bytes_told.swap(bytes, Ordering::Relaxed);
            inner.journal_bytes.increment(bytes as f64 - before as f64);
        });
    }

    pub(crate) fn journal_refused(&self) {
        self.tell(|inner| inner.journal_refused.increment(1));
    }

    pub(crate) fn journal_removed(&self, keys: usize) {
        self.tell(|inner| inner.journal_removed.increment(keys as u64));
    }

    pub(crate) fn lagged(&self, events: u64) {
        self.tell(|inner| inner.lagged.increment(events));
    }

    pub(crate) fn gap(&self) {
        self.tell(|inner| inner.gaps.increment(1));
    }

    pub(crate) fn connection(&self) -> Counted {
        self.count(|inner| &inner.connections_in_use)
    }

    pub(crate) fn dedicated(&self) -> Counted {
        self.count(|inner| &inner.dedicated_in_use)
    }

    pub(crate) fn subscriber(&self) -> Counted {
        self.count(|inner| &inner.subscribers)
    }
}

impl Inner {
    /// Made at its first use: a command that is never sent is no series.
    fn duration(&self, operation: Operation) -> &Histogram {
        let others = known_names();
        let (place, name) = match (operation.form, operation.name) {
            (Form::One, Some(place)) => (place, known_name(place)),
            (Form::One, None) => (others, "other"),
            (Form::Pipeline, _) => (others + 1, "PIPELINE"),
            (Form::Transaction, _) => (others + 2, "MULTI"),
        };
        self.durations[place].get_or_init(|| metrics::histogram!(DURATION, "command" => name))
    }
}

/// Counts what is so of a pool once.
fn turn(before: &AtomicBool, gauge: &Gauge, now: bool) {
    match (before.swap(now, Ordering::Relaxed), now) {
        (false, true) => gauge.increment(1),
        (true, false) => gauge.decrement(1),
        _ => {}
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        turn(&self.credentials_are_refused, &self.credentials_refused, false);
        turn(&self.sentinel_is_heard, &self.sentinels_heard, false);
        self.connections_max.decrement(self.connections as f64);
        self.journal_keys.decrement(*self.journal_keys_told.get_mut() as f64);
        self.journal_bytes.decrement(*self.journal_bytes_told.get_mut() as f64);
        if *self.breaker_is_open.get_mut() {
            self.breaker_open.decrement(1);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.iter().for_each(|gauge| gauge.decrement(1));
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meters").field(&self.is_heard()).finish()
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}
