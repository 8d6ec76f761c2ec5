//! Recovery: what Redis must forget before degradable connections may believe it again.
//!
//! The order is the promise. Late writers are stopped first, or a write stalled on its way would land after
//! its key was removed. Then the epoch is announced, the keys are removed one by one, and only when none is
//! left do reads go to Redis again.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::Value;
use redis::aio::ConnectionLike;
use tokio::runtime::Handle;

use super::journal::{CHUNK, LateWrite, Lease};
use crate::conn::Conn;
use crate::pool::Shared;
use crate::timer;

/// How often it is looked whether Redis is back, and whether a late write was answered.
const LOOK_FOR_REDIS: Duration = Duration::from_millis(10);
const LOOK_FOR_REPLY: Duration = Duration::from_millis(1);
/// Limit of each step; the lease is renewed before it.
const STEP: Duration = Duration::from_secs(1);
/// The same while calls wait for it.
const SHORT_STEP: Duration = Duration::from_millis(50);
/// After so many passes that left new keys behind, calls that would add more wait for one.
const FREE_PASSES: u32 = 3;
/// A key that Redis refuses to remove is given up after so many refusals.
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
    let mut work =
        Work { lease: holder.lease, announced: false, passes: 0, refusals: 0, unkillable_until: None };
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
        timer::sleep(if away { LOOK_FOR_REDIS } else { LOOK_FOR_REPLY }).await;
    }
}

struct Work {
    lease: Lease,
    announced: bool,
    passes: u32,
    refusals: u32,
    /// A late writer could not be stopped: until then it may still write, and the keys are removed once more.
    unkillable_until: Option<Instant>,
}

impl Work {
    /// One round; true once the journal is closed.
    async fn step(&mut self, shared: &Arc<Shared>) -> bool {
        let mut conn = Conn::new(shared.clone()).with_timeout(STEP);
        if !self.stop_late_writers(shared, &mut conn).await {
            return false;
        }
        if !self.announced {
            self.announced = true;
            let (before, now) = (shared.journal.before(), shared.context.identity());
            shared.journal.announce(before.is_some() && before != now);
        }
        let late_may_come = self.unkillable_until.is_some_and(|until| Instant::now() < until);
        if late_may_come && self.passes > 0 {
            return false;
        }
        loop {
            let last = self.passes >= FREE_PASSES;
            let step = if last { SHORT_STEP } else { STEP };
            if !shared.journal.renew(self.lease, step) {
                return true;
            }
            let mut conn = conn.clone().with_timeout(step);
            let Some(keys) = shared.journal.begin_pass(self.lease, last) else { return true };
            let everything = keys.len();
            let done = self.remove(shared, &mut conn, keys).await;
            let all = done.len() == everything;
            self.passes += 1;
            if late_may_come {
                // Removed for now, and kept to be removed again when no late write can come any more.
                shared.journal.end_pass(self.lease, &[]);
                return false;
            }
            shared.journal.end_pass(self.lease, &done);
            let fallback = shared.fallback.as_ref();
            if fallback.is_some_and(|fallback| shared.journal.try_reopen(self.lease, &**fallback)) {
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
            if !all || !shared.journal.late_writes().is_empty() {
                return false;
            }
        }
    }

    /// True once no write of ours can be executed late.
    async fn stop_late_writers(&mut self, shared: &Arc<Shared>, conn: &mut Conn) -> bool {
        let mut settled: Vec<LateWrite> = Vec::new();
        let mut waiting = false;
        for late in shared.journal.late_writes() {
            if late.lane.has_answered(late.mark) {
                settled.push(late);
            } else if !late.lane.has_ended() {
                // The connection lives: the reply, or its loss, will tell.
                waiting = true;
            } else {
                match kill(shared, conn, &late).await {
                    Killed::Gone => settled.push(late),
                    Killed::NotAllowed => {
                        let until = Instant::now() + shared.context.config.socket_timeout;
                        self.unkillable_until = self.unkillable_until.max(Some(until));
                        settled.push(late);
                    }
                    Killed::Unknown => return false,
                }
            }
        }
        shared.journal.settle(&settled);
        !waiting
    }

    /// Removes `keys` in Redis; returns those that are gone.
    async fn remove(&mut self, shared: &Arc<Shared>, conn: &mut Conn, keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut done = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            if !shared.journal.renew(self.lease, STEP) {
                break;
            }
            let mut pipeline = redis::pipe();
            for key in chunk {
                pipeline.cmd("UNLINK").arg(key);
            }
            let Ok(replies) = conn.req_packed_commands(&pipeline, 0, chunk.len()).await else { break };
            let mut refused = None;
            for (key, reply) in chunk.iter().zip(replies) {
                match reply {
                    Value::ServerError(error) => refused = Some(error),
                    _ => done.push(key.clone()),
                }
            }
            if let Some(error) = refused {
                self.refusals += 1;
                if error.code() == "NOPERM" && self.refusals >= REFUSALS {
                    tracing::error!(
                        target: "cenote",
                        address = %shared.context.target,
                        keys = chunk.len(),
                        "Redis refuses to remove keys written during the outage (NOPERM): given up"
                    );
                    done.extend(chunk.iter().cloned());
                }
            }
            if keys.len() > CHUNK {
                // Many processes come back together, each with many keys: they need not all be first.
                timer::sleep(crate::breaker::jitter(Duration::from_millis(2))).await;
            }
        }
        done
    }
}

enum Killed {
    Gone,
    NotAllowed,
    /// Redis did not answer: ask again.
    Unknown,
}

/// Has the server end the connection that the late write went down.
async fn kill(shared: &Shared, conn: &mut Conn, late: &LateWrite) -> Killed {
    let Some(greeting) = late.lane.greeting() else { return Killed::Gone };
    let (Some(id), Some(_)) = (greeting.client_id, &greeting.identity.run_id) else {
        return Killed::NotAllowed;
    };
    // Numbers are given anew by each process: in another one this is somebody else's.
    if shared.context.identity().is_some_and(|now| now.run_id != greeting.identity.run_id) {
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
