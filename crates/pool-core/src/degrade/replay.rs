//! Recovery: what Redis must forget before degradable connections may believe it again.
//!
//! The order is the promise. Late writers are stopped first, or a write stalled on its way would land after
//! its key was removed. Then the epoch is announced, the keys are removed one by one, and only when none is
//! left do reads go to Redis again.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis::{ServerError, Value};
use tokio::runtime::Handle;

use super::journal::{LateWrite, Lease, Pass};
use crate::budget::Tenant;
use crate::command::Payload;
use crate::conn::Conn;
use crate::dial::Greeting;
use crate::error::Outcome;
use crate::fallback::Fallback;
use crate::lane::Answer as Replies;
use crate::pool::Shared;
use crate::timer;

/// How often it is looked whether Redis is back, and whether a late write was answered.
const LOOK_FOR_REDIS: Duration = Duration::from_millis(10);
const LOOK_FOR_REPLY: Duration = Duration::from_millis(1);
/// Limit of each step; the lease is renewed before it.
const STEP: Duration = Duration::from_secs(1);
/// Keys removed in one round trip.
const CHUNK: usize = 1024;
/// Limit of a step while calls wait for it.
const SHORT_STEP: Duration = Duration::from_millis(50);
/// After so many passes that left new keys behind, calls that would add more wait for one.
const FREE_PASSES: u32 = 1;
/// A key that this user is never allowed to remove is given up after so many passes.
const REFUSALS: u32 = 5;

/// Starts the replay in this runtime, unless somebody is at it.
pub(crate) fn ensure(shared: &Arc<Shared>, handle: &Handle) {
    if let Some(lease) = shared.journal.take_lease(Instant::now()) {
        let holder = Holder { lease, shared: Arc::downgrade(shared) };
        handle.spawn(replay(holder));
    }
}

/// Gives the lease back however the task ends: also when its runtime drops it.
struct Holder {
    lease: Lease,
    shared: Weak<Shared>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.journal.release(self.lease);
        }
    }
}

async fn replay(holder: Holder) {
    let mut work = Work { lease: holder.lease, passes: 0, refused: 0 };
    loop {
        let Some(shared) = holder.shared.upgrade() else { return };
        if !shared.journal.renew(holder.lease, STEP) || shared.context.breaker.is_shut() {
            return;
        }
        let away = shared.context.breaker.is_open();
        if !away && work.step(&shared).await {
            return;
        }
        drop(shared);
        timer::sleep(if away { LOOK_FOR_REDIS } else { work.pause() }).await;
    }
}

struct Work {
    lease: Lease,
    passes: u32,
    /// Passes in a row in which Redis refused to remove something.
    refused: u32,
}

impl Work {
    /// Doubles while Redis refuses.
    fn pause(&self) -> Duration {
        match self.refused {
            0 => LOOK_FOR_REPLY,
            times => (LOOK_FOR_REDIS * 2u32.pow(times.min(6))).min(STEP / 2),
        }
    }

    /// One round; true once the journal is closed, or another's.
    async fn step(&mut self, shared: &Arc<Shared>) -> bool {
        let mut conn = Conn::new(shared.clone()).with_timeout(STEP);
        if !self.stop_late_writers(shared, &mut conn).await {
            return false;
        }
        let (before, now) = (shared.journal.before(), shared.context.identity());
        shared.journal.announce(before.is_some() && before != now);
        let late_may_come = shared.journal.again().is_some_and(|until| Instant::now() < until);
        if late_may_come && self.passes > 0 {
            return false;
        }
        loop {
            let last = self.passes >= FREE_PASSES;
            let step = if last { SHORT_STEP } else { STEP };
            if !shared.journal.renew(self.lease, step) {
                return true;
            }
            let keys = match shared.journal.begin_pass(self.lease, last) {
                Pass::Keys(keys) => keys,
                Pass::LateWrites => return false,
                Pass::Lost => return true,
            };
            let everything = keys.len();
            // Asked before: whoever greets us during the pass must not be taken for the one that removed them all.
            let by = shared.context.identity();
            let done = self.remove(shared, &mut conn, keys, step).await;
            let all = done.len() == everything;
            self.passes += 1;
            // What may yet be written late is removed for now, and kept to be removed again.
            let done = if late_may_come { Vec::new() } else { done };
            shared.journal.end_pass(self.lease, done, by);
            if late_may_come {
                return false;
            }
            let fallback = shared.fallback.as_ref();
            let now = shared.context.identity();
            let reopened = |fallback: &Arc<dyn Fallback>| {
                shared.journal.try_reopen(self.lease, &**fallback, now.as_ref())
            };
            if fallback.is_some_and(reopened) {
                if let Some(left_out) = shared.context.chronicle.admit(Instant::now()) {
                    tracing::info!(
                        target: "cenote",
                        address = %shared.context.target,
                        lines_left_out = left_out,
                        "the outage journal is replayed: degradable connections read from Redis again"
                    );
                }
                return true;
            }
            if !all {
                return false;
            }
        }
    }

