//! Pipelines of ten `GET`s.

use anyhow::{Result, ensure};

use super::Workload;
use super::data::{self, Entry, Walk};
use crate::clients::Handle;

const LENGTH: usize = 10;

pub(crate) struct Pipeline {
    entries: Walk<Entry>,
}

impl Workload for Pipeline {
    const OPS_PER_CALL: usize = LENGTH;

    fn of_task(index: usize, _tasks: usize) -> Self {
        Self { entries: Walk::from(data::small(), index) }
    }

    async fn call(&mut self, handle: &mut impl Handle) -> Result<()> {
        let entries = [(); LENGTH].map(|()| self.entries.next());
        let values = handle.pipeline(&entries.map(|entry| entry.key.as_str())).await?;
        ensure!(values.len() == LENGTH, "{} replies came back for {LENGTH} commands", values.len());
        entries.iter().zip(&values).try_for_each(|(entry, value)| entry.check(value))
    }
}
