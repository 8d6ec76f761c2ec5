//! Measures: Cenote beside its peers, and its parts by themselves.

use std::path::{self, Path};

use anyhow::Result;

use crate::command::Command;
use crate::{install, telemetry, usage};

const PACKAGE: &str = "cenote-benches";

/// What is run when nothing is named.
const EVERYTHING: &str = "all";
/// The criterion benches of single parts.
const MICRO: &str = "micro";
/// What telemetry costs a command, which takes two builds.
const TELEMETRY: &str = "telemetry";
const SUBJECTS: &[&str] =
    &["pool", "dedicated", "lru", "cache", "ratelimit", "progress", MICRO, TELEMETRY, EVERYTHING];

/// A flag, and what comes after it.
struct Flag {
    name: &'static str,
    value: Option<&'static str>,
}

const FLAGS: &[Flag] = &[
    Flag { name: QUICK, value: None },
    Flag { name: JSON, value: Some("the file to write, as in --json rows.json") },
    Flag { name: "--write-docs", value: None },
    Flag { name: "--only", value: Some("names of benches, as in --only pool-get,pool-mix") },
    Flag { name: "--clients", value: Some("names of clients, as in --clients cenote,rustis") },
    Flag { name: "--tasks", value: Some("numbers of tasks, as in --tasks 64,256") },
    Flag { name: "--rounds", value: Some("a number, as in --rounds 5") },
];

const QUICK: &str = "--quick";
const JSON: &str = "--json";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    subject: &'a str,
    flags: Vec<String>,
}

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let request = parse(args)?;
    if request.subject == TELEMETRY {
        return telemetry::run(&request.flags);
    }
    if request.needs_server() {
        install::ensure_server()?;
    }
    request.command().run()
}

/// The names of benches and clients are left to the program that knows them: it is as strict.
fn parse<'a>(args: &[&'a str]) -> Result<Request<'a>> {
    let mut subject = None;
    let mut flags: Vec<String> = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') {
            if !SUBJECTS.contains(arg) {
                return Err(usage(format!("`bench {arg}` is not known: there is {}", SUBJECTS.join(", "))));
            }
            if let Some(first) = subject.replace(*arg) {
                return Err(usage(format!("`bench {first} {arg}` is one too many: name one, or all")));
            }
            continue;
        }
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == *arg) else {
            let known: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
            return Err(usage(format!("`bench {arg}` is not known: there is {}", known.join(", "))));
        };
        if flags.iter().any(|given| given == arg) {
            return Err(usage(format!("{arg} is given twice")));
        }
        flags.push((*arg).to_owned());
        if let Some(what) = flag.value {
            let value = args.next().filter(|value| !value.is_empty() && !value.starts_with('-'));
            let value = *value.ok_or_else(|| usage(format!("{arg} needs {what}")))?;
            flags.push(if *arg == JSON { absolute(value)? } else { value.to_owned() });
        }
    }
    let request = Request { subject: subject.unwrap_or(EVERYTHING), flags };
    match request.flags.iter().find(|flag| *flag != QUICK) {
        Some(flag) if request.subject == MICRO => {
            Err(usage(format!("{flag} does not go with `bench {MICRO}`, which takes {QUICK} alone")))
        }
        _ => Ok(request),
    }
}

/// A file by its full path, for a program that runs in another folder. Refused here rather than after minutes of
/// measuring, when it could not be written.
fn absolute(file: &str) -> Result<String> {
    let path = path::absolute(file)?;
    if path.is_dir() || !path.parent().is_some_and(Path::is_dir) {
        return Err(usage(format!("{JSON} needs a file in a folder that is there, and `{file}` is none")));
    }
    Ok(path.to_string_lossy().into_owned())
}

impl Request<'_> {
    fn needs_server(&self) -> bool {
        !matches!(self.subject, MICRO | "lru")
    }

    fn command(&self) -> Command {
        if self.subject == MICRO {
            // Only the benches themselves: the test harness of the program does not know criterion's flags.
            let benches = Command::line("cargo bench -p").arg(PACKAGE).args(["--bench", "*"]);
            return if self.flags.is_empty() { benches } else { benches.arg("--").args(self.flags.clone()) };
        }
        let program = Command::line("cargo run --release -p").arg(PACKAGE).arg("--");
        program.arg(self.subject).args(self.flags.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;

    fn shown(args: &[&str]) -> String {
        parse(args).unwrap().command().to_string()
    }

    #[test]
    fn what_is_measured_is_a_release_build() {
        let run = "cargo run --release -p cenote-benches --";
        assert_eq!(shown(&[]), format!("{run} all"));
        assert_eq!(shown(&["pool", "--quick", "--write-docs"]), format!("{run} pool --quick --write-docs"));
        assert_eq!(shown(&["--tasks", "64,256", "dedicated"]), format!("{run} dedicated --tasks 64,256"));
    }

    #[test]
    fn the_small_benches_are_criterions() {
        assert_eq!(shown(&["micro"]), "cargo bench -p cenote-benches --bench '*'");
        assert_eq!(shown(&["micro", "--quick"]), "cargo bench -p cenote-benches --bench '*' -- --quick");
    }

    #[test]
    fn only_what_talks_to_redis_needs_a_server() {
        let needs = |subject| parse(&[subject]).unwrap().needs_server();
        assert_eq!(
            SUBJECTS.iter().map(|subject| needs(subject)).collect::<Vec<_>>(),
            [true, true, false, true, true, true, false, true, true]
        );
    }

    #[test]
    fn a_file_is_found_again_from_another_folder() {
        let request = parse(&["lru", "--json", "rows.json"]).unwrap();
        assert!(Path::new(&request.flags[1]).is_absolute() && request.flags[1].ends_with("rows.json"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let cases: [(&[&str], &str); 8] = [
            (&["pond"], "there is pool, dedicated, lru, cache, ratelimit, progress, micro, telemetry, all"),
            (&["pool", "lru"], "one too many"),
            (&["--quik"], "there is --quick, --json, "),
            (&["--quick", "pool", "--quick"], "--quick is given twice"),
            (&["pool", "--json"], "--json needs the file to write"),
            (&["pool", "--json", "--quick"], "--json needs the file to write"),
            (&["pool", "--json", "no/such/folder/rows.json"], "a folder that is there"),
            (&["micro", "--write-docs"], "--write-docs does not go with `bench micro`"),
        ];
        for (args, expected) in cases {
            let error = parse(args).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains(expected), "{args:?}: {error}");
        }
    }
}
