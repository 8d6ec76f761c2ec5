//! Where and with what was measured: without it a figure says nothing.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cenote_testkit::Server;
use serde::Deserialize;
use sysinfo::System;

/// What stands beside the figures.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Cores, processor, memory and operating system.
    pub(super) machine: String,
    /// Names with their versions.
    pub(super) versions: Vec<String>,
    /// In UTC.
    pub(super) date: String,
}

/// Names by which people know the clients, and the packages they come from.
const CLIENTS: &[(&str, &[(&str, &str)])] = &[
    (
        "pool",
        &[
            ("cenote", "cenote"),
            ("rustis", "rustis"),
            ("fred", "fred"),
            ("redis-rs", "redis"),
            ("bb8-redis", "bb8-redis"),
            ("deadpool-redis", "deadpool-redis"),
        ],
    ),
    ("dedicated", &[("cenote", "cenote"), ("bb8-redis", "bb8-redis"), ("deadpool-redis", "deadpool-redis")]),
    (
        "lru",
        &[
            ("cenote", "cenote-fallback-lru"),
            ("quick_cache", "quick_cache"),
            ("lru", "lru"),
            ("mini-moka", "mini-moka"),
            ("moka", "moka"),
        ],
    ),
    (
        "cache",
        &[
            ("cenote", "cenote-cache"),
            ("quick_cache", "quick_cache"),
            ("moka", "moka"),
            ("multi-tier-cache", "multi-tier-cache"),
            ("cached", "cached"),
        ],
    ),
    ("ratelimit", &[("cenote", "cenote-ratelimit"), ("governor", "governor"), ("redis-rs", "redis")]),
    ("progress", &[("cenote", "cenote-pubsub-progress"), ("redis-rs", "redis"), ("fred", "fred")]),
];

const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

impl Setting {
    /// Here, now, for one family of benches.
    pub(super) fn of(family: &str) -> Result<Self> {
        let mut versions = clients(family, LOCK)?;
        let mut machine = machine();
        if family != "lru" {
            versions.push(server());
            machine += ", shared by clients and server";
        }
        versions.push(compiler()?);
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        Ok(Self { machine, versions, date })
    }
}

fn clients(family: &str, lock: &str) -> Result<Vec<String>> {
    let lock = Lock::parse(lock)?;
    let (_, clients) = CLIENTS.iter().find(|(known, _)| *known == family).context("no such family")?;
    clients.iter().map(|(name, package)| Ok(format!("{name} {}", lock.version(package)?))).collect()
}

/// The lines of Cargo.lock that matter here.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("Cargo.lock")
    }

    /// The version that these benches are built with. Where several are in the workspace, ours is named among what
    /// we depend on.
    fn version(&self, package: &str) -> Result<&str> {
        let ours = self.package.iter().find(|known| known.name == env!("CARGO_PKG_NAME"));
        let mut direct = ours.iter().flat_map(|ours| &ours.dependencies);
        // With its source, where a patch crate of the workspace has the same name and version.
        let chosen = direct.find_map(|line| line.strip_prefix(package)?.strip_prefix(' ')?.split(' ').next());
        let is_it =
            |known: &&Package| known.name == package && chosen.is_none_or(|version| known.version == version);
        let found =
            self.package.iter().find(is_it).with_context(|| format!("Cargo.lock has no {package}"))?;
        Ok(&found.version)
    }
}

/// What a server of the kind that was measured says of itself.
fn server() -> String {
    let server = Server::start();
    let observer = server.observer();
    match observer.info("valkey_version").as_str() {
        "" => format!("Redis {}", observer.info("redis_version")),
        valkey => format!("Valkey {valkey}"),
    }
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("cannot run `rustc --version`")?;
    ensure!(output.status.success(), "`rustc --version` failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // "rustc 1.95.0 (59807616e 2026-04-14)": what is in brackets follows from the rest.
    Ok(text.split(" (").next().unwrap_or_default().trim().to_owned())
}

fn machine() -> String {
    let system = System::new_with_specifics(
        sysinfo::RefreshKind::nothing()
            .with_cpu(sysinfo::CpuRefreshKind::nothing())
            .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = format!("{cores} core{}", if cores == 1 { "" } else { "s" });
    let named = system.cpus().first().map(|cpu| cpu.brand().trim()).filter(|brand| !brand.is_empty());
    let processor = named.map_or_else(System::cpu_arch, |brand| format!("{brand}, {}", System::cpu_arch()));
    let memory = format!("{:.1} GiB", system.total_memory() as f64 / f64::from(1 << 30));
    let os = [System::name(), System::os_version()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{cores} ({processor}), {memory}, {os}, {}", System::kernel_long_version())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_its_version_in_the_lock() {
        for (family, clients) in CLIENTS {
            let versions = super::clients(family, LOCK).unwrap();
            assert_eq!(versions.len(), clients.len());
            assert!(versions.iter().all(|line| line.ends_with(|c: char| c.is_ascii_digit())), "{versions:?}");
        }
    }

    #[test]
    fn of_two_versions_the_one_that_we_depend_on_is_told() {
        let lock = Lock::parse(&format!(
            "[[package]]\nname = \"lru\"\nversion = \"0.12.5\"\n[[package]]\nname = \"lru\"\nversion = \"0.19.0\"\n\
             [[package]]\nname = \"{}\"\nversion = \"0.0.0\"\ndependencies = [\"lru-slab\", \"lru 0.19.0 (registry+there)\"]\n",
            env!("CARGO_PKG_NAME")
        ));
        let lock = lock.unwrap();
        assert_eq!(lock.version("lru").unwrap(), "0.19.0");
        assert_eq!(lock.version("moka").unwrap_err().to_string(), "Cargo.lock has no moka");
    }

    #[test]
    fn the_setting_is_told_in_full() {
        let setting = Setting::of("dedicated").unwrap();
        assert_eq!(setting.date.len(), "2026-01-31".len());
        assert!(setting.machine.contains(" core") && setting.machine.contains("GiB"), "{}", setting.machine);
        let starts = ["cenote 0.", "bb8-redis 0.", "deadpool-redis 0."];
        assert!(setting.versions.iter().zip(starts).all(|(line, start)| line.starts_with(start)));
        assert!(setting.versions[4].starts_with("rustc 1."), "{:?}", setting.versions);
        assert!(!setting.versions[3].ends_with(' '), "{:?}", setting.versions);
    }
}
