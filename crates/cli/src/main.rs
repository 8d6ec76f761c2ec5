//! The command `cenote`: looks at a Redis, at code that uses one, and at jobs. A folder for each of its commands.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod audit;
mod config;
mod doctor;
mod exit;
mod patch;
mod secrets;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

/// Looks at a Redis, at code that uses one, and at jobs.
#[derive(Debug, Parser)]
#[command(name = "cenote", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Patch(patch::Options),
    Watch(watch::Options),
    Doctor(doctor::Options),
    Audit(audit::Options),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return refuse(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(async {
                match command {
                    Command::Patch(options) => patch::run(&options),
                    Command::Watch(options) => watch::run(options).await,
                    Command::Doctor(options) => doctor::run(options).await,
                    Command::Audit(options) => audit::run(&options),
                }
            });
            // A name that is still looked up is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::new(Exit::Failed, format!("no runtime can be made: {error}"))),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(message) = &failure.message {
                eprintln!("error: {}", secrets::scrub(message));
            }
            failure.exit.into()
        }
    }
}

/// What the arguments are not, or the help.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let text = secrets::scrub(&error.render().ansi().to_string());
    // Nobody is there to be told that it cannot be written.
    let _ = write!(anstream::stderr(), "{text}");
    Exit::Usage.into()
}

/// A limit, as an argument gives it.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| "it must be a number of seconds above 0".to_owned())
}
