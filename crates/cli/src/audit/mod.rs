//! `cenote audit [PATH]`: where a tree makes Redis clients of its own, and what takes their place.
//!
//! Two rounds over the sources. The first notes what each file declares ([`declared`]); from it come the modules
//! ([`names`]), the types of fields and methods ([`members`]) and what a request runs through ([`requests`]). The second
//! ([`scan`]) goes through the syntax with those, and a light inference of types ([`infer`]), and notes each place.

mod declared;
mod finding;
mod handlers;
mod infer;
mod legacy;
mod macros;
mod manifest;
mod members;
mod names;
mod replacement;
mod requests;
mod scan;
mod scope;
mod survey;
mod tree;
mod types;
mod written;

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Exit, Failure};

use members::Members;
use names::{Names, NodeId};
use requests::Requests;

/// What is known while a module is gone through.
#[derive(Clone, Copy)]
struct View<'a> {
    names: &'a Names,
    members: &'a Members,
    requests: &'a Requests,
    package: usize,
    node: NodeId,
}

/// Finds every place that makes a Redis client or borrows one from a pool, and tells what replaces it
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder to look at, with all that is below it
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let survey = survey::Survey::of(&options.path);
    for finding in &survey.findings {
        println!("{finding:?}");
    }
    for problem in &survey.problems {
        eprintln!("{problem}");
    }
    Ok(Exit::Finished)
}
