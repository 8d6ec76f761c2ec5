//! What `cargo metadata` says of the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::Command;

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    // A test or a moved binary may run elsewhere; the source's place is the same in both.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map(Path::to_path_buf).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    pub(crate) has_lib: bool,
    /// Whether plain `cargo` commands in the root include it.
    pub(crate) is_default: bool,
}

pub(crate) fn packages() -> Result<Vec<Package>> {
    let text = Command::line("cargo metadata --format-version 1 --no-deps").output()?;
    parse(&text)
}

fn parse(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("the output of cargo metadata")?;
    let defaults = list(&metadata["workspace_default_members"]);
    let mut packages: Vec<_> =
        list(&metadata["packages"]).iter().map(|package| parse_package(package, defaults)).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn parse_package(package: &Value, defaults: &[Value]) -> Package {
    let targets = list(&package["targets"]);
    let is = |target: &Value, kind: &str| list(&target["kind"]).iter().any(|k| k == kind);
    let features = package["features"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    Package {
        name: text(&package["name"]),
        features: features.filter(|name| name != "default").collect(),
        has_lib: targets.iter().any(|target| is(target, "lib")),
        is_default: defaults.contains(&package["id"]),
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_cargo() {
        let packages = packages().unwrap();
        let kit = packages.iter().find(|package| package.name == "cenote-testkit").unwrap();
        assert!(kit.has_lib && kit.is_default);
        let own = packages.iter().find(|package| package.name == "xtask").unwrap();
        assert!(!own.has_lib && own.features.is_empty());
    }
}
