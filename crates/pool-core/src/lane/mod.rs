//! A lane: one socket that many callers share.
//!
//! `slot` is one caller's place, `machine` the bookkeeping without I/O, `backlog` who waits for room, `asked` who waits
//! for a sign of life, `task` the lane's one task, `driver` what that does with the socket and the timer, `shortcut` what
//! a caller who is alone does instead, `pace` how batches go, `login` its own `AUTH`, `tenancy` how the lane makes room,
//! `set` the lanes of one runtime.

#[cfg(test)]
mod age_tests;
mod asked;
mod backlog;
mod driver;
mod handle;
mod login;
mod machine;
#[cfg(test)]
mod model;
mod pace;
mod set;
mod shortcut;
#[cfg(test)]
mod shortcut_tests;
mod slot;
mod task;
mod tenancy;
#[cfg(test)]
mod tests;

pub(crate) use handle::{Lane, Use};
pub(crate) use machine::Window;
#[cfg(feature = "__bench")]
pub(crate) use machine::{Filled, Machine};
pub(crate) use set::Sets;
pub(crate) use slot::{Answer, Reply, Spare};
pub(crate) use task::launch;
