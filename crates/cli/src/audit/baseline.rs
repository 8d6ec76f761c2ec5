//! How many places each crate had when somebody last looked, in a file that is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use crate::exit::{Exit, Failure};

const VERSION: u32 = 1;

/// The places of each crate, those that a comment allows left out.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    version: u32,
    crates: BTreeMap<String, usize>,
}

/// A crate whose count is not what the baseline has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) package: String,
    pub(super) before: usize,
    pub(super) now: usize,
}

impl Baseline {
    pub(super) fn of(findings: &[Finding]) -> Self {
        let mut crates = BTreeMap::new();
        for finding in findings.iter().filter(|finding| finding.allowed.is_none()) {
            *crates.entry(finding.package.clone()).or_default() += 1;
        }
        Self { version: VERSION, crates }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                Exit::Usage,
                format!("there is no baseline {shown}: `cenote audit --baseline {shown} --write-baseline` makes it, and it belongs into version control"),
            ),
            _ => Failure::new(Exit::Usage, format!("the baseline {shown} cannot be read: {error}")),
        })?;
        let read: Self = serde_json::from_str(&text).map_err(|error| {
            Failure::new(Exit::Usage, format!("the baseline {shown} cannot be used: {error}"))
        })?;
        if read.version != VERSION {
            let message = format!(
                "the baseline {shown} has version {}, and this command knows {VERSION}",
                read.version
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(read)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = |why: String| {
            Failure::new(Exit::Usage, format!("the baseline {} cannot be written: {why}", path.display()))
        };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        fs::write(path, text + "\n").map_err(|error| failed(error.to_string()))
    }

    /// What is not as it was, by crate.
    pub(super) fn changes(&self, now: &Self) -> Vec<Change> {
        let mut names: Vec<&String> = self.crates.keys().chain(now.crates.keys()).collect();
        names.sort();
        names.dedup();
        let count = |of: &Self, name: &String| of.crates.get(name).copied().unwrap_or(0);
        let changes = names.into_iter().map(|name| Change {
            package: name.clone(),
            before: count(self, name),
            now: count(now, name),
        });
        changes.filter(|change| change.before != change.now).collect()
    }
}
