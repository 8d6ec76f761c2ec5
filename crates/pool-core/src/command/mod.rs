//! What a command means to a connection: its bytes, what it may share, what may be replayed.

mod blocking;
mod encode;
mod known;
mod name;
mod payload;
mod replay;
mod sharing;

pub(crate) use blocking::own_timeout;
#[cfg(feature = "metrics")]
pub(crate) use known::known_names;
pub(crate) use known::{known, known_name};
pub(crate) use name::{shown, words};
pub(crate) use payload::{Encoded, Payload};
pub(crate) use replay::merely_reads;
pub(crate) use sharing::{changes_connection, check_exclusive, check_shared};
