//! Progress of jobs beside other ways to tell over pub/sub: what a report costs, how soon it is there, and what it costs to
//! tell it to many.

mod fanout;
mod fans;
mod publish;
mod receive;
mod sse;

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Result, ensure};
use cenote_pubsub_progress::{Delivery, JobHandle, Progress};
use cenote_testkit::Server;
use tokio::runtime::Runtime;

use crate::bench::Length;
use crate::contender::Contender;
use crate::contest;
use crate::measure::process;
use crate::progress::Progress as Meter;
use crate::report::Row;
use crate::session::Findings;

pub(crate) use self::sse::READERS;

/// Beyond what any run lasts: so that nothing but what is measured goes to Redis.
const HEARTBEAT: Duration = Duration::from_secs(600);
/// Tasks, and so jobs, that publish.
const PUBLISHERS: [usize; 2] = [1, 1_000];
/// Of one job.
const WATCHERS: [usize; 2] = [1_000, 10_000];
/// Of a service, for one job.
const CLIENTS: [usize; 2] = [1_000, 5_000];
/// As long as a small state is as JSON.
const PAYLOAD: usize = 300;

const PUBLISH: &str = "\
progress-publish: `cenote` waits until the state is kept in Redis, with its sign of life, and told; the others send a bare
PUBLISH of the same length, which nobody can read later. As many jobs as tasks.";

const RECEIVE: &str = "progress-receive: a message from one client to the other and a watcher that waits for it, in one process.";

const FANOUT: &str = "\
progress-fanout: one job, and so many watchers in one process: throughput in deliveries; latency until the last of them has
it. progress-server has the processor time of the server for one delivery, and not that of the client. `redis-rs pub/sub` has
a connection for each watcher; `redis-rs push` is one ConnectionManager whose push sender is a broadcast channel.";

const SSE: &str = "\
progress-sse: the same with clients of an axum service, who read in a process of their own: processor time is that of the
service for one delivery. The peers answer with axum's `Sse`, `redis-rs pub/sub` with a connection to Redis for each client.";

type Contenders = Vec<Box<dyn Contender<usize>>>;

/// Every bench of this family.
pub(crate) fn run(quick: bool) -> Result<Findings> {
    let length = if quick { Length::QUICK } else { Length::FULL };
    // The server takes over what this process may open.
    process::raise_open_files();
    let server = Server::start();
    let runtime = Runtime::new()?;
    let mut findings = Findings::default();
    runtime.block_on(async {
        findings.notes.push(round_trips(&server, if quick { 500 } else { 5_000 }).await?);
        for tasks in PUBLISHERS {
            let contenders = publish::contenders(&server.url(), tasks).await?;
            findings.rows.extend(rows("progress-publish", &contenders, tasks, length).await?);
        }
        let contenders = receive::contenders(&server.url()).await?;
        findings.rows.extend(rows("progress-receive", &contenders, 1, length).await?);
        for watchers in WATCHERS {
            findings.rows.extend(fanout::rows(&server, watchers, length).await?);
        }
        for clients in CLIENTS {
            // In this process there are those of two, and once in that of a third.
            match process::raise_open_files() {
                Some(files) if files > 3 * clients as u64 + 1_000 => {
                    findings.rows.extend(fanout::sse_rows(&server, clients, length).await?);
                }
                files => findings.notes.push(format!(
                    "progress-sse, {clients} clients: not run, as {files:?} files may be open"
                )),
            }
        }
        anyhow::Ok(())
    })?;
    findings.notes.extend([PUBLISH, RECEIVE, FANOUT, SSE].map(str::to_owned));
    // Peers leave tasks behind.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(findings)
}

async fn rows(
    bench: &'static str,
    contenders: &Contenders,
    tasks: usize,
    length: Length,
) -> Result<Vec<Row>> {
    let mut meter = Meter::new(length.round * (length.rounds as u32 + 1) * contenders.len() as u32);
    meter.case(format!("{bench}, tasks: {tasks}"));
    let records = contest::run(contenders, tasks, length, &mut meter).await?;
    Ok(records.iter().map(|record| record.row(bench, tasks)).collect())
}

/// The clients of `progress-sse`.
pub(crate) fn read_alone(arguments: &[OsString]) -> Result<()> {
    process::raise_open_files();
    Runtime::new()?.block_on(sse::read(arguments))
}

/// What one report is to the server: a script, and one read from the network.
///
/// # Errors
///
/// It is more than that.
async fn round_trips(server: &Server, reports: u64) -> Result<String> {
    let job = progress(&server.url())?.start("round-trips").await?;
    // What a connection that was just made brings with it is over by then.
    for _ in 0..50 {
        report(&job).await?;
    }
    let observer = server.observer();
    let count = || -> Result<(u64, u64)> {
        Ok((observer.calls("evalsha"), observer.info("total_reads_processed").parse()?))
    };
    let (scripts, reads) = count()?;
    // What looking costs.
    let looking = count()?.1 - reads;
    let (scripts, reads) = (scripts, reads + looking);
    for _ in 0..reports {
        report(&job).await?;
    }
    let (scripts_after, reads_after) = count()?;
    let (scripts, reads) = (scripts_after - scripts, reads_after - reads - looking);
    // A sign of life and the connections' own PINGs may come in between.
    ensure!(scripts <= reports + 2, "{reports} reports took {scripts} scripts");
    ensure!(reads <= reports + reports / 50 + 10, "{reports} reports took {reads} reads");
    Ok(format!(
        "progress-publish: {reports} reports in a row were {scripts} scripts, and {reads} reads of the server's: a round trip each"
    ))
}

fn progress(url: &str) -> Result<Progress> {
    let pool = cenote::Pool::builder().url(url).build()?;
    let (pause, kept) = (Duration::ZERO, HEARTBEAT * 3);
    Ok(Progress::builder(&pool).throttle(pause).heartbeat(HEARTBEAT).retention(kept).build()?)
}

async fn report(job: &JobHandle) -> Result<()> {
    job.inc(1);
    ensure!(job.flush().await? == Delivery::Confirmed, "Redis has it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length =
        Length { rounds: 2, round: Duration::from_millis(15), memory_run: Duration::ZERO, gauge_runs: 0 };

    #[tokio::test(flavor = "multi_thread")]
    async fn every_client_has_a_row_in_every_bench_and_a_report_is_one_round_trip() -> Result<()> {
        let server = Server::start();
        round_trips(&server, 50).await?;
        let publish =
            rows("progress-publish", &publish::contenders(&server.url(), 4).await?, 4, LENGTH).await?;
        let receive = rows("progress-receive", &receive::contenders(&server.url()).await?, 1, LENGTH).await?;
        let fanout = fanout::rows(&server, 20, LENGTH).await?;
        assert_eq!((publish.len(), receive.len(), fanout.len()), (4, 4, 8));
        for row in publish.iter().chain(&receive).chain(&fanout) {
            assert!(row.p50_us.is_some_and(|p50| p50 > 0.0), "{row:?}");
        }
        Ok(())
    }
}
