//! One server, the clients connected to it, and every case of `pool` or of `dedicated`.

use anyhow::Result;
use cenote_testkit::Server;

use crate::bench::{Bench, Case, Family, Length};
use crate::contest::{self, Record};
use crate::measure::latency::median;
use crate::options::Options;
use crate::progress::Progress;
use crate::report::Row;
use crate::workload::data;
use crate::{gauge, memory};

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    /// What the rows do not say, in a line each.
    pub(crate) notes: Vec<String>,
}

const DEDICATED: &str = "dedicated: 20 exclusive connections each; cenote has max_connections(21), as it always leaves one \
                         to commands that share it";

/// Connects every client once, and measures them case by case.
pub(crate) async fn run(family: Family, options: &Options) -> Result<Findings> {
    let (cases, entrants, length) =
        (options.cases(family), options.selection.entrants(family), options.length());
    let server = Server::start();
    data::store(&server)?;
    let mut contenders = Vec::new();
    for entrant in &entrants {
        contenders.push(entrant.connect(&server.url()).await?);
    }

    let with_gauge =
        cases.iter().any(|case| case.bench == Bench::PoolGet) && options.selection.is_everything();
    let gauging = gauge::RUN * u32::from(with_gauge) * length.gauge_runs as u32;
    let each = length.round * (length.rounds as u32 + 1) + length.memory_run;
    let mut progress = Progress::new(gauging + each * (cases.len() * entrants.len()) as u32);

    let mut findings = Findings::default();
    if with_gauge {
        progress.case("redis-benchmark".to_owned());
        progress.step("floor and ceiling", gauging);
        findings.gauge(&server, length)?;
    }
    for case in cases {
        progress.case(case.to_string());
        let records = contest::run(&contenders, case, length, &mut progress).await?;
        for (record, &entrant) in records.iter().zip(&entrants) {
            progress.step("memory", length.memory_run);
            let peak_rss_mb = memory::measure(entrant, case, &server.url(), length)?;
            findings.rows.push(Row { peak_rss_mb, ..record.row(case.bench.name(), case.tasks) });
        }
        findings.notes.extend(extra_tasks(case, &records));
    }
    if family == Family::Dedicated {
        findings.notes.push(DEDICATED.to_owned());
    }
    Ok(findings)
}

impl Findings {
    fn gauge(&mut self, server: &Server, length: Length) -> Result<()> {
        if gauge::is_installed() {
            self.rows.extend(gauge::run(server, length.gauge_runs)?);
        } else {
            self.notes.push("redis-benchmark is not installed: no floor and no ceiling".to_owned());
        }
        Ok(())
    }
}

/// What the extra tasks got done: one that is held back disturbs nobody.
fn extra_tasks(case: Case, records: &[Record]) -> Option<String> {
    let of = |record: &Record| median(record.rounds.iter().map(|round| round.extra_calls_per_s));
    let counts: Vec<_> =
        records.iter().map(|record| format!("{} {:.0}", record.client, of(record))).collect();
    let has_extra = records.iter().any(|record| of(record) > 0.0);
    has_extra.then(|| {
        format!(
            "{}: values of 1 MB fetched beside them, in a second: {}",
            case.bench.name(),
            counts.join(", ")
        )
    })
}
