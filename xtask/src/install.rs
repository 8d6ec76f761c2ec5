//! What the tests need of the machine: found, or installed where that is allowed.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use crate::command::{Command, on_path};
use crate::stages::not_run;

/// A program, and the packages that bring it.
pub(crate) struct Program {
    what: &'static str,
    names: &'static [&'static str],
    /// A variable that names the program outright.
    variable: Option<&'static str>,
    apt: &'static str,
    dnf: &'static str,
    apk: &'static str,
    brew: &'static str,
}

pub(crate) const SERVER: Program = Program {
    what: "a Redis or Valkey server",
    names: &["redis-server", "valkey-server"],
    variable: Some("CENOTE_SERVER"),
    apt: "redis-server",
    dnf: "valkey",
    apk: "redis",
    brew: "redis",
};

pub(crate) const BROWSER: Program = Program {
    what: "Chromium",
    names: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    variable: None,
    apt: "chromium",
    dnf: "chromium",
    apk: "chromium",
    brew: "--cask chromium",
};

/// Counts instructions, for a bench.
pub(crate) const VALGRIND: Program = Program {
    what: "Valgrind",
    names: &["valgrind"],
    variable: None,
    apt: "valgrind",
    dnf: "valgrind",
    apk: "valgrind",
    brew: "valgrind",
};

/// How a package manager installs.
struct Manager {
    program: &'static str,
    /// A step that may fail: some third-party source is often out of order.
    refresh: Option<&'static str>,
    install: &'static str,
    package: fn(&Program) -> &'static str,
    needs_root: bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        refresh: Some("apt-get update"),
        install: "apt-get install -y --no-install-recommends",
        package: |program| program.apt,
        needs_root: true,
    },
    Manager {
        program: "dnf",
        refresh: None,
        install: "dnf install -y",
        package: |program| program.dnf,
        needs_root: true,
    },
    Manager {
        program: "apk",
        refresh: None,
        install: "apk add --no-cache",
        package: |program| program.apk,
        needs_root: true,
    },
    Manager {
        program: "brew",
        refresh: None,
        install: "brew install",
        package: |program| program.brew,
        needs_root: false,
    },
];

impl Program {
    /// The one named by its variable, or the first on `PATH`.
    ///
    /// # Errors
    ///
    /// The variable names something that cannot be run.
    pub(crate) fn find(&self) -> Result<Option<PathBuf>> {
        if let Some(variable) = self.variable
            && let Some(named) = env::var_os(variable)
        {
            return self.named(variable, Path::new(&named)).map(Some);
        }
        Ok(self.names.iter().find_map(|name| on_path(name)))
    }

    fn named(&self, variable: &str, program: &Path) -> Result<PathBuf> {
        // A bare name is looked up, as it is wherever it is run.
        let is_bare = program.components().count() == 1;
        let found = if is_bare { program.to_str().and_then(on_path) } else { Some(program.to_path_buf()) };
        let Some(found) = found.filter(|file| is_executable(file)) else {
            let what = self.what;
            let program = program.display();
            bail!(
                "{variable} is {program:?}, which is not an executable file: name {what}, or unset {variable}"
            );
        };
        Ok(found)
    }

    /// Makes sure that it is there.
    ///
    /// # Errors
    ///
    /// "Not run", with what to type, when it may not or cannot be installed.
    pub(crate) fn ensure(&self) -> Result<()> {
        if let Some(program) = self.find()? {
            println!("{}: {}", self.what, program.display());
            return Ok(());
        }
        let names = self.names.join("` or `");
        let Some(manager) = MANAGERS.iter().find(|manager| on_path(manager.program).is_some()) else {
            return Err(not_run(format!("install {} so that `{names}` is on PATH", self.what)));
        };
        let Some(prefix) = rights(manager) else {
            return Err(not_run(format!("no `{names}`; run: {}", self.by_hand(manager, "sudo "))));
        };
        println!("there is no `{names}` on PATH: installing {} with {}", self.what, manager.program);
        let refreshed = manager.refresh.map_or(Ok(()), |refresh| command(prefix, refresh).run());
        if let Err(error) = &refreshed {
            println!("{error}; going on");
        }
        let installed = command(prefix, &self.install_line(manager)).run();
        if installed.is_ok() && self.find()?.is_some() {
            return self.ensure();
        }
        let steps = [refreshed, installed].into_iter().filter_map(Result::err);
        let failed: Vec<_> = steps.map(|error| error.to_string()).collect();
        Err(not_run(self.why_not_installed(manager, &failed)))
    }

