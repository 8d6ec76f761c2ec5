//! `GET` of 100 bytes.

use anyhow::Result;

use super::Workload;
use super::data::{self, Entry, Walk};
use crate::clients::Handle;

pub(crate) struct Get {
    pub(super) entries: Walk<Entry>,
}

impl Workload for Get {
    fn of_task(index: usize, _tasks: usize) -> Self {
        Self { entries: Walk::from(data::small(), index) }
    }

    async fn call(&mut self, handle: &mut impl Handle) -> Result<()> {
        let entry = self.entries.next();
        entry.check(&handle.get(&entry.key).await?)
    }
}
