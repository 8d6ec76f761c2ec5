//! Tasks that call as fast as they are answered.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;

use super::process;
use crate::clients::{Client, Handle};
use crate::workload::Workload;

/// How long a client may take to answer the last calls.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What the tasks did.
#[derive(Debug)]
pub(crate) struct Load {
    /// Tasks that are measured.
    pub(crate) tasks: usize,
    /// Nanoseconds of each of their calls.
    pub(crate) latencies: Vec<u32>,
    pub(crate) ops_per_call: usize,
    /// Calls of the other tasks.
    pub(crate) extra_calls: usize,
    /// Processor time of this process.
    pub(crate) cpu: Option<Duration>,
}

/// Whether latencies are kept. They take memory of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Latencies,
    Nothing,
}

/// What one task does, over and over.
pub(crate) trait Call: Send + 'static {
    /// Operations in one call.
    const OPS: usize;
    /// Tasks beyond those that are measured.
    const EXTRA_TASKS: usize = 0;

    /// One call, and a look at its answer.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Work with the client that does it.
struct Workman<H, W>(H, W);

impl<H: Handle, W: Workload> Call for Workman<H, W> {
    const OPS: usize = W::OPS_PER_CALL;
    const EXTRA_TASKS: usize = W::EXTRA_TASKS;

    async fn call(&mut self) -> Result<()> {
        self.1.call(&mut self.0).await
    }
}

/// [`calls`] of a workload, one handle of the client for each task.
pub(crate) async fn load<C: Client, W: Workload>(
    client: &C,
    tasks: usize,
    duration: Duration,
    keep: Keep,
) -> Result<Load> {
    let of_task = |index| Workman(client.handle(), W::of_task(index, tasks));
    calls(of_task, tasks, duration, keep).await
}

/// Runs `tasks` tasks for `duration`, from the moment at which all of them are there.
///
/// # Errors
///
/// The first that any call met; or calls that are not answered long after the end.
pub(crate) async fn calls<C: Call>(
    of_task: impl Fn(usize) -> C,
    tasks: usize,
    duration: Duration,
    keep: Keep,
) -> Result<Load> {
    let all_tasks = tasks + C::EXTRA_TASKS;
    let ready = Arc::new(Barrier::new(all_tasks + 1));
    let (start, end) = watch::channel(None);
    let mut running = JoinSet::new();
    for index in 0..all_tasks {
        let is_extra = index >= tasks;
        let keep = if is_extra { Keep::Nothing } else { keep };
        let call = of_task(index);
        let (ready, end) = (ready.clone(), end.clone());
        running.spawn(async move {
            ready.wait().await;
            Ok((is_extra, call_until(end, call, keep).await?))
        });
    }
    ready.wait().await;

    let cpu_before = process::cpu_time();
    start.send_replace(Some(Instant::now() + duration));
    let Ok(calls) = tokio::time::timeout(duration + DRAIN_LIMIT, join(&mut running)).await else {
        bail!("{} of {all_tasks} tasks had no answer {DRAIN_LIMIT:?} after the end", running.len());
    };
    let calls = calls?;
    let cpu = process::cpu_time().zip(cpu_before).map(|(after, before)| after - before);

    let extra_calls = calls.iter().filter(|(is_extra, _)| *is_extra).map(|(_, calls)| calls.count).sum();
    let latencies = calls.into_iter().flat_map(|(_, calls)| calls.latencies).collect();
    Ok(Load { tasks, latencies, ops_per_call: C::OPS, extra_calls, cpu })
}

struct Calls {
    count: usize,
    latencies: Vec<u32>,
}

/// One reading of the clock and one push per call: percentiles are exact, and a histogram would cost the loop more.
async fn call_until(
    mut end: watch::Receiver<Option<Instant>>,
    mut call: impl Call,
    keep: Keep,
) -> Result<Calls> {
    let capacity = if keep == Keep::Latencies { 4096 } else { 0 };
    let mut calls = Calls { count: 0, latencies: Vec::with_capacity(capacity) };
    let end = end.wait_for(Option::is_some).await?.context("there is an end")?;
    let mut before = Instant::now();
    loop {
        call.call().await?;
        let now = Instant::now();
        calls.count += 1;
        if keep == Keep::Latencies {
            calls.latencies.push(u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX));
        }
        if now >= end {
            return Ok(calls);
        }
        before = now;
    }
}

async fn join(running: &mut JoinSet<Result<(bool, Calls)>>) -> Result<Vec<(bool, Calls)>> {
    let mut all = Vec::new();
    while let Some(joined) = running.join_next().await {
        all.push(joined??);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Get, Neighbour};

    /// Answers at once, with values of this size whatever the key.
    #[derive(Clone, Copy)]
    struct Fake(usize);

    impl Client for Fake {
        const NAME: &'static str = "fake";
        type Handle = Self;

        async fn connect(_url: &str) -> Result<Self> {
            Ok(Self(100))
        }

        fn handle(&self) -> Self {
            *self
        }
    }

    impl Handle for Fake {
        async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
            tokio::task::yield_now().await;
            Ok(vec![0; if key.starts_with("large") { 1_000_000 } else { self.0 }])
        }

        async fn set(&mut self, _key: &str, _value: &[u8]) -> Result<()> {
            Ok(())
        }

        async fn pipeline(&mut self, _keys: &[&str]) -> Result<Vec<Vec<u8>>> {
            Ok(Vec::new())
        }
    }

    const TIME: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn every_task_calls_until_the_end() -> Result<()> {
        let begun = Instant::now();
        let load = load::<Fake, Get>(&Fake(100), 3, TIME, Keep::Latencies).await?;
        assert!(begun.elapsed() >= TIME);
        assert_eq!((load.tasks, load.extra_calls, load.ops_per_call), (3, 0, 1));
        assert!(load.latencies.len() >= 3);
        Ok(())
    }

    #[tokio::test]
    async fn extra_tasks_are_counted_apart() -> Result<()> {
        let load = load::<Fake, Neighbour>(&Fake(100), 2, TIME, Keep::Nothing).await?;
        assert!(load.extra_calls >= 1);
        assert!(load.latencies.is_empty(), "nothing was to be kept");
        Ok(())
    }

    #[tokio::test]
    async fn a_wrong_reply_is_an_error_and_no_measurement() {
        let result = load::<Fake, Get>(&Fake(99), 2, TIME, Keep::Latencies).await;
        let error = result.expect_err("99 bytes are not 100").to_string();
        assert!(error.contains("has 100 bytes, and 99 came back"), "{error}");
    }
}
