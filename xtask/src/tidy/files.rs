//! Reading the files that the rules look at.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace;

/// A text, by its path from the root, with forward slashes.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// `pool-core` for anything below `crates/pool-core`.
    pub(super) fn crate_folder(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    pub(super) fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether it is part of a package's `src`, and no test.
    pub(super) fn is_product(&self) -> bool {
        let parts: Vec<_> = self.path.split('/').collect();
        let tests = parts.iter().any(|part| matches!(*part, "tests" | "tests.rs" | "benches"));
        parts.contains(&"src") && !tests && self.crate_folder() != Some("testkit")
    }
}

/// All files of this kind in a folder of the root and below, in order of their paths.
pub(super) fn below(folder: &str, extension: &str) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let root = workspace::root();
    if root.join(folder).is_dir() {
        collect(&root, &root.join(folder), extension, &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub(super) fn read(path: &str) -> Option<File> {
    let text = fs::read_to_string(workspace::root().join(path)).ok()?;
    Some(File { path: path.to_owned(), text })
}

fn collect(root: &Path, folder: &Path, extension: &str, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(root, &path, extension, files)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
    Ok(())
}
