//! What is kept in Redis, and how it is asked.

mod names;
mod read;
mod report;
mod script;

pub(crate) use names::{Names, check_job, check_namespace};
pub(crate) use read::{Record, Vitals, load, read_all, sweep};
pub(crate) use report::{Address, Begin, Code, Reply, Report, message, publish};
pub(crate) use script::{Asking, CANCEL};
