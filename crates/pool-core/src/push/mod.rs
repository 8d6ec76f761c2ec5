//! Pub/sub and invalidations: one push connection per runtime, however many subscribers there are.
//!
//! `subscriber` is what users hold, `event` what they are told, `queue` where it waits for them, `currency` whether
//! they have missed nothing. `topics` knows who wants what and hands messages out; `machine` brings the server's subscriptions in line with it, `tracking`
//! chooses the prefixes for that, `frame` reads what the server pushes; none of these does I/O. `hub` is the one
//! connection as others see it, `hubs` all of a pool's, `task` keeps it alive, `driver` reads and writes it,
//! `probe` finds out whether it still delivers. `local` is pub/sub without Redis, `glob` its patterns.

mod currency;
mod driver;
mod event;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    not(test),
    allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "what tests are made of")
)]
mod fake;
mod fault;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod glob;
mod hub;
mod hubs;
mod local;
mod machine;
mod probe;
mod queue;
mod subscriber;
mod task;
#[cfg(test)]
mod tests;
mod topics;
mod tracking;
#[cfg(test)]
mod tracking_tests;

pub use currency::Currency;
pub use event::{Event, Invalidation, Message, Refusal};
pub(crate) use hubs::Hubs;
pub(crate) use local::{Local, execute as execute_with_pubsub};
pub use subscriber::Subscriber;
pub use topics::Kind as SubscriptionKind;
