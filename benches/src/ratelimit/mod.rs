//! The rate limiter beside its peers: a decision by Redis, and one without it.

mod clients;
mod local;
mod outage;
mod peers;

use std::time::Duration;

use anyhow::{Context, Result};
use cenote_testkit::Server;
use fastrand::Rng;
use tokio::runtime::Runtime;

use self::clients::{Cenote, Limit, Mux, Pool};
use self::peers::{Limitador, RedisRate};
use crate::bench::Length;
use crate::contender::{Boxed, Contender};
use crate::contest;
use crate::measure::{Call, Keep, Load, calls};
use crate::progress::Progress;
use crate::session::Findings;

/// Subjects of the benches, each with a quota that is never used up.
const SUBJECTS: usize = 1_000;
const TASKS: [usize; 4] = [1, 16, 64, 256];

const NOTES: [&str; 3] = [
    "\
ratelimit-check: `cenote script` is the limiter's own script, sent by hand with commands made before, through our pool and
through redis-rs: a ceiling, and no limiter. `redis_rate's script` is that of Go's redis_rate in shape, sent so through our
pool. `limitador's calls` are those of its storage in Redis, made by hand: two round trips to count in a fixed window.",
    "\
ratelimit-blocked, ratelimit-lease: governor decides for its own process alone, and its keys need no allocation.",
    "\
ratelimit-outage: a call waits for Redis for 50 ms at most; then the limiter leaves it alone for a second at a time.",
];

type Contenders = Vec<Box<dyn Contender<usize>>>;

/// Every bench of this family.
pub(crate) fn run(quick: bool) -> Result<Findings> {
    let length = if quick { Length::QUICK } else { Length::FULL };
    let server = Server::start();
    let runtime = Runtime::new()?;
    let mut findings = Findings::default();
    findings.rows.extend(runtime.block_on(async {
        let contenders = contenders(&server.url()).await?;
        let mut rows = Vec::new();
        for tasks in TASKS {
            let planned = length.round * (length.rounds as u32 + 1) * contenders.len() as u32;
            let mut progress = Progress::new(planned);
            progress.case(format!("ratelimit-check, tasks: {tasks}"));
            let records = contest::run(&contenders, tasks, length, &mut progress).await?;
            rows.extend(records.iter().map(|record| record.row("ratelimit-check", tasks)));
        }
        anyhow::Ok(rows)
    })?);
    findings.rows.extend(local::rows(&runtime, &server.url(), quick)?);
    findings.rows.extend(runtime.block_on(outage::rows(quick))?);
    findings.notes.extend(NOTES.map(str::to_owned));
    // Peers leave tasks behind.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(findings)
}

async fn contenders(url: &str) -> Result<Contenders> {
    Ok(vec![
        Checks::contender(Cenote::connect(url).await?),
        Checks::contender(Limitador::<true>::connect(url).await?),
        Checks::contender(Limitador::<false>::connect(url).await?),
        Checks::contender(RedisRate::connect(url).await?),
        Checks::contender(Pool::connect(url).await?),
        Checks::contender(Mux::connect(url).await?),
    ])
}

/// As services have them.
fn subject(index: usize) -> String {
    format!("user:{index:06}")
}

/// One token of one key at random.
struct Checks<L> {
    limit: L,
    random: Rng,
}

/// All tasks that check by one client.
struct Checking<L>(L);

impl<L: Limit> Checks<L> {
    fn contender(limit: L) -> Box<dyn Contender<usize>> {
        Box::new(Checking(limit))
    }
}

impl<L: Limit> Contender<usize> for Checking<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn load(&self, tasks: usize, duration: Duration, keep: Keep) -> Boxed<'_, Load> {
        let of_task = |task| Checks { limit: self.0.clone(), random: Rng::with_seed(task as u64) };
        Box::pin(
            async move { calls(of_task, tasks, duration, keep).await.with_context(|| L::NAME.to_owned()) },
        )
    }
}

impl<L: Limit> Call for Checks<L> {
    const OPS: usize = 1;

    async fn call(&mut self) -> Result<()> {
        self.limit.take(self.random.usize(..SUBJECTS)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length =
        Length { rounds: 2, round: Duration::from_millis(15), memory_run: Duration::ZERO, gauge_runs: 0 };

    #[tokio::test(flavor = "multi_thread")]
    async fn every_limiter_decides_and_has_a_row() -> Result<()> {
        let server = Server::start();
        let contenders = contenders(&server.url()).await?;
        let records = contest::run(&contenders, 4, LENGTH, &mut Progress::new(Duration::ZERO)).await?;
        for row in records.iter().map(|record| record.row("ratelimit-check", 4)) {
            assert!(row.p50_us.is_some_and(|p50| p50 > 0.0), "{row:?}");
        }
        Ok(())
    }
}