    /// Which step went wrong, and what helps other than the same again.
    fn why_not_installed(&self, manager: &Manager, failed: &[String]) -> String {
        let names = self.names.join("` or `");
        let manager = manager.program;
        let why = if failed.is_empty() {
            format!("{manager} ended well, and still there is no `{names}` on PATH")
        } else {
            format!("{} ({manager} says why above: often no network, or no such package)", failed.join("; "))
        };
        let variable = self.variable.map(|name| format!(", or name one in {name}")).unwrap_or_default();
        format!(
            "{why}. Mend that, or bring {} by other means so that `{names}` is on PATH{variable}",
            self.what
        )
    }

    fn install_line(&self, manager: &Manager) -> String {
        format!("{} {}", manager.install, (manager.package)(self))
    }

    fn by_hand(&self, manager: &Manager, prefix: &str) -> String {
        let prefix = if manager.needs_root { prefix } else { "" };
        let install = self.install_line(manager);
        let steps = manager.refresh.into_iter().map(str::to_owned).chain([install]);
        steps.map(|step| format!("{prefix}{step}")).collect::<Vec<_>>().join(" && ")
    }
}

/// Without a server there is nothing to test.
pub(crate) fn ensure_server() -> Result<()> {
    SERVER.ensure().map_err(|error| anyhow!("{error}"))
}

/// What goes before the command to have the rights it needs, or `None` when it may not run.
fn rights(manager: &Manager) -> Option<&'static str> {
    let is_root = || Command::line("id -u").output().is_ok_and(|id| id.trim() == "0");
    if !manager.needs_root || is_root() {
        Some("")
    } else if Command::line("sudo -n true").succeeds() {
        Some("sudo -n ")
    } else {
        None
    }
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

fn command(prefix: &str, line: &str) -> Command {
    let command = Command::line(&format!("{prefix}{line}"));
    if line.starts_with("apt-get") { command.env("DEBIAN_FRONTEND", "noninteractive") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_command_to_type_is_complete() {
        let hints: Vec<_> = MANAGERS.iter().map(|manager| SERVER.by_hand(manager, "sudo ")).collect();
        assert_eq!(
            hints[0],
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server"
        );
        assert_eq!(hints[3], "brew install redis");
        assert!(BROWSER.by_hand(&MANAGERS[0], "").ends_with(" chromium"));
    }

    #[test]
    fn a_failed_installation_says_which_step_failed_and_what_else_helps() {
        let failed = ["failed: apt-get update".to_owned(), "failed: apt-get install -y x".to_owned()];
        let text = SERVER.why_not_installed(&MANAGERS[0], &failed);
        for part in [&failed[0], &failed[1], "network", "`redis-server` or `valkey-server`", "CENOTE_SERVER"]
        {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
        assert!(BROWSER.why_not_installed(&MANAGERS[0], &[]).contains("apt-get ended well"));
    }

    #[test]
    fn a_variable_that_names_no_program_is_an_error_that_names_it() {
        #[cfg(unix)]
        assert!(SERVER.named("CENOTE_SERVER", Path::new("sh")).unwrap().is_absolute());
        let wrong = workspace::root().join("no-such-server");
        let error = SERVER.named("CENOTE_SERVER", &wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("CENOTE_SERVER is ") && error.contains("not an executable file"),
            "{error}"
        );
    }
}
