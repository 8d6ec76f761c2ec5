//! The project's own rules. Each is a function over text, with a test that shows it can fail.

mod commands;
mod connections;
mod environment;
mod features;
mod files;
mod size;
mod source;

use std::fmt;

use anyhow::{Result, bail};

use self::files::File;
use crate::{TASKS, no_arguments};

pub(crate) fn run(args: &[&str]) -> Result<()> {
    no_arguments(args)?;
    check()
}

pub(crate) fn check() -> Result<()> {
    let crates = files::below("crates", "rs")?;
    let examples = files::below("examples", "rs")?;
    let manifests = files::below("crates", "toml")?;
    let mut documents = files::below("docs", "md")?;
    documents.extend(files::below("crates", "md")?);
    let named = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", ".env.example"];
    documents.extend(named.iter().filter_map(|path| files::read(path)));
    let tasks: Vec<_> = TASKS.iter().map(|task| task.name).collect();

    let findings = [
        connections::only_dialled_by_the_core(crates.iter().chain(&examples)),
        connections::nothing_blocks(&crates),
        features::explained(&manifests, &crates, &documents),
        commands::documented(&tasks, &documents),
        size::architecture(&documents),
        size::sources(&crates, size::LONG_FILES),
        environment::example_is_complete(&crates, &documents),
    ]
    .concat();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: every rule is kept");
            Ok(())
        }
        1 => bail!("1 thing is not tidy"),
        count => bail!("{count} things are not tidy"),
    }
}

/// What is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    file: String,
    /// Counted from one.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self::at(&file.path, line, message)
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}
