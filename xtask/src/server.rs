//! The server that the tests run against: found, or installed where that is allowed.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::command::{Command, on_path};

/// How a package manager installs a server.
struct Manager {
    program: &'static str,
    /// A step that may fail: some third-party source is often out of order.
    refresh: Option<&'static str>,
    install: &'static str,
    needs_root: bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        refresh: Some("apt-get update"),
        install: "apt-get install -y --no-install-recommends redis-server",
        needs_root: true,
    },
    Manager { program: "dnf", refresh: None, install: "dnf install -y valkey", needs_root: true },
    Manager { program: "apk", refresh: None, install: "apk add --no-cache redis", needs_root: true },
    Manager { program: "brew", refresh: None, install: "brew install redis", needs_root: false },
];

/// The server's program: `CENOTE_SERVER`, or the first one on `PATH`.
pub(crate) fn find() -> Option<PathBuf> {
    let named = env::var_os("CENOTE_SERVER").map(PathBuf::from);
    named.or_else(|| on_path("redis-server")).or_else(|| on_path("valkey-server"))
}

/// Makes sure that there is a server, or says what to type.
pub(crate) fn ensure() -> Result<()> {
    if let Some(program) = find() {
        println!("the tests run against {}", program.display());
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|manager| on_path(manager.program).is_some()) else {
        bail!("install a Redis or Valkey server so that `redis-server` or `valkey-server` is on PATH");
    };
    let Some(prefix) = rights(manager) else {
        bail!("no Redis or Valkey server; run: {}", by_hand(manager, "sudo "));
    };
    println!("there is no redis-server or valkey-server on PATH: installing one with {}", manager.program);
    if let Some(refresh) = manager.refresh
        && let Err(error) = command(prefix, refresh).run()
    {
        println!("{error}; going on");
    }
    let installed = command(prefix, manager.install).run();
    if installed.is_err() || find().is_none() {
        bail!("the installation did not bring a server; run: {}", by_hand(manager, prefix));
    }
    ensure()
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

fn by_hand(manager: &Manager, prefix: &str) -> String {
    let prefix = if manager.needs_root { prefix } else { "" };
    let steps = manager.refresh.into_iter().chain([manager.install]);
    steps.map(|step| format!("{prefix}{step}")).collect::<Vec<_>>().join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_type_is_complete() {
        let hints: Vec<_> = MANAGERS.iter().map(|manager| by_hand(manager, "sudo ")).collect();
        assert_eq!(
            hints[0],
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server"
        );
        assert_eq!(hints[3], "brew install redis");
    }
}
