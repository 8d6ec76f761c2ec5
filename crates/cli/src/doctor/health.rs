//! Whether what serves serves well: its role, how quick it is, its clock, its memory, its pub/sub.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cenote_pool_core::Steps;
use cenote_pool_core::redis::{self, Value};

use super::entry::{self, Entry, said};
use super::reach::{self, Found};
use super::report::{Check, Report, plain, shown};
use super::talk::{Failed, Talk};
use super::writes::{Info, cannot_save, lacks_replicas};
use crate::exit::Exit;

const PINGS: usize = 5;
/// A round trip that every cached read would wait for.
const SLOW: Duration = Duration::from_millis(100);
/// Off by more than this, expiry dates and logs no longer fit together.
const SKEW: f64 = 1.0;

/// Each step but the last says whether the server still answers: whoever asked on would be told something else's answer.
pub(super) async fn role(talk: &mut Talk, entry: &Entry, report: &mut Report) -> bool {
    let told = match talk.ask(&redis::cmd("ROLE")).await {
        Ok(Value::Array(parts)) => parts,
        Ok(_) | Err(Failed::Said(_)) => Vec::new(),
        Err(failed) => return stopped("role", &failed, report),
    };
    let text = |at: usize| told.get(at).and_then(|it| redis::from_redis_value_ref::<String>(it).ok());
    let role = text(0).or_else(|| entry.role.clone());
    let (info, lacks) = match replication(talk).await {
        Ok(found) => found,
        Err(failed) => return stopped("role", &failed, report),
    };
    if let (Some("master"), Some(lacks)) = (role.as_deref(), lacks) {
        report.checks.push(lacks);
        return true;
    }
    let check = match role.as_deref() {
        Some("slave" | "replica") => {
            let master = text(1).zip(text(2)).map(|(host, port)| format!("{}:{port}", plain(&host)));
            let of = master.as_deref().map_or_else(String::new, |it| format!(" of {it}"));
            let link = match text(3).as_deref() {
                Some("connected") | None => "",
                Some(_) => ", and has no connection to it",
            };
            let to = master.unwrap_or_else(|| "its master".to_owned());
            let writes = match info.field("slave_read_only") {
                Some("0") => {
                    "it takes writes (replica-read-only no), and loses them when it next copies its master"
                }
                _ => "writes to it fail",
            };
            Check::wrong(
                "role",
                Exit::Unwell,
                format!("the server is a replica{of}{link}: {writes}"),
                format!(
                    "give the address of the master, {to}, as this machine sees it; after a failover, make the name in the URL follow the master"
                ),
            )
        }
        Some("sentinel") => Check::wrong(
            "role",
            Exit::Unwell,
            "the server is a Sentinel, which stores nothing",
            "name it with the master that it watches: redis+sentinel://host:port/master_name; SENTINEL MASTERS tells the names",
        ),
        Some("master") if entry.mode.as_deref() == Some("cluster") => Check::warning(
            "role",
            "the server is a master of a cluster, and serves only its own share of the keys",
            "Cenote does not speak Cluster: calls for other keys are answered with MOVED. Give a server that is in no cluster",
        ),
        Some("master") => {
            let replicas = match told.get(2) {
                Some(Value::Array(all)) => all.len(),
                _ => 0,
            };
            let replicas = match replicas {
                0 => "no replicas".to_owned(),
                1 => "1 replica".to_owned(),
                count => format!("{count} replicas"),
            };
            Check::ok("role", format!("master, with {replicas}"))
        }
        _ => Check::not_told("role", "not told: the user may call neither ROLE nor HELLO"),
    };
    report.checks.push(check);
    true
}

/// What is told of replicas, and whether there are too few.
async fn replication(talk: &mut Talk) -> Result<(Info, Option<Check>), Failed> {
    let info = Info::ask(talk, "replication").await?;
    let lacks = lacks_replicas(talk, &info).await?;
    Ok((info, lacks))
}

pub(super) fn stopped(step: &'static str, failed: &Failed, report: &mut Report) -> bool {
    let (seen, remedy) = match failed {
        Failed::Closed | Failed::Broken(_) => (
            "the server has closed the connection in the middle",
            "it was restarted, or it or a proxy before it ends connections: its log tells",
        ),
        Failed::Strange(_) => (
            "the server has gone over to answers that are none of a Redis",
            "see what is between here and Redis",
        ),
        Failed::Silent | Failed::Said(_) => (
            "the server has stopped answering",
            "it is stopped, or busy with one long command: SLOWLOG GET on its machine tells which",
        ),
    };
    report.checks.push(Check::wrong(step, Exit::Unwell, seen, remedy));
    false
}

