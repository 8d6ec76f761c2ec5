//! `progress-fanout` and `progress-server`: one job, many watchers; rounds in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cenote_testkit::{Observer, Server};

use super::fans::{Cenote, Counter, Fan, Fred, PubSub, Push};
use super::sse;
use crate::bench::Length;
use crate::contender::Boxed;
use crate::measure::latency::{Percentiles, median, spread};
use crate::measure::process;
use crate::report::Row;

/// Of one publish to its last watcher.
const LIMIT: Duration = Duration::from_secs(20);
/// Beyond, a connection for each watcher takes long to set up, and shows nothing new.
const MOST_CONNECTIONS: usize = 1_000;

/// What one round found, for one delivery.
struct Round {
    per_s: f64,
    latency: Percentiles,
    cpu_us: Option<f64>,
    server_us: f64,
}

trait Contender {
    fn name(&self) -> &'static str;
    fn round<'a>(&'a mut self, duration: Duration, observer: &'a Observer) -> Boxed<'a, Round>;
}

struct Watched<F> {
    fan: F,
    watchers: usize,
    counter: Arc<Counter>,
}

impl<F: Fan + 'static> Watched<F> {
    async fn open(url: &str, watchers: usize) -> Result<Box<dyn Contender>> {
        let counter = Arc::default();
        let fan = F::open(url, watchers, &counter).await.with_context(|| F::NAME.to_owned())?;
        Ok(Box::new(Self { fan, watchers, counter }))
    }

    /// Until the last watcher has it.
    async fn tell(&mut self) -> Result<()> {
        self.counter.expect(self.watchers);
        self.fan.publish().await?;
        let reached = tokio::time::timeout(LIMIT, self.counter.reached()).await;
        reached.with_context(|| format!("{}: not every watcher was told", F::NAME))
    }
}

impl<F: Fan + 'static> Contender for Watched<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn round<'a>(&'a mut self, duration: Duration, observer: &'a Observer) -> Boxed<'a, Round> {
        Box::pin(async move {
            // The first one finds what has gone cold.
            self.tell().await?;
            let (cpu, server) = (process::cpu_time(), server_us(observer)?);
            let (begun, mut latencies) = (Instant::now(), Vec::new());
            while begun.elapsed() < duration || latencies.len() < 3 {
                let told = Instant::now();
                self.tell().await?;
                latencies.push(u32::try_from(told.elapsed().as_nanos()).unwrap_or(u32::MAX));
            }
            let took = begun.elapsed().as_secs_f64();
            let cpu = process::cpu_time().zip(cpu).map(|(after, before)| after - before);
            let server = server_us(observer)? - server;
            let deliveries = (latencies.len() * self.watchers) as f64;
            Ok(Round {
                per_s: deliveries / took,
                cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries),
                server_us: server / deliveries,
                latency: Percentiles::of(latencies),
            })
        })
    }
}

/// Processor time of the server so far, in microseconds.
fn server_us(observer: &Observer) -> Result<f64> {
    let of = |field| -> Result<f64> { Ok(observer.info(field).parse::<f64>()? * 1e6) };
    Ok(of("used_cpu_user")? + of("used_cpu_sys")?)
}

/// Watchers in this process.
pub(super) async fn rows(server: &Server, watchers: usize, length: Length) -> Result<Vec<Row>> {
    let url = server.url();
    let mut contenders = vec![Watched::<Cenote>::open(&url, watchers).await?];
    if watchers <= MOST_CONNECTIONS {
        contenders.push(Watched::<PubSub>::open(&url, watchers).await?);
    }
    contenders.push(Watched::<Push>::open(&url, watchers).await?);
    contenders.push(Watched::<Fred>::open(&url, watchers).await?);
    compete(["progress-fanout", "progress-server"], contenders, server, watchers, length).await
}

/// Clients of a service.
pub(super) async fn sse_rows(server: &Server, clients: usize, length: Length) -> Result<Vec<Row>> {
    let url = server.url();
    let mut contenders = vec![Watched::<sse::Cenote>::open(&url, clients).await?];
    if clients <= MOST_CONNECTIONS {
        contenders.push(Watched::<sse::PubSub>::open(&url, clients).await?);
    }
    contenders.push(Watched::<sse::Push>::open(&url, clients).await?);
    compete(["progress-sse", "progress-sse-server"], contenders, server, clients, length).await
}

async fn compete(
    [bench, server_bench]: [&'static str; 2],
    mut contenders: Vec<Box<dyn Contender>>,
    server: &Server,
    watchers: usize,
    length: Length,
) -> Result<Vec<Row>> {
    eprintln!("{bench}, watchers: {watchers}");
    let observer = server.observer();
    let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..length.rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            rounds[index].push(contenders[index].round(length.round, &observer).await?);
        }
    }
    let named = |bench: &'static str| {
        let all = contenders.iter().zip(&rounds);
        all.map(move |(contender, rounds)| row(bench, contender.name(), watchers, rounds))
    };
    let server_rows = named(server_bench).zip(&rounds).map(|(row, rounds)| Row {
        cpu_us_per_op: Some(median(rounds.iter().map(|round| round.server_us))),
        ..row
    });
    Ok(named(bench).chain(server_rows).collect())
}

fn row(bench: &'static str, client: &'static str, watchers: usize, rounds: &[Round]) -> Row {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let cpu: Option<Vec<_>> = rounds.iter().map(|round| round.cpu_us).collect();
    Row {
        bench,
        client,
        tasks: watchers,
        ops_per_s: of(|round| round.per_s),
        p50_us: Some(of(|round| round.latency.p50)),
        p99_us: Some(of(|round| round.latency.p99)),
        p999_us: Some(of(|round| round.latency.p999)),
        cpu_us_per_op: cpu.map(median),
        peak_rss_mb: None,
        hit_ratio: None,
        rounds: rounds.len(),
        spread: spread(rounds.iter().map(|round| round.per_s)),
    }
}
