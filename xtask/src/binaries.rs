//! Runs test binaries several at a time, which cargo does not: most of them wait for servers and timers, and one
//! after the other they leave the cores idle.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{Command, Failed};
use crate::workspace::{list, text};

/// One that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    file: PathBuf,
    /// What it prints goes here.
    output: PathBuf,
    /// Where cargo would run it, too.
    directory: PathBuf,
    package: String,
    /// What cargo calls it, as in `--test basics`.
    flags: Vec<String>,
    name: String,
}

/// Builds what this `cargo test` would run.
pub(crate) fn build(cargo_test: Command) -> Result<Vec<Binary>> {
    let command = cargo_test.args(["--no-run", "--message-format=json-render-diagnostics"]);
    println!("$ {command}");
    let mut binaries: Vec<_> =
        command.output()?.lines().filter_map(|line| parse(line).transpose()).collect::<Result<_>>()?;
    // In the same order each time. Cargo's is that in which they were finished.
    binaries.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(binaries)
}

/// A line of cargo's that tells of a test binary.
fn parse(line: &str) -> Result<Option<Binary>> {
    let message: Value = serde_json::from_str(line).context("a message of cargo's")?;
    let Some(file) = message["executable"].as_str().filter(|_| message["profile"]["test"] == true) else {
        return Ok(None);
    };
    let directory = Path::new(message["manifest_path"].as_str().unwrap_or_default()).parent();
    let (target, name) = (&message["target"], text(&message["target"]["name"]));
    let flags = match list(&target["kind"]).first().and_then(Value::as_str) {
        Some(kind @ ("test" | "bin" | "example")) => vec![format!("--{kind}"), name.clone()],
        _ => vec!["--lib".to_owned()],
    };
    Ok(Some(Binary {
        file: file.into(),
        output: Path::new(file).with_extension("out"),
        directory: directory.context("a package without a manifest")?.to_path_buf(),
        package: package_name(&text(&message["package_id"])),
        flags,
        name,
    }))
}

/// `path+file:///home/me/cenote/crates/cache#cenote-cache@0.1.0`, or without a name where the folder has it.
fn package_name(id: &str) -> String {
    let (path, rest) = id.rsplit_once('#').unwrap_or((id, ""));
    let name = rest.split_once('@').map_or_else(|| path.rsplit('/').next(), |(name, _)| Some(name));
    name.unwrap_or_default().to_owned()
}

/// Runs them all, so many at a time, and names those that failed.
pub(crate) fn run(binaries: &[Binary], at_a_time: usize, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let (next, failed, terminal) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(()));
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(binary) = binaries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let passed = binary.run(args, env);
                    // What one of them printed is not mixed with what others did.
                    let _printing = terminal.lock().unwrap_or_else(PoisonError::into_inner);
                    println!("\n$ {} ({:.1} s)", binary.repeat(args), started.elapsed().as_secs_f64());
                    print!("{}", binary.printed());
                    if !passed.unwrap_or_else(|error| {
                        println!("{error:#}");
                        false
                    }) {
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(binary.repeat(args).to_string());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!(Failed { command: failed.join("; ") });
    }
    Ok(())
}

impl Binary {
    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Result<bool> {
        // A file and no pipe: a server that a test has left behind would keep a pipe open for ever.
        let output = File::create(&self.output).with_context(|| format!("{}", self.output.display()))?;
        let mut process = process::Command::new(&self.file);
        process.args(args);
        process
            .current_dir(&self.directory)
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .envs(env.iter().copied());
        process.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let status = process.status().with_context(|| format!("cannot run {}", self.file.display()))?;
        if !status.success() && status.code() != Some(101) {
            println!("{}: {status}", self.file.display());
        }
        Ok(status.success())
    }

    /// What runs it again.
    fn repeat(&self, args: &[&str]) -> Command {
        let command =
            Command::line("cargo test --all-features -p").arg(&self.package).args(self.flags.clone());
        if args.is_empty() { command } else { command.arg("--").args(args.iter().copied()) }
    }

    fn printed(&self) -> String {
        fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// Those that [`build`] found: first those whose name begins so, and then all others.
pub(crate) fn split(binaries: Vec<Binary>, prefix: &str) -> (Vec<Binary>, Vec<Binary>) {
    binaries.into_iter().partition(|binary| binary.name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, name: &str, executable: &str) -> String {
        format!(
            r##"{{"reason":"compiler-artifact","package_id":"path+file:///w/crates/cache#cenote-cache@0.1.0",
            "manifest_path":"/w/crates/cache/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},
            "profile":{{"test":true}},"executable":{executable}}}"##
        )
    }

    #[test]
    fn cargo_tells_which_binaries_there_are_and_how_to_run_them_again() {
        let binary =
            parse(&message("test", "basics", r#""/w/target/debug/deps/basics-1""#)).unwrap().unwrap();
        assert_eq!(binary.directory, Path::new("/w/crates/cache"));
        assert_eq!(binary.repeat(&[]).to_string(), "cargo test --all-features -p cenote-cache --test basics");
        let alone = "cargo test --all-features -p cenote-cache --test basics -- --test-threads=1";
        assert_eq!(binary.repeat(&["--test-threads=1"]).to_string(), alone);
        let library = parse(&message("lib", "cenote_cache", r#""/w/target/debug/deps/cenote_cache-1""#));
        assert_eq!(library.unwrap().unwrap().flags, ["--lib"]);
        assert_eq!(parse(&message("lib", "cenote_cache", "null")).unwrap(), None);
        assert_eq!(parse(r#"{"reason":"build-finished","success":true}"#).unwrap(), None);
        assert_eq!(package_name("path+file:///w/xtask#0.0.0"), "xtask");
    }

    fn program(file: &str) -> Binary {
        let output = std::env::temp_dir().join(format!("cenote-xtask-{}-{file}", process::id()));
        let flags = vec!["--test".to_owned(), file.to_owned()];
        let (package, name) = ("p".to_owned(), file.to_owned());
        Binary { file: file.into(), output, directory: std::env::temp_dir(), package, flags, name }
    }

    #[test]
    fn those_that_are_timed_are_told_from_all_others() {
        let (timed, others) = split(["basics", "timed_soak", "times"].map(program).into(), "timed_");
        assert_eq!(timed, [program("timed_soak")]);
        assert_eq!(others, ["basics", "times"].map(program));
    }

    #[test]
    #[cfg(unix)]
    fn all_are_run_and_each_that_fails_is_named() {
        let binaries = ["false", "env", "no-such-program", "true"].map(program);
        let error = run(&binaries, 2, &[], &[("SAID", "so")]).unwrap_err();
        let mut named: Vec<_> = error.downcast_ref::<Failed>().unwrap().command.split("; ").collect();
        named.sort_unstable();
        let expected =
            ["false", "no-such-program"].map(|name| format!("cargo test --all-features -p p --test {name}"));
        assert_eq!(named, expected);
        assert!(binaries[1].printed().lines().any(|line| line == "SAID=so"));
        assert!(run(&binaries[3..], 2, &[], &[]).is_ok());
        for binary in &binaries {
            let _ = fs::remove_file(&binary.output);
        }
    }
}
