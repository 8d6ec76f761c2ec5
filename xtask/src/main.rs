//! The project's tasks: `cargo xtask` lists them.

mod bench;
mod binaries;
mod command;
mod demo;
mod install;
mod lint;
mod stages;
mod telemetry;
mod test;
mod tidy;
mod workspace;

use std::fmt;
use std::process::ExitCode;

/// A task. `tidy` holds the documents to this list.
struct Task {
    name: &'static str,
    flags: &'static str,
    about: &'static str,
    run: fn(&[&str]) -> anyhow::Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        flags: "[--port N]",
        about: "run the reference service on port N, $PORT or 3000, with a Redis of its own unless REDIS_URL is set",
        run: demo::run,
    },
    Task {
        name: "test",
        flags: "[--long]",
        about: "run every test, in every combination of features that matters; --long adds outages of 10 and 60 s",
        run: test::run,
    },
    Task {
        name: "bench",
        flags: "[pool|dedicated|lru|cache|ratelimit|progress|micro|telemetry|all] [--quick] [--json FILE] [--write-docs]",
        about: "measure Cenote beside its peers, (micro) its parts, or what telemetry costs; --write-docs puts tables and charts into docs/bench",
        run: bench::run,
    },
    Task { name: "lint", flags: "", about: "formatting, clippy, documentation, tidy", run: lint::run },
    Task { name: "tidy", flags: "", about: "the project's own rules", run: tidy::run },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if asks_for_help(&args) {
        println!("{}", Usage(String::new()));
        return ExitCode::SUCCESS;
    }
    let result = match args.split_first() {
        None => Err(usage("")),
        Some((name, rest)) => match TASKS.iter().find(|task| task.name == *name) {
            Some(task) => (task.run)(rest),
            None => Err(usage(format!("there is no `{name}`"))),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// `help` as a task, or `--help` anywhere.
fn asks_for_help(args: &[&str]) -> bool {
    args.first() == Some(&"help") || args.iter().any(|arg| matches!(*arg, "--help" | "-h"))
}

/// A command line that was not understood.
#[derive(Debug)]
struct Usage(String);

fn usage(problem: impl Into<String>) -> anyhow::Error {
    Usage(problem.into()).into()
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            writeln!(f, "{}\n", self.0)?;
        }
        write!(f, "Usage: cargo xtask COMMAND\n\nCommands:")?;
        for task in TASKS {
            let call = format!("{} {}", task.name, task.flags);
            // What follows a long call has a line of its own.
            let gap = if call.len() > 18 { format!("\n{:21}", "") } else { " ".to_owned() };
            write!(f, "\n  {call:<18}{gap}{}", task.about)?;
        }
        write!(f, "\n  {:<18} print this", "help")
    }
}

impl std::error::Error for Usage {}

/// For tasks that take no arguments.
fn no_arguments(args: &[&str]) -> anyhow::Result<()> {
    args.first().map_or(Ok(()), |unknown| Err(usage(format!("`{unknown}` is not known here"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_given_wherever_it_is_asked_for() {
        for args in [&["--help"][..], &["-h"], &["help"], &["demo", "--help"], &["test", "--long", "-h"]] {
            assert!(asks_for_help(args), "{args:?}");
        }
        for args in [&[][..], &["demo"], &["demo", "--port", "1"]] {
            assert!(!asks_for_help(args), "{args:?}");
        }
        let text = usage("").to_string();
        assert!(TASKS.iter().all(|task| text.contains(task.name)), "{text}");
    }
}