    /// True once no write of ours can be executed late, or none can be stopped.
    async fn stop_late_writers(&mut self, shared: &Arc<Shared>, conn: &mut Conn) -> bool {
        let limit = shared.context.config.socket_timeout;
        let mut waiting = false;
        for late in shared.journal.late_writes() {
            if !shared.journal.renew(self.lease, STEP) {
                return false;
            }
            if late.lane.has_answered(late.mark) {
                shared.journal.settle(&late, None);
                continue;
            }
            if !late.lane.has_ended() {
                if late.since.elapsed() < limit {
                    // The connection lives: the reply, or its loss, will tell.
                    waiting = true;
                    continue;
                }
                // Its task would have found it silent by now: it runs nowhere.
                late.lane.give_up();
            }
            let killed = match late.lane.greeting() {
                Some(greeting) => kill(shared, conn, greeting).await,
                None => Killed::Gone,
            };
            match killed {
                Killed::Gone => shared.journal.settle(&late, None),
                Killed::NotAllowed => shared.journal.settle(&late, Some(Instant::now() + limit)),
                Killed::Unknown => return false,
            }
        }
        // Calls that were cancelled, or that nobody journalled, went down with these.
        while let Some(lost) = shared.context.take_lost() {
            match kill(shared, conn, &lost).await {
                Killed::Gone => {}
                Killed::NotAllowed => shared.journal.wait_out(Instant::now() + limit),
                Killed::Unknown => {
                    shared.context.note_lost(&lost);
                    return false;
                }
            }
        }
        !waiting
    }

    /// Removes `keys` in Redis; returns those that are gone.
    async fn remove(
        &mut self,
        shared: &Arc<Shared>,
        conn: &mut Conn,
        keys: Vec<Vec<u8>>,
        step: Duration,
    ) -> Vec<Vec<u8>> {
        let mut done = Vec::with_capacity(keys.len());
        let mut refusal = None;
        for chunk in keys.chunks(CHUNK) {
            if !shared.journal.renew(self.lease, step) {
                break;
            }
            let Some(mut refused) = remove_chunk(shared, conn, "UNLINK", chunk, step).await else { break };
            if refused.iter().any(|(_, error)| error.code() == "NOPERM") {
                // A user may be allowed the older name.
                let keys: Vec<_> = refused.iter().map(|(key, _)| key.clone()).collect();
                let Some(still) = remove_chunk(shared, conn, "DEL", &keys, step).await else { break };
                refused = still;
            }
            let kept: HashSet<&Vec<u8>> = refused.iter().map(|(key, _)| key).collect();
            done.extend(chunk.iter().filter(|key| !kept.contains(key)).cloned());
            let forbidden = |error: &ServerError| error.code() == "NOPERM" && self.refused >= REFUSALS;
            let given_up: Vec<_> = refused.iter().filter(|(_, error)| forbidden(error)).collect();
            if !given_up.is_empty() {
                tracing::error!(
                    target: "cenote",
                    address = %shared.context.target,
                    keys = given_up.len(),
                    "Redis does not allow to remove keys that were written during the outage (NOPERM): given up"
                );
                done.extend(given_up.iter().map(|(key, _)| key.clone()));
            }
            refusal = refused.into_iter().next().map(|(_, error)| error).or(refusal);
            if keys.len() > CHUNK {
                // Many processes come back together, each with many keys: they need not all be first.
                timer::sleep(crate::breaker::jitter(Duration::from_millis(2))).await;
            }
            if refusal.is_some() && done.is_empty() {
                break;
            }
        }
        self.note(shared, refusal);
        done
    }

    fn note(&mut self, shared: &Shared, refusal: Option<ServerError>) {
        let Some(error) = refusal else {
            self.refused = 0;
            return;
        };
        self.refused += 1;
        if self.refused == 1 && shared.context.chronicle.admit(Instant::now()).is_some() {
            tracing::warn!(
                target: "cenote",
                address = %shared.context.target,
                code = error.code(),
                "Redis refuses to remove keys that were written during the outage: the fallback answers until it does"
            );
        }
    }
}

/// Returns what was refused, or `None` if no answer came.
async fn remove_chunk(
    shared: &Shared,
    conn: &mut Conn,
    name: &str,
    keys: &[Vec<u8>],
    limit: Duration,
) -> Option<Vec<(Vec<u8>, ServerError)>> {
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd(name).arg(key);
    }
    let replies = match conn.within(limit).call(Payload::Batch(&pipeline)).await {
        Ok(Replies::Many(replies)) => replies,
        Ok(Replies::One(reply)) => vec![reply],
        Err(failure) => {
            // Ours may come late too, and must not remove what is written after the journal was closed.
            if let Some(lane) = failure.lane.filter(|_| failure.error.outcome() == Outcome::MayHaveExecuted) {
                shared.journal.add_late(LateWrite::on(lane));
            }
            return None;
        }
    };
    let refused = keys.iter().zip(replies).filter_map(|(key, reply)| match reply {
        Value::ServerError(error) => Some((key.clone(), error)),
        _ => None,
    });
    Some(refused.collect())
}

enum Killed {
    Gone,
    NotAllowed,
    /// Redis did not answer: ask again.
    Unknown,
}

/// Has the server end the connection that the late write went down.
async fn kill(shared: &Shared, conn: &mut Conn, greeting: &Greeting) -> Killed {
    let (Some(id), Some(_)) = (greeting.client_id, &greeting.identity.run_id) else {
        return Killed::NotAllowed;
    };
    // Numbers are given anew by each process: in another one this is somebody else's.
    let now = shared.context.identity().and_then(|now| now.run_id);
    if now.is_some() && now != greeting.identity.run_id {
        return Killed::Gone;
    }
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("ID").arg(id);
    match conn.req_packed_command(&kill).await {
        Ok(Value::ServerError(_)) => Killed::NotAllowed,
        Ok(_) => Killed::Gone,
        Err(_) => Killed::Unknown,
    }
}
