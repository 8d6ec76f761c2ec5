//! Cenote beside its peers: the binary behind `cargo xtask bench`.

mod bench;
mod cache;
mod clients;
mod contender;
mod contest;
mod gauge;
mod jobs;
mod lru;
mod measure;
mod memory;
mod options;
mod progress;
mod ratelimit;
mod report;
mod session;
mod workload;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use self::bench::Family;
use self::options::{HELP, Options};
use self::session::Findings;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, rest)) if first == memory::ALONE => alone(rest),
        Some((first, rest)) if first == lru::ALONE => lru::run_alone(rest),
        Some((first, rest)) if first == cache::ALONE => cache::run_alone(rest),
        Some((first, rest)) if first == jobs::READERS => jobs::read_alone(rest),
        _ if arguments.iter().any(|argument| argument == "--help" || argument == "-h") => {
            print!("{HELP}");
            Ok(())
        }
        _ => match Options::parse(arguments) {
            Ok(options) => run(&options),
            Err(error) => {
                eprintln!("error: {error}\n\n{HELP}");
                return ExitCode::from(2);
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn alone(arguments: &[OsString]) -> Result<()> {
    Runtime::new()?.block_on(memory::run_alone(arguments))
}

fn run(options: &Options) -> Result<()> {
    if let Some(path) = &options.json {
        // Now rather than after minutes of measuring.
        File::options().append(true).create(true).open(path).with_context(|| path.display().to_string())?;
    }
    let mut rows = Vec::new();
    for &family in &options.families {
        let findings = measure(family, options)?;
        print!("{}", report::table(&findings.rows));
        for note in &findings.notes {
            println!("\n{note}");
        }
        if options.write_docs {
            report::write_docs(family.name(), &findings.rows)?;
        }
        rows.extend(findings.rows);
        // After each of them: what was measured is not lost with what follows.
        if let Some(path) = &options.json {
            fs::write(path, report::json(&rows)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn measure(family: Family, options: &Options) -> Result<Findings> {
    match family {
        Family::Pool | Family::Dedicated => Runtime::new()?.block_on(session::run(family, options)),
        Family::Lru => Ok(Findings { rows: lru::run(options.quick)?, ..Findings::default() }),
        Family::Cache => cache::run(options.quick),
        Family::Ratelimit => ratelimit::run(options.quick),
        Family::Progress => jobs::run(options.quick),
    }
}
