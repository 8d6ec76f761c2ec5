//! `GET`s of 100 bytes, while one more task fetches 1 MB values in a loop.

use anyhow::Result;

use super::data::{self, Walk};
use super::{Get, Workload};
use crate::clients::Handle;

pub(crate) struct Neighbour(Get);

impl Workload for Neighbour {
    const EXTRA_TASKS: usize = 1;

    fn of_task(index: usize, tasks: usize) -> Self {
        let entries = if index < tasks { data::small() } else { data::large() };
        Self(Get { entries: Walk::from(entries, index) })
    }

    async fn call(&mut self, handle: &mut impl Handle) -> Result<()> {
        self.0.call(handle).await
    }
}
