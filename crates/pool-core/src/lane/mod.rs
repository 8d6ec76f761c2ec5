//! A lane: one socket that many callers share.
//!
//! `slot` is one caller's place, `machine` the bookkeeping without I/O, `driver` the one task that reads and
//! writes the socket and keeps the timer, `set` the lanes of one runtime.

mod driver;
mod handle;
mod machine;
mod set;
mod slot;
mod tenancy;
#[cfg(test)]
mod tests;

pub(crate) use driver::launch;
pub(crate) use handle::{Lane, Use};
pub(crate) use machine::Window;
pub(crate) use set::Sets;
pub(crate) use slot::Answer;
