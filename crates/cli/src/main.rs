//! The command `cenote`: looks at what a service does over Redis. A folder for each of its commands.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod exit;
mod patch;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

/// Looks at what a service does over Redis.
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
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(async {
            match command {
                Command::Patch(options) => patch::run(&options),
                Command::Watch(options) => watch::run(options).await,
            }
        }),
        Err(error) => Err(Failure::new(Exit::Failed, format!("no runtime can be made: {error}"))),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(message) = &failure.message {
                eprintln!("error: {message}");
            }
            failure.exit.into()
        }
    }
}
