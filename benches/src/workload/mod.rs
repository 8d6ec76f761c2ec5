//! What the tasks of a bench do, over and over.

pub(crate) mod data;
mod get;
mod mix;
mod neighbour;
mod pipeline;

use std::future::Future;

use anyhow::Result;

pub(crate) use self::get::Get;
pub(crate) use self::mix::Mix;
pub(crate) use self::neighbour::Neighbour;
pub(crate) use self::pipeline::Pipeline;
use crate::clients::Handle;

/// One task's work.
pub(crate) trait Workload: Sized + Send + 'static {
    /// Operations in one call.
    const OPS_PER_CALL: usize = 1;

    /// Tasks beyond those that are measured, there to disturb them.
    const EXTRA_TASKS: usize = 0;

    /// The work of a task. Those with an index of `tasks` and above are the extra ones.
    fn of_task(index: usize, tasks: usize) -> Self;

    /// Makes the next call and checks its reply, so that no error is ever measured as an answer.
    fn call(&mut self, handle: &mut impl Handle) -> impl Future<Output = Result<()>> + Send;
}
