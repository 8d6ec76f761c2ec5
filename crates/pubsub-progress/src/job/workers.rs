//! All jobs of a process, and the one task that reports them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Cmd, RedisResult, Value};
use cenote_pool_core::{Conn, State};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::due::Due;
use super::{Job, now_ms};
use crate::remote::{Code, Reply, Report, publish};
use crate::shared::Shared;

/// How many reports go in one round trip, about how many bytes, and how many round trips are under way at once: Redis works
/// on one while the replies to another are looked at. Of one job there is a report in one of them at most.
const BATCH: usize = 128;
const BYTES: usize = 1 << 20;
const UNDER_WAY: usize = 4;
/// How soon a report that Redis did not take is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(250);
/// How often in vain a pool that is being closed tells what it has to tell.
const FAILURES: u32 = 10;
/// Of how many ended jobs it is remembered that they must outlive a flush, and how many are asserted anew with a heartbeat.
const KEPT: usize = 10_000;
const ASSERTED: usize = 32;
/// How many signs of life go in one round trip.
const BEATS: usize = 512;

#[derive(Default)]
pub(crate) struct Workers {
    jobs: Mutex<Jobs>,
    queue: Mutex<BinaryHeap<Reverse<Due>>>,
    pub(crate) wake: Arc<Notify>,
    nonce: std::sync::OnceLock<String>,
    /// Redis had the mark that it loses when it is emptied.
    marked: AtomicBool,
}

#[derive(Default)]
struct Jobs {
    /// By name, the latest attempt last. Those that have ended stay for the retention.
    by_id: HashMap<Arc<str>, Vec<Arc<Job>>>,
    /// How far the ended ones were asserted anew.
    turn: usize,
}

impl Workers {
    pub(crate) fn add(&self, job: &Arc<Job>) {
        self.jobs.lock().by_id.entry(job.id.clone()).or_default().push(job.clone());
        self.wake.notify_one();
    }

    pub(crate) fn queue(&self, job: &Arc<Job>, at: Instant) {
        let mut queue = self.queue.lock();
        let first = queue.peek().is_none_or(|Reverse(due)| at < due.at);
        queue.push(Reverse(Due { at, job: job.clone() }));
        drop(queue);
        if first {
            self.wake.notify_one();
        }
    }

    /// The latest attempt of this process.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.jobs.lock().by_id.get(id)?.last().cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().by_id.values().flatten().cloned().collect()
    }

    /// Those that run, and those that have ended and are kept.
    pub(crate) fn count(&self) -> (u64, u64) {
        let ended = |job: &&Arc<Job>| job.ended().is_some();
        let jobs: Vec<_> = self.all().into_iter().filter(|job| job.fenced().is_none()).collect();
        let ended = jobs.iter().filter(ended).count();
        ((jobs.len() - ended) as u64, ended as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.lock().by_id.is_empty()
    }

    pub(crate) fn last_run(&self, id: &str) -> u64 {
        self.find(id).map_or(0, |job| job.position().run)
    }

    /// Puts these jobs among those that there are.
    pub(crate) fn index(&self, jobs: &[Arc<Job>], shared: &Shared) -> Vec<Cmd> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let mut cmd = redis::cmd("ZADD");
        cmd.arg(shared.names.index());
        let now = now_ms();
        for job in jobs {
            cmd.arg(now).arg(&*job.id);
        }
        vec![cmd]
    }

    /// Somebody asks this job to stop: whether it is one of this process.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let Some(job) = self.find(id).filter(|job| !job.status().is_end()) else { return false };
        if let Some(due) = job.cancel() {
            self.queue(&job, due);
        }
        true
    }

    /// Redis is back, or was emptied: all is told anew.
    pub(crate) fn assert_all(&self, only_unsettled: bool) {
        for job in self.all() {
            if (!only_unsettled || job.is_unsettled())
                && let Some(due) = job.doubt()
            {
                self.queue(&job, due);
            }
        }
    }

    /// Somebody may have asked one of them to stop, and was not heard: the reply to a report tells.
    pub(crate) fn ask_all(&self) {
        for job in self.all().iter().filter(|job| !job.status().is_end()) {
            if let Some(due) = job.doubt() {
                self.queue(job, due);
            }
        }
    }

    fn take_due(&self, now: Instant) -> Vec<(Arc<Job>, Report)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BYTES {
            let mut queue = self.queue.lock();
            if queue.peek().is_none_or(|Reverse(due)| due.at > now) {
                break;
            }
            let Some(Reverse(due)) = queue.pop() else { break };
            drop(queue);
            if let Some(report) = due.job.prepare(false, now) {
                bytes += report.lines.iter().map(|line| line.text.len() + 64).sum::<usize>() + 512;
                batch.push((due.job, report));
            }
        }
        batch
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.lock().peek().map(|Reverse(due)| due.at)
    }

    /// Those that give a sign of life, and a few of the ended ones, in turn. What has been kept for long enough is
    /// forgotten.
    fn beating(&self, shared: &Shared) -> Vec<Arc<Job>> {
        let retention = shared.settings.retention;
        let mut jobs = self.jobs.lock();
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        jobs.by_id.retain(|_, attempts| {
            attempts.retain(|job| {
                let over =
                    job.fenced().is_some() || job.ended().is_some_and(|ended| ended.elapsed() > retention);
                if !over {
                    if job.ended().is_some() { ended.push(job.clone()) } else { live.push(job.clone()) }
                }
                !over
            });
            !attempts.is_empty()
        });
        if ended.len() > KEPT {
            ended.sort_by_key(|job| job.ended());
            for old in ended.drain(..ended.len() - KEPT).filter(|job| !job.is_unsettled()) {
                jobs.by_id.remove(&old.id);
            }
        }
        if !ended.is_empty() {
            let turn = jobs.turn % ended.len();
            jobs.turn = turn + ASSERTED;
            live.extend(ended.iter().cycle().skip(turn).take(ASSERTED.min(ended.len())).cloned());
        }
        live
    }

    fn nonce(&self) -> &str {
        self.nonce.get_or_init(|| format!("{:016x}", fastrand::u64(..)))
    }
}

