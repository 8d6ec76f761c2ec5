//! What a pool tells of itself while it works: a span for each call (`watch`), and, with the feature `metrics`,
//! counters, gauges and histograms (`meters`; without it `silent` has the same names and does nothing).
//!
//! Invariants:
//! * Where nobody listens a call costs two looks, at a static and at a field, and asks no clock and no allocator.
//! * No key, no value and no word of a command but a name that is known goes into a span or a label.

#[cfg(feature = "metrics")]
mod meters;
mod operation;
#[cfg(not(feature = "metrics"))]
mod silent;
mod watch;

#[cfg(feature = "metrics")]
pub(crate) use meters::{Counted, Meters};
pub(crate) use operation::Operation;
#[cfg(not(feature = "metrics"))]
pub(crate) use silent::{Counted, Meters};
pub(crate) use watch::{Server, Watched, listens};
