//! What the tests need of the machine: found, or installed where that is allowed.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

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
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let named = self.variable.and_then(env::var_os).map(PathBuf::from);
        named.or_else(|| self.names.iter().find_map(|name| on_path(name)))
    }

    /// Makes sure that it is there.
    ///
    /// # Errors
    ///
    /// "Not run", with what to type, when it may not or cannot be installed.
    pub(crate) fn ensure(&self) -> Result<()> {
        if let Some(program) = self.find() {
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
        if let Some(refresh) = manager.refresh
            && let Err(error) = command(prefix, refresh).run()
        {
            println!("{error}; going on");
        }
        let installed = command(prefix, &self.install_line(manager)).run();
        if installed.is_err() || self.find().is_none() {
            return Err(not_run(format!(
                "the installation did not bring `{names}`; run: {}",
                self.by_hand(manager, prefix)
            )));
        }
        self.ensure()
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

fn command(prefix: &str, line: &str) -> Command {
    let command = Command::line(&format!("{prefix}{line}"));
    if line.starts_with("apt-get") { command.env("DEBIAN_FRONTEND", "noninteractive") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
