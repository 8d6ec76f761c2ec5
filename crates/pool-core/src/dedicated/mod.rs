//! Connections for one caller at a time: blocking commands, `WATCH`, whatever must not be shared.

mod bench;
mod checkout;
mod connection;
mod guest;
mod patience;
mod raw;
mod talk;
mod transaction;

pub(crate) use bench::{Bench, Place};
pub(crate) use checkout::{check_out, may_be_exclusive, wait_for_place};
pub use connection::Dedicated;
pub use raw::{DedicatedIo, RawPlace};
pub(crate) use raw::{open_raw, reserve_raw};
pub(crate) use transaction::transaction;
