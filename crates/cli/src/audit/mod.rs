//! `cenote audit [PATH]`: where a tree makes Redis clients of its own, and what takes their place.
//!
//! Two rounds over the sources. The first notes what each file declares ([`declared`]); from it come the modules
//! ([`names`]), the types of fields and methods ([`members`]) and what a request runs through ([`requests`]). The second
//! ([`scan`]) goes through the syntax of the files that have a name to do with it ([`hints`]), with a light inference of
//! types ([`infer`]), and notes each place.

mod allow;
mod baseline;
mod clippy;
mod declared;
mod export;
mod finding;
mod handlers;
mod hints;
mod infer;
mod legacy;
mod linked;
mod macros;
mod manifest;
mod members;
mod names;
mod nesting;
mod passing;
mod replacement;
mod requests;
mod scan;
mod scope;
mod survey;
mod table;
mod tree;
mod types;
mod written;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::{Exit, Failure};

use baseline::{Baseline, Change};
use members::Members;
use names::{Names, NodeId};
use requests::Requests;
use survey::Survey;

/// What is known while a module is gone through.
#[derive(Clone, Copy)]
struct View<'a> {
    names: &'a Names,
    members: &'a Members,
    requests: &'a Requests,
    package: usize,
    node: NodeId,
}

const EXITS: &str = "\
Exit codes:
    0  looked through, whatever was found
    2  arguments that cannot be, a PATH with nothing to look at, or a baseline that cannot be used
   10  a crate has more places than the baseline
   11  a comment allows a place without a reason, or what there is not

A comment leaves a place alone, behind it or in the line above its statement:
  // cenote: allow(client) the vendor's SDK takes nothing else
Kinds: client, connection, manager, pool, checkout, dependency

Examples:
  cenote audit
  cenote audit --baseline cenote-audit.json --write-baseline
  cenote audit --baseline cenote-audit.json
  cenote audit --sarif > cenote.sarif
  cenote audit --clippy >> clippy.toml";

/// Finds every place that makes a Redis client or takes a connection from a pool, and tells what replaces it
///
/// Reads the sources and manifests below a folder, and changes nothing. What it cannot parse is told on standard error.
/// "per request" is what a handler runs through: a function with a route's attribute, with a handler's arguments or
/// result, or named in a router, and whatever such a function calls.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(crate) struct Options {
    /// The folder to look at, with all that is below it
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// One JSON object with all places
    #[arg(long, conflicts_with_all = ["sarif", "clippy"])]
    json: bool,

    /// SARIF 2.1.0, for code scanning; run it where the repository begins
    #[arg(long, conflicts_with = "clippy")]
    sarif: bool,

    /// Fails when a crate has more places than this file says
    #[arg(long, value_name = "FILE", conflicts_with = "clippy")]
    baseline: Option<PathBuf>,

    /// Writes that file, as things are now
    #[arg(long, requires = "baseline")]
    write_baseline: bool,

    /// Looks at nothing, and prints a clippy.toml that finds such places while compiling
    #[arg(long)]
    clippy: bool,
}

pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    if options.clippy {
        write!(io::stdout().lock(), "{}", clippy::toml())?;
        return Ok(Exit::Finished);
    }
    if let Err(error) = fs::metadata(&options.path) {
        return Err(Failure::new(Exit::Usage, format!("PATH: {}: {error}", options.path.display())));
    }
    let before = match &options.baseline {
        Some(path) if !options.write_baseline => Some((path, Baseline::read(path)?)),
        _ => None,
    };
    let survey = Survey::of(&options.path);
    for problem in &survey.problems {
        eprintln!("{}: {problem}", if problem.is_error { "error" } else { "warning" });
    }
    if survey.files == 0 && survey.manifests == 0 {
        let path = options.path.display();
        let message =
            format!("PATH: {path}: there is nothing to look at, neither a Rust file nor a Cargo.toml");
        return Err(Failure::new(Exit::Usage, message));
    }
    if options.json {
        writeln!(io::stdout().lock(), "{:#}", export::json(&survey))?;
    } else if options.sarif {
        writeln!(io::stdout().lock(), "{:#}", export::sarif(&survey))?;
    } else {
        table::write(&survey)?;
    }
    let is_unexplained = survey.problems.iter().any(|problem| problem.is_error);
    let now = Baseline::of(&survey.findings);
    if options.write_baseline
        && let Some(path) = &options.baseline
    {
        now.write(path)?;
    }
    let has_risen = before.is_some_and(|(path, before)| compare(path, &before, &now));
    Ok(match (is_unexplained, has_risen) {
        (true, _) => Exit::Unexplained,
        (false, true) => Exit::Risen,
        (false, false) => Exit::Finished,
    })
}

/// Tells what is not as it was, and whether a count has risen.
fn compare(path: &Path, before: &Baseline, now: &Baseline) -> bool {
    let changes = before.changes(now);
    for change in changes.iter().filter(|change| change.now > change.before) {
        let Change { package, before, now } = change;
        eprintln!(
            "error: {package} has {}, and the baseline {before}: use the pool in the new ones, or say in a comment why not",
            table::count(*now, "place", "places")
        );
    }
    let fallen: Vec<String> = changes
        .iter()
        .filter(|change| change.now < change.before)
        .map(|change| format!("{} from {} to {}", change.package, change.before, change.now))
        .collect();
    let path = path.display();
    if !fallen.is_empty() {
        eprintln!(
            "Fewer places than the baseline has: {}. Keep that: cenote audit --baseline {path} --write-baseline",
            fallen.join(", ")
        );
    }
    changes.iter().any(|change| change.now > change.before)
}
