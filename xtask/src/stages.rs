//! The parts of a task: each is timed, all are run, and the summary names those that failed.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::command::Failed;

pub(crate) struct Stages {
    started: Instant,
    done: Vec<Stage>,
}

struct Stage {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    /// With the reason.
    NotRun(String),
    /// With what to run again, or what is wrong.
    Failed(String),
}

/// Why a stage could not run here. An error under `CI=true`.
#[derive(Debug)]
pub(crate) struct NotRun(String);

pub(crate) fn not_run(reason: impl Into<String>) -> anyhow::Error {
    anyhow!(NotRun(reason.into()))
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRun {}

impl Stages {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), done: Vec::new() }
    }

    /// Runs a stage and returns whether it passed.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => self::outcome(&error, env::var("CI").is_ok_and(|ci| ci == "true")),
        };
        let passed = matches!(outcome, Outcome::Passed);
        self.done.push(Stage { name: name.to_owned(), took: started.elapsed(), outcome });
        passed
    }

    /// Prints a line for each stage. An error when one failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        let mut failures = 0;
        for Stage { name, took, outcome } in &self.done {
            let (word, detail) = match outcome {
                Outcome::Passed => ("ok", ""),
                Outcome::NotRun(reason) => ("not run", reason.as_str()),
                Outcome::Failed(repeat) => {
                    failures += 1;
                    ("FAILED", repeat.as_str())
                }
            };
            println!("{}", format!("{word:<8}{name:<32}{:>7.1} s  {detail}", took.as_secs_f64()).trim_end());
        }
        println!("{:<40}{:>7.1} s", "total", self.started.elapsed().as_secs_f64());
        if failures > 0 {
            bail!("{failures} of {} stages failed", self.done.len());
        }
        Ok(())
    }
}

fn outcome(error: &anyhow::Error, ci: bool) -> Outcome {
    match (error.downcast_ref::<Failed>(), error.downcast_ref::<NotRun>()) {
        (Some(failed), _) => Outcome::Failed(format!("repeat: {}", failed.command)),
        (None, Some(NotRun(reason))) if !ci => Outcome::NotRun(reason.clone()),
        _ => Outcome::Failed(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_run_fails_only_in_ci() {
        let error = not_run("there is no server");
        assert!(matches!(outcome(&error, false), Outcome::NotRun(_)));
        assert!(matches!(outcome(&error, true), Outcome::Failed(_)));
    }

    #[test]
    fn a_failure_says_how_to_repeat_it_and_fails_the_whole() {
        let mut stages = Stages::new();
        assert!(stages.run("good", || Ok(())));
        assert!(!stages.run("bad", || Err(anyhow!(Failed { command: "cargo x".into() }))));
        assert!(matches!(&stages.done[1].outcome, Outcome::Failed(text) if text == "repeat: cargo x"));
        assert_eq!(stages.finish().unwrap_err().to_string(), "1 of 2 stages failed");
    }
}
