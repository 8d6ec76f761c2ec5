//! How much memory a client takes: a run in a process of its own, as peaks never go down.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::{Case, Family, Length};
use crate::contender::{self, Entrant};
use crate::measure::{Keep, process};

/// The argument that makes this program such a process.
pub(crate) const ALONE: &str = "--one";

/// Runs one client by itself and returns its peak, or `None` where the system does not tell.
pub(crate) fn measure(entrant: Entrant, case: Case, url: &str, length: Length) -> Result<Option<f64>> {
    if process::peak_rss_mb().is_none() {
        return Ok(None);
    }
    let tasks = case.tasks.to_string();
    let millis = length.memory_run.as_millis().to_string();
    // This program, even if it was built anew meanwhile.
    let output = Command::new("/proc/self/exe")
        .args([ALONE, entrant.name, case.bench.name(), &tasks, url, &millis])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{} by itself ended with {}", entrant.name, output.status);
    let peak = String::from_utf8(output.stdout)?;
    Ok(Some(peak.trim().parse().with_context(|| format!("{peak:?} is no figure"))?))
}

/// The run in that process: `CLIENT BENCH TASKS URL MILLISECONDS`. Prints its peak in MB.
pub(crate) async fn run_alone(arguments: &[OsString]) -> Result<()> {
    let words: Option<Vec<_>> = arguments.iter().map(|word| word.to_str()).collect();
    let Some(&[client, bench, tasks, url, millis]) = words.as_deref() else {
        anyhow::bail!("{ALONE} is followed by CLIENT BENCH TASKS URL MILLISECONDS");
    };
    let mut benches = Family::ALL.into_iter().flat_map(Family::benches);
    let bench = *benches.find(|known| known.name() == bench).context("no such bench")?;
    let mut entrants = contender::of(bench).iter();
    let entrant = entrants.find(|known| known.name == client).context("no such client")?;
    let duration = Duration::from_millis(millis.parse()?);

    let contender = entrant.connect(url).await?;
    contender.load(Case { bench, tasks: tasks.parse()? }, duration, Keep::Nothing).await?;
    println!("{}", process::peak_rss_mb().context("this system does not tell the peak")?);
    Ok(())
}
