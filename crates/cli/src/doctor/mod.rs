//! `cenote doctor`: tells step by step whether Redis can be used, and what to do if not.

mod entry;
mod health;
mod reach;
mod report;
mod sentinels;
mod talk;
mod tls;
mod writes;

use std::time::Duration;

use cenote_pool_core::Steps;
use clap::Args;

use crate::config::Redis;
use crate::exit::{Exit, Failure};
use crate::{seconds, secrets};

use report::Report;

const EXITS: &str = "\
Exit codes, that of the first step that is wrong:
    0  all is well, or there are warnings only
    2  arguments or settings that cannot be
    6  Redis was not reached: its name, its address, or nobody answers there; or no sentinel knows it
    7  Redis lets us not in: password, permission, database, or it is full
    8  what answers is no Redis, or TLS and the URL do not go together
    9  Redis serves, and something does harm: a replica, full memory or disk, no pub/sub

Examples:
  cenote doctor
  cenote doctor redis://redis.internal:6379/0
  cenote doctor --json | jq -r .summary";

/// Tells whether Redis can be used, and what to do if not: name, connection, password, database, role, memory, ...
///
/// The first line tells the cause. Nothing is written to Redis: a message is published to a channel of its own.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(crate) struct Options {
    /// Where Redis is, as with --url
    #[arg(value_name = "URL", conflicts_with = "url")]
    address: Option<String>,

    #[command(flatten)]
    redis: Redis,

    /// One JSON object
    #[arg(long)]
    json: bool,

    /// How long each step may take, fractions allowed
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Failure> {
    let Options { address, redis, json, timeout } = options;
    let redis = redis.or_bare(address);
    let mut steps = match steps(&redis) {
        Ok(steps) => steps,
        Err(failure) => {
            if json && let Some(message) = &failure.message {
                let message = secrets::scrub(message);
                Report::write_json_of_refusal(&redis.source(), &message, failure.exit)?;
            }
            return Err(failure);
        }
    };
    let mut report = Report { url: steps.to_string(), source: redis.source(), checks: Vec::new() };
    look(&mut steps, timeout, &mut report).await;
    if json {
        report.write_json()?;
    } else {
        report.write()?;
    }
    Ok(report.exit())
}

fn steps(redis: &Redis) -> Result<Steps, Failure> {
    Steps::of(&redis.config()?).map_err(|error| Failure::new(Exit::Usage, redis.name(&error.to_string())))
}

async fn look(steps: &mut Steps, limit: Duration, report: &mut Report) {
    if !sentinels::ask(steps, limit, report).await {
        return;
    }
    let steps = &*steps;
    let Some((found, mut talk)) = reach::reach(steps, limit, report).await else { return };
    let Some(entry) = entry::enter(steps, &mut talk, limit, report).await else { return };
    let goes_on = health::role(&mut talk, &entry, report).await
        && health::latency(&mut talk, report).await
        && health::clock(&mut talk, report).await
        && health::memory(&mut talk, report).await
        && writes::disk(&mut talk, report).await;
    if goes_on {
        health::pubsub(steps, &found, limit, &mut talk, report).await;
    }
}
