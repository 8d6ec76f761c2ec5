//! Finds the server's program.

use std::env;
use std::path::PathBuf;

/// The program named by `CENOTE_SERVER`, or the first server on `PATH`. Panics with what to do if there is none.
pub(super) fn find() -> PathBuf {
    if let Some(named) = env::var_os("CENOTE_SERVER") {
        return PathBuf::from(named);
    }
    on_path("redis-server")
        .or_else(|| on_path("valkey-server"))
        .unwrap_or_else(|| panic!("these tests need a Redis or Valkey server: run `{}`", install_command()))
}

fn install_command() -> &'static str {
    let known = [
        ("apt-get", "apt-get update && apt-get install -y redis-server"),
        ("dnf", "dnf install -y valkey"),
        ("apk", "apk add redis"),
        ("brew", "brew install redis"),
    ];
    known
        .into_iter()
        .find(|(manager, _)| on_path(manager).is_some())
        .map_or("cargo xtask test", |(_, command)| command)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}
