//! Connections for one caller at a time: blocking commands, `WATCH`, whatever must not be shared.

mod bench;
mod checkout;
mod connection;
mod patience;
mod raw;
mod transaction;

pub(crate) use bench::{Bench, Place};
pub(crate) use checkout::{check_out, may_be_exclusive, wait_for_place};
pub use connection::Dedicated;
pub use raw::DedicatedIo;
pub(crate) use raw::open_raw;
pub(crate) use transaction::transaction;