/// What has ended.
#[derive(PartialEq)]
enum Done {
    Told,
    Beat,
}

/// The task. It holds on to what it is of only while something is to be told.
pub(crate) async fn drive(weak: Weak<Shared>) {
    let Some(shared) = weak.upgrade() else { return };
    let wake = shared.workers.wake.clone();
    let mut states = shared.pool.state_changes();
    if *states.borrow_and_update() == State::Closed {
        shared.end();
        return;
    }
    let mut server = shared.pool.server_changes();
    let mut next_beat = Instant::now() + shared.settings.heartbeat;
    let mut under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>> = FuturesUnordered::new();
    let mut beating = false;
    // A task before this one may have ended in the middle of something.
    shared.workers.all().iter().for_each(|job| job.abort());
    shared.workers.assert_all(true);
    drop(shared);
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let now = Instant::now();
        if now >= next_beat && !beating {
            next_beat = now + shared.settings.heartbeat;
            beating = true;
            let shared = shared.clone();
            under_way.push(Box::pin(async move {
                beat(&shared).await;
                Done::Beat
            }));
        }
        while under_way.len() < UNDER_WAY {
            let batch = shared.workers.take_due(now);
            if batch.is_empty() {
                break;
            }
            let shared = shared.clone();
            under_way.push(Box::pin(async move {
                tell(&shared, shared.conn(), batch, Vec::new()).await;
                Done::Told
            }));
        }
        // When all are under way, the end of one is waited for.
        let next_due = shared.workers.next_due();
        let until =
            next_due.filter(|_| under_way.len() < UNDER_WAY).map_or(next_beat, |due| due.min(next_beat));
        // Kept alive by what it has yet to tell.
        let kept = next_due.is_some().then(|| shared.clone());
        drop(shared);
        tokio::select! {
            Some(done) = under_way.next() => beating &= done != Done::Beat,
            () = tokio::time::sleep_until(until.into()), if !beating || until < next_beat => {}
            () = wake.notified() => {}
            changed = states.changed() => {
                if changed.is_err() {
                    return;
                }
                let Some(shared) = weak.upgrade() else { return };
                let state = states.borrow_and_update().clone();
                if state == State::Closed {
                    shared.end();
                    // Whoever waits for one of them learns at once what became of it.
                    while under_way.next().await.is_some() {}
                    return;
                }
                if state == State::Ready {
                    let changes = shared.pool.server_changes();
                    shared.workers.assert_all(changes == std::mem::replace(&mut server, changes));
                }
            }
        }
        drop(kept);
    }
}

