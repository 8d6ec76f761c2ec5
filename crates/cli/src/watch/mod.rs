//! `cenote watch JOB...`: follows jobs until they have ended.

mod screen;
mod signals;

use std::io;
use std::pin::pin;
use std::time::Duration;

use cenote_pool_core::{Pool, State};
use cenote_pubsub_progress::{Event, Progress};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::config::Redis;
use crate::exit::{Exit, Failure};
use crate::seconds;

use screen::Screen;

const EXITS: &str = "\
Exit codes, of several jobs the smallest above 0:
    0  every job finished
    1  a job failed
    2  arguments or settings that cannot be
    3  a job is lost: its record is gone, and no worker gives a sign of life
    4  a job was abandoned: its worker let go of it without a word
    5  a job was cancelled
    6  Redis was not reached
  124  the time of --timeout was over
  130  Ctrl-C, and 143 SIGTERM; the jobs go on

Examples:
  cenote watch import-42
  cenote watch import-42 export-7 --url redis://redis.internal:6379/0
  cenote watch --json import-42 | jq -r 'select(.event == \"log\").data.text'";

/// Follows jobs until they have ended: as bars on a terminal, and as plain lines elsewhere
///
/// A job that nobody knows yet is waited for. Watching changes nothing: Ctrl-C ends it, and the jobs go on. While Redis is
/// away that is said, and the watch goes on once it is back.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(crate) struct Options {
    /// The names of the jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,

    #[command(flatten)]
    redis: Redis,

    /// The jobs' namespace, as their workers have it
    #[arg(long, value_name = "NAME", default_value = "jobs")]
    namespace: String,

    /// One JSON object for each event, one a line: job, event, position and data
    #[arg(long)]
    json: bool,

    /// Gives up after so long, fractions allowed
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Failure> {
    let interrupt = pin!(signals::interrupt());
    let screen = Screen::new(options.json);
    let timeout = options.timeout;
    let work = async {
        let limit = timeout.unwrap_or(Duration::MAX);
        match tokio::time::timeout(limit, watch_all(options, &screen)).await {
            Ok(result) => result,
            Err(_) => {
                let limit = limit.as_secs_f64();
                let message = format!("not every job has ended within the {limit} s of --timeout");
                Err(Failure::new(Exit::TimedOut, message))
            }
        }
    };
    tokio::select! {
        result = work => result,
        exit = interrupt => {
            // Its bars are gone by now, as the work was dropped.
            eprintln!("no longer watching: the jobs go on");
            Ok(exit)
        }
    }
}

async fn watch_all(mut options: Options, screen: &Screen) -> Result<Exit, Failure> {
    if options.jobs.iter().any(|job| is_where_redis_is(job)) {
        return Err(Failure::new(Exit::Usage, "JOB: that is where Redis is, which --url says"));
    }
    if options.namespace.contains("://") {
        return Err(Failure::new(Exit::Usage, "--namespace: a URL is no name"));
    }
    let pool = options.redis.connect().await?;
    let progress = Progress::builder(&pool).namespace(&options.namespace).build();
    let progress = progress.map_err(|error| Failure::new(Exit::Usage, format!("--namespace: {error}")))?;
    let mut seen = Vec::new();
    options.jobs.retain(|job| {
        let is_new = !seen.contains(job);
        seen.push(job.clone());
        is_new
    });
    // No tasks: with this future they are gone, and so are their bars.
    let mut watches: FuturesUnordered<_> =
        options.jobs.iter().map(|job| one(&progress, job, screen)).collect();
    let mut tell = pin!(tell_of_redis(&pool, screen));
    let mut exit = Exit::Finished;
    loop {
        tokio::select! {
            biased;
            ended = watches.next() => match ended {
                Some(result) => exit = exit.and(result?),
                None => return Ok(exit),
            },
            result = &mut tell => result?,
        }
    }
}

/// A job may be called by the URL of what it imports.
fn is_where_redis_is(job: &str) -> bool {
    let scheme = job.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    ["redis", "valkey", "unix"].iter().any(|ours| scheme.starts_with(ours))
}

async fn one(progress: &Progress, job: &str, screen: &Screen) -> Result<Exit, Failure> {
    let watch = progress.watch(job).await.map_err(|error| match error {
        error if error.is_unavailable() => Failure::new(Exit::Unreachable, error.to_string()),
        error => Failure::new(Exit::Usage, format!("JOB: {error}")),
    })?;
    Ok(match screen.follow(watch).await? {
        Some(Event::Finished { .. }) => Exit::Finished,
        Some(Event::Failed { .. }) => Exit::Failed,
        Some(Event::Cancelled { .. }) => Exit::Cancelled,
        Some(Event::Abandoned { .. }) => Exit::Abandoned,
        Some(_) => Exit::Lost,
        None => return Err(Failure::new(Exit::Unreachable, "the connection to Redis was closed")),
    })
}

/// Says so when Redis goes away and when it is back. Ends only if nothing can be said any more.
async fn tell_of_redis(pool: &Pool, screen: &Screen) -> io::Result<()> {
    let mut states = pool.state_changes();
    let mut was_away = false;
    loop {
        let away = match &*states.borrow_and_update() {
            State::Degraded { cause, .. } => Some(cause.clone()),
            _ => None,
        };
        match away {
            Some(cause) if !was_away => {
                was_away = true;
                screen.say(&format!("Redis is away, and the watch goes on: {cause}"))?;
            }
            None if was_away => {
                was_away = false;
                screen.say("Redis is back")?;
            }
            _ => {}
        }
        if states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
