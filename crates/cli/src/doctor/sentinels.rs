//! Where sentinels say that the master is, if the URL names sentinels.

use std::time::Duration;

use cenote_pool_core::{Place, Steps};

use super::report::{Check, Report, plain};
use super::tls::{self, To};
use crate::exit::Exit;

const STEP: &str = "sentinel";

/// Leads the steps to the master. False once it is told that nobody knows it.
pub(super) async fn ask(steps: &mut Steps, limit: Duration, report: &mut Report) -> bool {
    let Place::Sentinel(master) = steps.place() else { return true };
    let master = plain(master);
    let answers = steps.ask_sentinels(limit).await;
    let (count, mut named, mut ignorant) = (answers.len(), Vec::new(), Vec::new());
    for (sentinel, answer) in answers {
        match answer {
            Ok((host, port)) => named.push((sentinel, host, port)),
            Err(why) => ignorant.push(format!("{} {}", plain(&sentinel), plain(&steps.scrub(&why)))),
        }
    }
    let Some((_, host, port)) = named.first().cloned() else {
        report.checks.push(nobody(count, &master, &ignorant.join(", ")));
        return false;
    };
    let shown = format!("{}:{port}", plain(&host));
    let others = named.iter().filter(|(_, other, at)| (other, *at) != (&host, port));
    let others: Vec<_> = others
        .map(|(sentinel, other, at)| format!("{} names {}:{at}", plain(sentinel), plain(other)))
        .collect();
    let seen = format!("{} of {count} name {shown} the master {master}", named.len() - others.len());
    report.checks.push(if !others.is_empty() {
        Check::warning(
            STEP,
            format!("the sentinels do not agree: {seen}, but {}", others.join(", ")),
            "if this stays so, one of them is cut off from the others: `SENTINEL CKQUORUM` on each tells which",
        )
    } else if !ignorant.is_empty() {
        Check::warning(
            STEP,
            format!("{seen}, but {}", ignorant.join(", ")),
            "start what is away, or correct the list in the URL: when too few are left nobody makes another server the master",
        )
    } else {
        Check::ok(STEP, seen)
    });
    steps.lead_to(&host, port);
    true
}

fn nobody(count: usize, master: &str, why: &str) -> Check {
    let (exit, remedy) = if why.contains("knows no master") {
        (
            Exit::Unreachable,
            "correct the master's name, which stands behind the hosts in the URL: `SENTINEL MASTERS` on a sentinel tells the names it knows",
        )
    } else if why.contains("NOAUTH") || why.contains("WRONGPASS") {
        (
            Exit::TurnedAway,
            "give the sentinels' own password in REDIS_SENTINEL_PASSWORD: the one in the URL is that of the master",
        )
    } else if why.contains("is no sentinel") {
        (
            Exit::NotRedis,
            "give the sentinels' addresses, often with the port 26379; for a Redis itself the URL is a redis:// one",
        )
    } else if let Some(remedy) = tls::remedy(why, To::Sentinels) {
        (Exit::NotRedis, remedy)
    } else {
        (Exit::Unreachable, "start the sentinels, or correct their addresses: without a port it is 26379")
    };
    Check::wrong(STEP, exit, format!("no sentinel of {count} knows the master {master}: {why}"), remedy)
}