/// Tells Redis, and then the watchers of this process.
async fn tell(
    shared: &Arc<Shared>,
    mut conn: Conn,
    batch: Vec<(Arc<Job>, Report)>,
    more: Vec<Cmd>,
) -> Option<Vec<Value>> {
    let (jobs, reports): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    for report in &reports {
        shared.counters.retries.add(u64::from(report.again));
        shared.counters.coalesced.add(report.coalesced);
    }
    if shared.embedded {
        for (job, report) in jobs.iter().zip(&reports) {
            job.take(report);
            shared.hub.deliver(job, false);
            plan(shared, job);
        }
        return None;
    }
    let told = publish(&mut conn, &shared.settings, &reports, &more).await;
    let (replies, rest) = match told {
        Ok((replies, rest)) => (replies, rest),
        Err(error) => {
            let failed = (0..reports.len()).map(|_| Err(error.clone())).collect();
            (failed, Vec::new())
        }
    };
    for ((job, report), reply) in jobs.iter().zip(&reports).zip(&replies) {
        if let Err(error) = reply
            && cenote_pool_core::Error::from_redis(error).is_none()
        {
            tracing::warn!(target: "cenote", job = %job.id, %error, "Redis refuses the progress of a job");
        }
        count(shared, reply);
        if job.settle(report, reply) {
            shared.hub.deliver(job, false);
        } else if reply.is_err() {
            shared.hub.deliver(job, true);
        }
        plan(shared, job);
    }
    rest.into_iter().collect::<Result<_, _>>().ok()
}

fn count(shared: &Shared, reply: &RedisResult<Reply>) {
    let counters = &shared.counters;
    match reply.as_ref().map(|reply| reply.code) {
        Ok(Code::Applied) => counters.published.one(),
        Ok(Code::Duplicate) => counters.duplicates.one(),
        Ok(Code::Fenced | Code::Ended) => counters.fenced.one(),
        // It is told again at once, from there.
        Ok(Code::Behind | Code::Renamed) => {}
        Err(_) => counters.failures.one(),
    }
}

fn plan(shared: &Shared, job: &Arc<Job>) {
    if let Some(due) = job.plan_next(RETRY) {
        shared.workers.queue(job, due);
    }
}

/// A sign of life of every job, in batches; and a look at whether Redis was emptied meanwhile.
async fn beat(shared: &Arc<Shared>) {
    if shared.embedded {
        shared.workers.beating(shared);
        shared.hub.prune(shared.settings.linger);
        return;
    }
    let beating = shared.workers.beating(shared);
    let now = Instant::now();
    for jobs in beating.chunks(BEATS) {
        let batch: Vec<_> =
            jobs.iter().filter_map(|job| Some((job.clone(), job.prepare(true, now)?))).collect();
        if batch.is_empty() {
            continue;
        }
        let mut more = shared.workers.index(jobs, shared);
        let mut set = redis::cmd("SET");
        set.arg(shared.names.sentinel(shared.workers.nonce())).arg(1).arg("GET");
        set.arg("PX").arg(u64::try_from(shared.settings.retention.as_millis()).unwrap_or(u64::MAX));
        more.push(set);
        let rest = tell(shared, shared.conn(), batch, more).await;
        if let Some(had) = rest.as_deref().and_then(<[Value]>::last)
            && shared.workers.marked.swap(true, Ordering::Relaxed)
            && *had == Value::Nil
        {
            shared.workers.assert_all(false);
        }
    }
}

/// The last words of a pool that is being closed: all that Redis has not got, unless it is away.
pub(crate) async fn flush(shared: &Arc<Shared>) {
    let mut failures = 0;
    while failures < FAILURES {
        let open: Vec<_> = shared.workers.all().into_iter().filter(|job| job.is_unsettled()).collect();
        if open.is_empty() {
            return;
        }
        let now = Instant::now();
        let prepared = |job: &Arc<Job>| Some((job.clone(), job.prepare(true, now)?));
        let batch: Vec<_> = open.iter().filter_map(prepared).take(BATCH).collect();
        if batch.is_empty() {
            // The task that reports has them in hand.
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        let jobs: Vec<_> = batch.iter().map(|(job, _)| job.clone()).collect();
        tell(shared, shared.conn().last_words(), batch, Vec::new()).await;
        if jobs.iter().any(|job| job.has_failed()) {
            failures += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