pub(super) async fn latency(talk: &mut Talk, report: &mut Report) -> bool {
    let mut times = Vec::new();
    for _ in 0..PINGS {
        let began = Instant::now();
        match talk.ask(&redis::cmd("PING")).await {
            Ok(_) => times.push(began.elapsed()),
            // That is an answer like any other.
            Err(Failed::Said(error)) if cannot_save(&error) => times.push(began.elapsed()),
            Err(Failed::Said(_)) => {}
            Err(failed) => return stopped("latency", &failed, report),
        }
    }
    times.sort_unstable();
    let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) else {
        report.checks.push(Check::not_told("latency", "not measured: the user may not call PING"));
        return true;
    };
    let seen = format!(
        "{} is the median of {} round trips, {} the longest",
        shown(*median),
        times.len(),
        shown(*longest)
    );
    report.checks.push(if *median > SLOW {
        Check::warning(
            "latency",
            format!("Redis is slow: {seen}"),
            "put the service into the same region as Redis; if it is near, SLOWLOG GET and `redis-cli --latency` on its machine tell whether it is busy",
        )
    } else {
        Check::ok("latency", seen)
    });
    true
}

pub(super) async fn clock(talk: &mut Talk, report: &mut Report) -> bool {
    let check = match talk.timed(&redis::cmd("TIME")).await {
        Ok((value, took)) => match redis::from_redis_value::<(u64, u64)>(value) {
            Ok((seconds, micros)) => {
                let (seconds, micros) = (seconds as f64, micros as f64);
                let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
                let half = took.as_secs_f64() / 2.0;
                offset(seconds + micros / 1e6 - (here - half), half)
            }
            Err(_) => Check::not_told("clock", "not told"),
        },
        Err(Failed::Said(_)) => Check::not_told("clock", "not told: the user may not call TIME"),
        Err(failed) => return stopped("clock", &failed, report),
    };
    report.checks.push(check);
    true
}

/// How far the server's clock is ahead of ours, give or take half of the round trip.
fn offset(ahead: f64, uncertain: f64) -> Check {
    // A server may say what it likes.
    let by = shown(Duration::try_from_secs_f64(ahead.abs()).unwrap_or(Duration::MAX));
    let direction = if ahead >= 0.0 { "ahead of" } else { "behind" };
    let seen = format!(
        "the server's clock is {by} {direction} this machine's, give or take {}",
        shown(Duration::from_secs_f64(uncertain))
    );
    if ahead.abs() > SKEW + uncertain {
        return Check::warning(
            "clock",
            seen,
            "Cenote counts by the server's clock, but expiry dates that code computes (EXPIREAT, SET EXAT) are off by that: synchronise both machines (NTP)",
        );
    }
    Check::ok("clock", seen)
}

pub(super) async fn memory(talk: &mut Talk, report: &mut Report) -> bool {
    let told = match Info::ask(talk, "memory").await {
        Ok(told) => told,
        Err(failed) => return stopped("memory", &failed, report),
    };
    let check = match (told.number("maxmemory"), told.field("maxmemory_policy"), told.number("used_memory")) {
        (Some(limit), Some(policy), Some(used)) => judge(limit, policy, used),
        _ => Check::not_told("memory", "not told: the user may not call INFO"),
    };
    report.checks.push(check);
    true
}

fn judge(limit: u64, policy: &str, used: u64) -> Check {
    let policy = plain(policy);
    let used_shown = bytes(used);
    if limit == 0 {
        return Check::warning(
            "memory",
            format!(
                "maxmemory is not set ({policy}; {used_shown} used): Redis grows until the system ends it"
            ),
            "set `maxmemory` below what the machine has, and for a cache `maxmemory-policy allkeys-lru`",
        );
    }
    let limit_shown = bytes(limit);
    if policy == "noeviction" {
        if used >= limit {
            return Check::wrong(
                "memory",
                Exit::Unwell,
                format!(
                    "the memory is full ({used_shown} of {limit_shown}) and maxmemory-policy is noeviction: writes fail with OOM"
                ),
                "for a cache set `maxmemory-policy allkeys-lru`; otherwise remove data or raise `maxmemory`",
            );
        }
        return Check::warning(
            "memory",
            format!(
                "maxmemory-policy is noeviction: once {limit_shown} are full ({used_shown} are), writes fail with OOM"
            ),
            "for a cache set `maxmemory-policy allkeys-lru`; keep noeviction for what must not be lost, and watch used_memory",
        );
    }
    if policy.starts_with("allkeys") {
        let seen = format!("{used_shown} of {limit_shown} used, {policy}");
        return Check::ok("memory", seen);
    }
    Check::ok("memory", format!("{used_shown} of {limit_shown} used, {policy}: keys without an expiry stay"))
}

fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        ..1024.0 => format!("{count} bytes"),
        ..1_048_576.0 => format!("{:.1} KiB", count / 1024.0),
        ..1_073_741_824.0 => format!("{:.1} MiB", count / 1_048_576.0),
        _ => format!("{:.1} GiB", count / 1_073_741_824.0),
    }
}

/// A message from the first connection to a second.
pub(super) async fn pubsub(
    steps: &Steps,
    found: &Found,
    limit: Duration,
    talk: &mut Talk,
    report: &mut Report,
) {
    let check = match hear_oneself(steps, found, limit, talk).await {
        Ok(took) => Check::ok("pub/sub", format!("a message arrived after {}", shown(took))),
        Err(Trouble::Refused(command, why)) => Check::warning(
            "pub/sub",
            format!("{command} is refused: {why}"),
            "live progress and caches in the process need it: `ACL SETUSER .. +subscribe +psubscribe +publish allchannels`",
        ),
        Err(Trouble::Failed(why)) => Check::wrong(
            "pub/sub",
            Exit::Unwell,
            format!("a message did not come through: {why}"),
            "a proxy between here and Redis may not pass pub/sub on: connect to Redis itself",
        ),
    };
    report.checks.push(check);
}

enum Trouble {
    Refused(&'static str, String),
    Failed(String),
}

async fn hear_oneself(
    steps: &Steps,
    found: &Found,
    limit: Duration,
    talk: &mut Talk,
) -> Result<Duration, Trouble> {
    let mut listener =
        reach::again(steps, found, limit).await.map_err(|error| Trouble::Failed(error.to_string()))?;
    entry::enter_again(steps, &mut listener)
        .await
        .map_err(|failed| trouble("a second connection", failed))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let channel = format!("cenote:doctor:{}:{}", std::process::id(), since.as_nanos());
    let subscribed = listener.ask(redis::cmd("SUBSCRIBE").arg(&channel)).await;
    subscribed.map_err(|failed| trouble("SUBSCRIBE", failed))?;
    let began = Instant::now();
    let told = talk.ask(redis::cmd("PUBLISH").arg(&channel).arg("cenote doctor")).await;
    told.map_err(|failed| trouble("PUBLISH", failed))?;
    listener.hear().await.map_err(|failed| trouble("the message", failed))?;
    Ok(began.elapsed())
}

fn trouble(what: &'static str, failed: Failed) -> Trouble {
    match failed {
        Failed::Said(error) if error.code() == Some("NOPERM") => Trouble::Refused(what, said(&error)),
        Failed::Said(error) => Trouble::Failed(format!("{what}: {}", said(&error))),
        Failed::Silent => Trouble::Failed(format!("{what} was not answered in time")),
        Failed::Closed => Trouble::Failed(format!("{what}: the connection was closed")),
        Failed::Broken(error) => Trouble::Failed(format!("{what}: {error}")),
        Failed::Strange(_) => Trouble::Failed(format!("{what}: the answer was none of a Redis")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Verdict;

    #[test]
    fn a_clock_that_is_off_by_more_than_the_doubt_is_a_warning() {
        assert_eq!(offset(0.4, 0.001).verdict, Verdict::Ok);
        assert_eq!(offset(-1.5, 1.0).verdict, Verdict::Ok);
        let off = offset(-90.0, 0.001);
        assert_eq!(off.verdict, Verdict::Warning);
        assert!(off.seen.contains("90.0 s behind"), "{}", off.seen);
    }

    #[test]
    fn what_happens_when_the_memory_is_full_decides() {
        const MIB: u64 = 1 << 20;
        assert_eq!(judge(100 * MIB, "allkeys-lru", 100 * MIB).verdict, Verdict::Ok);
        assert_eq!(judge(100 * MIB, "volatile-ttl", MIB).verdict, Verdict::Ok);
        let warning = judge(100 * MIB, "noeviction", MIB);
        assert_eq!(warning.verdict, Verdict::Warning);
        assert!(warning.seen.contains("once 100.0 MiB are full (1.0 MiB are)"), "{}", warning.seen);
        assert_eq!(judge(0, "noeviction", MIB).verdict, Verdict::Warning);
        assert_eq!(judge(MIB, "noeviction", MIB).verdict, Verdict::Wrong);
    }
}
