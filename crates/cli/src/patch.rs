//! `cenote patch NAME --into DIR`: writes a patch crate into a tree.

use std::fs;
use std::io::{self, Write};
use std::path::{self, Component, Path, PathBuf};

use cenote_compat_shim::patch::{self, File, ShimAt};
use clap::Args;

use crate::exit::{Exit, Failure};

/// Writes a crate that puts code written for another Redis client on the one shared pool
///
/// It has the name of the published crate, and replaces it in a workspace by one line of its Cargo.toml, which is printed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The published crate: deadpool-redis or bb8-redis
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(patch::NAMES))]
    name: String,

    /// The folder that becomes the crate; it is made
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// Where cenote-compat-shim lies, as seen from there; without it the registry has it
    #[arg(long, value_name = "DIR")]
    shim: Option<String>,

    /// Replaces files that are there and say something else
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let Options { name, into, shim, force } = options;
    if into.to_string_lossy().contains("://") {
        return Err(Failure::new(Exit::Usage, "--into is a URL: it takes the folder that becomes the crate"));
    }
    if let Some(shim) = shim {
        seen_from(into, shim)?;
    }
    let shim = shim.as_deref().map_or(ShimAt::Version(env!("CARGO_PKG_VERSION")), ShimAt::Path);
    let files = patch::files(name, shim)
        .ok_or_else(|| Failure::new(Exit::Usage, format!("there is no patch crate for {name}")))?;
    // All are looked at before the first is written.
    for File { path, text, .. } in &files {
        let path = into.join(path);
        match fs::read_to_string(&path) {
            Ok(present) if present != *text && !force => {
                let why = format!("{} is there and says something else: --force replaces it", path.display());
                return Err(Failure::new(Exit::Usage, why));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot(&path, "read", &error));
            }
            _ => {}
        }
    }
    for File { path, text, .. } in &files {
        let path = into.join(path);
        let folder = path.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(|error| cannot(folder, "made", &error))?;
        fs::write(&path, text).map_err(|error| cannot(&path, "written", &error))?;
    }
    let shown = into.display().to_string().replace('\\', "/");
    let mut lines =
        format!("{name} is in {shown}. In the Cargo.toml of the workspace:\n\n[patch.crates-io]\n");
    if options.shim.is_none() {
        lines += concat!(
            "cenote-compat-shim = { git = \"",
            env!("CARGO_PKG_REPOSITORY"),
            "\" } # from where your `cenote` is; until it is on crates.io\n"
        );
    }
    writeln!(io::stdout(), "{lines}{name} = {{ path = {shown:?} }}")?;
    Ok(Exit::Finished)
}

/// That the shim is where cargo will look for it. The folder that it is seen from need not be there yet.
fn seen_from(into: &Path, shim: &str) -> Result<(), Failure> {
    let mut place = path::absolute(into).map_err(|error| cannot(into, "found", &error))?;
    for component in Path::new(shim).components() {
        match component {
            Component::ParentDir => _ = place.pop(),
            component => place.push(component),
        }
    }
    let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap_or_default();
    if manifest.lines().any(|line| line == "name = \"cenote-compat-shim\"") {
        return Ok(());
    }
    let why = format!(
        "--shim {shim} is {} as seen from {}, and cenote-compat-shim is not there: give the folder of its Cargo.toml, \
         or leave --shim out",
        place.display(),
        into.display()
    );
    Err(Failure::new(Exit::Usage, why))
}

fn cannot(path: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be {what}: {error}", path.display()))
}
