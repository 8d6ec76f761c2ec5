//! What 10,000 entries of L1 take, the allocator's share included: by how much a process of its own grows.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::Runtime;

use super::clients::{CenoteHot, Hot, Moka, QuickCache};
use crate::lru::rounds;
use crate::lru::trace::Key;
use crate::measure::process;
use crate::report::Row;

/// The argument that makes this program such a process.
pub(crate) const ALONE: &str = "--one-l1";

/// As many as make what else a process takes small beside them.
const CACHES: usize = 10;

struct Measured {
    name: &'static str,
    grow: fn(&str) -> Result<f64>,
}

const MEASURED: &[Measured] = &[measured::<CenoteHot>(), measured::<QuickCache>(), measured::<Moka<Key>>()];

const fn measured<C: Hot>() -> Measured {
    Measured { name: C::NAME, grow: grow::<C> }
}

/// A row for each cache; none where the system does not tell.
pub(super) fn rows(url: &str) -> Result<Vec<Row>> {
    if process::rss_mb().is_none() {
        return Ok(Vec::new());
    }
    let row = |cache: &Measured| {
        let once = rounds::Round { ops_per_s: 0.0, hit_ratio: 0.0 };
        let peak_rss_mb = Some(alone(cache.name, url)?);
        Ok(Row {
            peak_rss_mb,
            hit_ratio: None,
            spread: 0.0,
            ..rounds::row("cache-memory", cache.name, 1, &[once])
        })
    };
    MEASURED.iter().map(row).collect()
}

fn alone(name: &str, url: &str) -> Result<f64> {
    let output = Command::new("/proc/self/exe").args([ALONE, name, url]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{name} by itself ended with {}", output.status);
    let grown = String::from_utf8(output.stdout)?;
    grown.trim().parse().with_context(|| format!("{grown:?} is no figure"))
}

/// The run in that process: `CACHE URL`. Prints what one cache takes, in MB.
pub(crate) fn run_alone(arguments: &[OsString]) -> Result<()> {
    let [name, url] = arguments else { bail!("{ALONE} is followed by CACHE URL") };
    let cache = MEASURED.iter().find(|cache| name == cache.name).context("no such cache")?;
    println!("{}", (cache.grow)(url.to_str().context("no URL")?)?);
    Ok(())
}

fn grow<C: Hot>(url: &str) -> Result<f64> {
    let runtime = Runtime::new()?;
    let resident = || process::rss_mb().context("this system does not tell what is resident");
    // Whatever is made once is made with the first.
    let _first = runtime.block_on(C::filled(url, 0))?;
    let before = resident()?;
    let caches = (1..=CACHES).map(|index| runtime.block_on(C::filled(url, index)));
    let caches: Vec<_> = caches.collect::<Result<_>>()?;
    let grown = resident()? - before;
    drop(caches);
    Ok(grown / CACHES as f64)
}
