//! The cache beside its peers: a hit in each tier, many keys at once, loads, and what an entry takes.

mod calls;
mod clients;
mod hot;
mod memory;
mod values;

use std::time::Duration;

use anyhow::Result;
use cenote_testkit::Server;
use tokio::runtime::Runtime;

use self::calls::{Fill, Get, Many, OneByOne};
use self::clients::{Bare, Cached, Cenote, CenoteWithoutL1, Moka, MultiTier};
pub(crate) use self::memory::{ALONE, run_alone};
pub(crate) use self::values::{ENTRIES, VALUE_BYTES};
use crate::bench::Length;
use crate::contender::Contender;
use crate::contest;
use crate::progress::Progress;
use crate::session::Findings;

const L2: &str = "\
cache-l2, cache-many: 20,000 values of 100 B at random; `cenote` has an L1 for 200 of them and is told of changes, `cenote
pool` fetches bare values of the same size, which expire as the others do.";

const FILL: &str = "\
cache-fill: each call asks for another key that nobody has. cenote's goes to Redis three times: to look, for its fence,
and to store; moka's stays in the process.";

type Contenders = Vec<Box<dyn Contender<usize>>>;

/// Every bench of this family.
pub(crate) fn run(quick: bool) -> Result<Findings> {
    let length = if quick { Length::QUICK } else { Length::FULL };
    let server = Server::start();
    let runtime = Runtime::new()?;
    let mut findings = Findings::default();
    findings.rows.extend(hot::rows(&runtime, &server.url(), quick)?);
    findings.rows.extend(runtime.block_on(async {
        let mut rows = Vec::new();
        for (bench, tasks, contenders) in over_redis(&server.url()).await? {
            let planned = length.round * (length.rounds as u32 + 1) * contenders.len() as u32;
            let mut progress = Progress::new(planned);
            progress.case(format!("{bench}, tasks: {tasks}"));
            let records = contest::run(&contenders, tasks, length, &mut progress).await?;
            rows.extend(records.iter().map(|record| record.row(bench, tasks)));
        }
        anyhow::Ok(rows)
    })?);
    eprintln!("cache-memory");
    findings.rows.extend(memory::rows(&server.url())?);
    findings.notes.extend([L2.to_owned(), FILL.to_owned()]);
    // Peers leave tasks behind.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(findings)
}

/// The benches in which calls are timed, with who takes part.
async fn over_redis(url: &str) -> Result<Vec<(&'static str, usize, Contenders)>> {
    let (ours, bare) = (Cenote::connect(url).await?, Bare::connect(url).await?);
    let l2: Contenders = vec![
        Get::contender(ours.clone()),
        Get::contender(CenoteWithoutL1::connect(url)?),
        Get::contender(bare.clone()),
        Get::contender(MultiTier::connect(url).await?),
        Get::contender(Cached::connect(url).await?),
    ];
    let many: Contenders =
        vec![Many::contender(ours.clone()), OneByOne::contender(ours.clone()), Many::contender(bare)];
    let fill: Contenders = vec![Fill::contender(ours), Fill::contender(Moka::with_room(values::KEYS))];
    Ok(vec![("cache-l2", 256, l2), ("cache-many", 1, many), ("cache-fill", 64, fill)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length =
        Length { rounds: 2, round: Duration::from_millis(15), memory_run: Duration::ZERO, gauge_runs: 0 };

    #[tokio::test(flavor = "multi_thread")]
    async fn every_client_has_a_row_in_every_bench() -> Result<()> {
        let server = Server::start();
        for (bench, _, contenders) in over_redis(&server.url()).await? {
            let records = contest::run(&contenders, 4, LENGTH, &mut Progress::new(Duration::ZERO)).await?;
            assert_eq!(records.len(), contenders.len());
            for row in records.iter().map(|record| record.row(bench, 4)) {
                // A hundred calls in a row may well outlast the round: then they have a time, and no rate.
                assert!(row.p50_us.is_some_and(|p50| p50 > 0.0), "{row:?}");
            }
        }
        Ok(())
    }
}
