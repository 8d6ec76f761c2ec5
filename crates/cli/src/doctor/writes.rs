//! What has a server refuse writes: a disk it cannot save to, too few replicas.

use cenote_pool_core::redis::{self, RedisError};

use super::health::stopped;
use super::report::{Check, Report};
use super::talk::{Failed, Talk};
use crate::exit::Exit;

/// A section of `INFO`. Empty where the user may not call it.
pub(super) struct Info(String);

impl Info {
    pub(super) async fn ask(talk: &mut Talk, section: &str) -> Result<Self, Failed> {
        match talk.ask(redis::cmd("INFO").arg(section)).await {
            Ok(value) => Ok(Self(redis::from_redis_value(value).unwrap_or_default())),
            Err(Failed::Said(_)) => Ok(Self(String::new())),
            Err(failed) => Err(failed),
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }
}

/// What it answers even to PING where it cannot save to disk: it lets us in, and refuses writes.
pub(super) fn cannot_save(error: &RedisError) -> bool {
    error.code() == Some("MISCONF")
}

pub(super) async fn disk(talk: &mut Talk, report: &mut Report) -> bool {
    let refusal = match talk.ask(&redis::cmd("PING")).await {
        Err(Failed::Said(error)) if cannot_save(&error) => Some(error),
        Ok(_) | Err(Failed::Said(_)) => None,
        Err(failed) => return stopped("disk", &failed, report),
    };
    let told = match Info::ask(talk, "persistence").await {
        Ok(told) => told,
        Err(failed) => return stopped("disk", &failed, report),
    };
    report.checks.push(judge_disk(refusal.as_ref(), &told));
    true
}

fn judge_disk(refusal: Option<&RedisError>, told: &Info) -> Check {
    let has_failed = |name: &str| told.field(name) == Some("err");
    if let Some(refusal) = refusal {
        let is_log = refusal.detail().is_some_and(|detail| detail.contains("AOF"));
        let what = if is_log { "its append-only file" } else { "a snapshot" };
        return Check::wrong(
            "disk",
            Exit::Unwell,
            format!("the server cannot save {what} to disk, and refuses writes"),
            "look at its log, at its disk and at `dir`; with `stop-writes-on-bgsave-error no` it takes writes that a restart loses",
        );
    }
    if ["rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"]
        .into_iter()
        .any(has_failed)
    {
        return Check::warning(
            "disk",
            "the last time that the server was to save to disk it failed: a restart loses what was written since",
            "look at its log, at its disk and at `dir`",
        );
    }
    match told.field("rdb_last_bgsave_status") {
        Some(_) => Check::ok("disk", "no save has failed"),
        None => Check::not_told("disk", "not told: the user may not call INFO"),
    }
}

/// That a master wants more replicas than it has, if so.
pub(super) async fn lacks_replicas(talk: &mut Talk, told: &Info) -> Result<Option<Check>, Failed> {
    // It is there only if the server wants any.
    let Some(has) = told.number("min_slaves_good_slaves") else { return Ok(None) };
    let setting = talk.ask(redis::cmd("CONFIG").arg("GET").arg("min-replicas-to-write")).await;
    let wants = match setting {
        Ok(value) => redis::from_redis_value::<Vec<(String, u64)>>(value).unwrap_or_default(),
        Err(Failed::Said(_)) => Vec::new(),
        Err(failed) => return Err(failed),
    };
    let wants = wants.first().map_or(1, |(_, count)| *count);
    Ok((has < wants).then(|| {
        Check::wrong(
            "role",
            Exit::Unwell,
            format!("the server refuses writes (NOREPLICAS): {has} replicas keep up with it, and it wants {wants}"),
            "start or mend its replicas (`INFO replication` on it tells their lag, which `min-replicas-max-lag` limits), or lower `min-replicas-to-write`",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Verdict;

    #[test]
    fn a_save_that_failed_is_a_warning_where_writes_are_taken_all_the_same() {
        let judge = |text: &str| judge_disk(None, &Info(text.to_owned())).verdict;
        assert_eq!(judge("rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\n"), Verdict::Ok);
        assert_eq!(judge("rdb_last_bgsave_status:err\r\naof_last_write_status:ok\r\n"), Verdict::Warning);
        assert_eq!(judge("rdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n"), Verdict::Warning);
        assert_eq!(judge(""), Verdict::Skipped);
    }
}
