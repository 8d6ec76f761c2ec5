//! What 10,000 entries take, the allocator's share included: by how much a process of its own grows.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::clients::{Cache, Cenote, LruMutex, MiniMoka, Moka, QuickCache};
use super::trace;
use crate::measure::process;
use crate::report::Row;

/// The argument that makes this program such a process.
pub(crate) const ALONE: &str = "--one-cache";

/// As many as make what else a process takes small beside them.
const CACHES: usize = 20;

struct Measured {
    name: &'static str,
    grow: fn() -> Result<f64>,
}

const MEASURED: &[Measured] = &[
    measured::<Cenote>(),
    measured::<LruMutex>(),
    measured::<QuickCache>(),
    measured::<Moka>(),
    measured::<MiniMoka>(),
];

const fn measured<C: Cache>() -> Measured {
    Measured { name: C::NAME, grow: grow::<C> }
}

/// A row for each cache; none where the system does not tell.
pub(super) fn rows() -> Result<Vec<Row>> {
    if process::rss_mb().is_none() {
        return Ok(Vec::new());
    }
    MEASURED
        .iter()
        .map(|cache| {
            let peak_rss_mb = Some(alone(cache.name)?);
            Ok(Row {
                bench: "lru-memory",
                client: cache.name,
                tasks: 1,
                ops_per_s: 0.0,
                p50_us: None,
                p99_us: None,
                p999_us: None,
                cpu_us_per_op: None,
                peak_rss_mb,
                hit_ratio: None,
                rounds: 1,
                spread: 0.0,
            })
        })
        .collect()
}

fn alone(name: &str) -> Result<f64> {
    let output = Command::new("/proc/self/exe").args([ALONE, name]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{name} by itself ended with {}", output.status);
    let grown = String::from_utf8(output.stdout)?;
    grown.trim().parse().with_context(|| format!("{grown:?} is no figure"))
}

/// The run in that process. Prints what one cache takes, in MB.
pub(crate) fn run_alone(arguments: &[OsString]) -> Result<()> {
    let [name] = arguments else { bail!("{ALONE} is followed by the name of a cache") };
    let cache = MEASURED.iter().find(|cache| name == cache.name).context("no such cache")?;
    println!("{}", (cache.grow)()?);
    Ok(())
}

fn grow<C: Cache>() -> Result<f64> {
    let resident = || process::rss_mb().context("this system does not tell what is resident");
    let before = resident()?;
    let caches: Vec<_> = (0..CACHES).map(|_| C::with_capacity(super::ROOMY)).collect();
    for cache in &caches {
        trace::hot_keys().for_each(|key| cache.insert(&key, &[7; 100]));
        ensure!(cache.len() == trace::CAPACITY, "{} holds {} entries", C::NAME, cache.len());
    }
    Ok((resident()? - before) / CACHES as f64)
}
