//! Clients in turn, round by round, so that whatever else the machine does hits them alike.

use anyhow::Result;

use crate::bench::Length;
use crate::contender::Contender;
use crate::measure::latency::{median, spread};
use crate::measure::{Keep, Round};
use crate::progress::Progress;
use crate::report::Row;

/// The rounds of one client.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) client: &'static str,
    pub(crate) rounds: Vec<Round>,
}

/// Measures the contenders in one case: a round each to warm up, then all rounds, another one beginning each time.
pub(crate) async fn run<C: Copy>(
    contenders: &[Box<dyn Contender<C>>],
    case: C,
    length: Length,
    progress: &mut Progress,
) -> Result<Vec<Record>> {
    let mut records: Vec<_> =
        contenders.iter().map(|client| Record { client: client.name(), rounds: Vec::new() }).collect();
    for contender in contenders {
        progress.step("warming up", length.round);
        contender.load(case, length.round, Keep::Nothing).await?;
    }
    for round in 0..length.rounds {
        let label = format!("round {} of {}", round + 1, length.rounds);
        for turn in 0..contenders.len() {
            progress.step(&label, length.round);
            let index = (round + turn) % contenders.len();
            let load = contenders[index].load(case, length.round, Keep::Latencies).await?;
            records[index].rounds.push(Round::of(load, length.round));
        }
    }
    Ok(records)
}

impl Record {
    /// Medians of all rounds.
    pub(crate) fn row(&self, bench: &'static str, tasks: usize) -> Row {
        let of = |figure: fn(&Round) -> f64| median(self.rounds.iter().map(figure));
        let cpu: Option<Vec<_>> = self.rounds.iter().map(|round| round.cpu_us_per_op).collect();
        Row {
            bench,
            client: self.client,
            tasks,
            ops_per_s: of(|round| round.ops_per_s),
            p50_us: Some(of(|round| round.latency.p50)),
            p99_us: Some(of(|round| round.latency.p99)),
            p999_us: Some(of(|round| round.latency.p999)),
            cpu_us_per_op: cpu.map(median),
            peak_rss_mb: None,
            hit_ratio: None,
            rounds: self.rounds.len(),
            spread: spread(self.rounds.iter().map(|round| round.ops_per_s)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use cenote_testkit::Server;

    use super::*;
    use crate::bench::{Bench, Case, Family};
    use crate::contender::{self, Boxed};
    use crate::measure::Load;
    use crate::workload::data;

    const LENGTH: Length =
        Length { rounds: 3, round: Duration::from_millis(40), memory_run: Duration::ZERO, gauge_runs: 0 };

    async fn rows(server: &Server, benches: &[Bench]) -> Result<Vec<Row>> {
        let mut contenders = Vec::new();
        for entrant in contender::of(benches[0]) {
            contenders.push(entrant.connect(&server.url()).await?);
        }
        let mut rows = Vec::new();
        for &bench in benches {
            let case = Case { bench, tasks: 4 };
            let records = run(&contenders, case, LENGTH, &mut Progress::new(Duration::ZERO)).await?;
            rows.extend(records.iter().map(|record| record.row(bench.name(), case.tasks)));
        }
        Ok(rows)
    }

    fn assert_complete(row: &Row) {
        let [p50, p99, p999] = [row.p50_us, row.p99_us, row.p999_us].map(Option::unwrap);
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{row:?}");
        assert!(row.ops_per_s > 0.0 && row.spread >= 0.0, "{row:?}");
        let has_cpu = cfg!(unix) && row.bench != Bench::PoolNeighbour.name();
        assert_eq!(row.cpu_us_per_op.is_some_and(|cpu| cpu > 0.0), has_cpu, "{row:?}");
        assert_eq!((row.tasks, row.rounds), (4, LENGTH.rounds));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_client_has_a_complete_row_in_every_bench() -> Result<()> {
        let server = Server::start();
        data::store(&server)?;
        let pool = rows(&server, Family::Pool.benches()).await?;
        let dedicated = rows(&server, Family::Dedicated.benches()).await?;

        let names: Vec<_> = pool.iter().map(|row| (row.bench, row.client)).collect();
        let expected = |bench: &Bench| {
            let bench = *bench;
            contender::of(bench).iter().map(move |entrant| (bench.name(), entrant.name))
        };
        assert_eq!(names, Family::Pool.benches().iter().flat_map(expected).collect::<Vec<_>>());
        assert_eq!(dedicated.len(), contender::of(Bench::Dedicated).len());
        pool.iter().chain(&dedicated).for_each(assert_complete);
        Ok(())
    }

    /// Remembers whose turn it was, and answered one call.
    struct Quiet(&'static str, Rc<RefCell<Vec<&'static str>>>);

    impl Contender for Quiet {
        fn name(&self) -> &'static str {
            self.0
        }

        fn load(&self, _case: Case, _duration: Duration, _keep: Keep) -> Boxed<'_, Load> {
            self.1.borrow_mut().push(self.0);
            let load = Load { tasks: 1, latencies: vec![1], ops_per_call: 1, extra_calls: 0, cpu: None };
            Box::pin(async { Ok(load) })
        }
    }

    #[tokio::test]
    async fn another_client_begins_each_round() -> Result<()> {
        let turns = Rc::default();
        let names = ["a", "b", "c"];
        let contenders = names.map(|name| Box::new(Quiet(name, Rc::clone(&turns))) as Box<dyn Contender>);
        let case = Case { bench: Bench::PoolGet, tasks: 1 };
        let records = run(&contenders, case, LENGTH, &mut Progress::new(Duration::ZERO)).await?;

        let warm_up = names.as_slice();
        assert_eq!(*turns.borrow(), [warm_up, &["a", "b", "c"], &["b", "c", "a"], &["c", "a", "b"]].concat());
        assert_eq!(records.iter().map(|record| record.client).collect::<Vec<_>>(), names);
        assert!(records.iter().all(|record| record.rounds.len() == 3));
        Ok(())
    }
}
