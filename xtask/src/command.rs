//! Running other programs, and saying so.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{self, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A program with its arguments. It runs in the workspace's root.
#[derive(Clone)]
pub(crate) struct Command {
    program: String,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Command {
    pub(crate) fn new(program: &str) -> Self {
        Self { program: program.to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// `Command::line("cargo fmt --all")`: words split at blanks.
    pub(crate) fn line(line: &str) -> Self {
        let mut words = line.split_whitespace();
        Self::new(words.next().unwrap_or_default()).args(words)
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Prints the command and runs it with this process's terminal.
    pub(crate) fn run(&self) -> Result<()> {
        println!("$ {self}");
        let status = self.process().status().with_context(|| format!("cannot run `{}`", self.program))?;
        if !status.success() {
            bail!(Failed { command: self.to_string() });
        }
        Ok(())
    }

    /// Whether it succeeds. Nothing is printed.
    pub(crate) fn succeeds(&self) -> bool {
        let quiet = self.process().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    }

    /// What it prints. Its errors go to the terminal.
    pub(crate) fn output(&self) -> Result<String> {
        let output = self
            .process()
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run `{}`", self.program))?;
        if !output.status.success() {
            bail!(Failed { command: self.to_string() });
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn process(&self) -> process::Command {
        let mut process = process::Command::new(&self.program);
        process.args(&self.args).current_dir(workspace::root());
        process.envs(self.env.iter().map(|(name, value)| (name, value)));
        process
    }
}

/// As it would be typed into a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(value))?;
        }
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quote(arg)))
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A command that ended badly, for the summary to say how to repeat it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) command: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed: {}", self.command)
    }
}

impl std::error::Error for Failed {}

/// The first directory of `PATH` that has this program.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let with_extension = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|dir| dir.join(OsStr::new(&with_extension))).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let command = Command::line("cargo test  -p x")
            .arg("it's")
            .arg("")
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["--", "-q"]);
        assert_eq!(command.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo test -p x 'it'\''s' '' -- -q");
    }

    #[test]
    fn a_failure_names_its_command() {
        #[cfg(unix)]
        assert_eq!(Command::line("false -x").output().unwrap_err().to_string(), "failed: false -x");
        assert!(!Command::line("no-such-program").succeeds());
    }
}
