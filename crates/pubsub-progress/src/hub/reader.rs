//! The one task that listens for all watchers of a process, and for requests to stop its jobs.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Event, State, Subscriber};
use futures_core::Stream;
use tokio::runtime::Handle;

use super::entry::{Entry, Message, is_after};
use crate::position::Position;
use crate::remote::{self, load, sweep};
use crate::shared::Shared;

/// How many jobs are subscribed to, or read, at once.
const BATCH: usize = 512;
/// How often it is looked whether something failed and is to be tried again.
const TICK: Duration = Duration::from_millis(250);
/// How many messages may wait while the task is busy, and how many are taken at once.
const EVENTS: usize = 65_536;
const AT_ONCE: usize = 256;

struct Reader {
    weak: Weak<Shared>,
    subscriber: Subscriber,
    by_channel: HashMap<Box<[u8]>, Arc<Entry>>,
    listens: bool,
    warned: bool,
    sweeping: Arc<AtomicBool>,
    next_tick: Instant,
    next_sweep: Instant,
}

pub(crate) async fn read(weak: Weak<Shared>) {
    let Some(shared) = weak.upgrade() else { return };
    // Of a task before this one.
    shared.hub.all().iter().for_each(|entry| entry.unsubscribed());
    let wake = shared.hub.wake.clone();
    let mut states = shared.pool.state_changes();
    let limit = shared.settings.timeout.min(Duration::from_secs(1));
    let now = Instant::now();
    let mut reader = Reader {
        subscriber: shared.pool.subscriber().with_capacity(EVENTS).with_timeout(limit),
        by_channel: HashMap::new(),
        listens: false,
        warned: false,
        sweeping: Arc::default(),
        next_tick: now,
        next_sweep: now + shared.settings.heartbeat / 2,
        weak,
    };
    drop(shared);
    loop {
        let Some(shared) = reader.weak.upgrade() else { return };
        let now = Instant::now();
        if shared.hub.attention.swap(false, Ordering::AcqRel) || now >= reader.next_tick {
            reader.next_tick = now + TICK;
            if reader.subscribe(&shared).await {
                return;
            }
            reader.start_loads(&shared);
        }
        if now >= reader.next_sweep {
            reader.next_sweep = now + shared.settings.heartbeat / 2;
            reader.prune(&shared);
            reader.start_sweep(&shared);
        }
        let until = reader.next_tick.min(reader.next_sweep);
        drop(shared);
        tokio::select! {
            over = reader.events() => if over { return },
            () = wake.notified() => {}
            () = tokio::time::sleep_until(until.into()) => {}
            changed = states.changed() => {
                let is_away = matches!(*states.borrow_and_update(), State::Degraded { .. });
                if changed.is_err() {
                    return;
                }
                if is_away && let Some(shared) = reader.weak.upgrade() {
                    away(&shared, &shared.hub.all());
                }
            }
        }
    }
}

impl Reader {
    /// Subscribes to what is new, in batches; true if the pool is closed.
    async fn subscribe(&mut self, shared: &Arc<Shared>) -> bool {
        if !self.listens && !shared.workers.is_empty() {
            match self.subscriber.subscribe(shared.names.control()).await {
                Ok(()) => {
                    self.listens = true;
                    shared.workers.ask_all();
                }
                Err(error) if self.is_over(shared, &error) => return true,
                Err(_) => {}
            }
        }
        let new: Vec<_> = shared.hub.all().into_iter().filter(|entry| !entry.is_subscribed()).collect();
        for batch in new.chunks(BATCH) {
            let channels: Vec<&[u8]> = batch.iter().map(|entry| &*entry.channel).collect();
            match self.subscriber.subscribe(channels).await {
                Ok(()) => {
                    for entry in batch {
                        entry.subscribed();
                        self.by_channel.insert(entry.channel.clone(), entry.clone());
                    }
                }
                Err(error) if self.is_over(shared, &error) => return true,
                Err(_) => away(shared, batch),
            }
        }
        false
    }

    fn is_over(&mut self, shared: &Shared, error: &Error) -> bool {
        if error.is_closed() {
            shared.hub.all().iter().for_each(|entry| entry.close());
            return true;
        }
        if error.server_error().is_some() && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(target: "cenote", %error, "Redis does not let progress be watched");
        }
        false
    }

    /// Reads what may have been missed, in batches, each in a task of its own: this one listens.
    fn start_loads(&self, shared: &Arc<Shared>) {
        let stale: Vec<(Arc<Entry>, Position)> = shared
            .hub
            .all()
            .into_iter()
            .filter_map(|entry| Some((entry.clone(), entry.begin_load()?)))
            .collect();
        let Ok(handle) = Handle::try_current() else { return };
        for batch in stale.chunks(BATCH) {
            handle.spawn(load_all(shared.clone(), batch.to_vec()));
        }
    }

    fn start_sweep(&self, shared: &Arc<Shared>) {
        let Ok(handle) = Handle::try_current() else { return };
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            handle.spawn(sweep_all(shared.clone(), Sweeping(self.sweeping.clone())));
        }
    }

    fn prune(&mut self, shared: &Shared) {
        for entry in shared.hub.prune(shared.settings.linger) {
            self.by_channel.remove(&entry.channel);
            self.subscriber.unsubscribe(&*entry.channel);
        }
    }

    /// Waits for events, and takes all that are there; true after the last one.
    async fn events(&mut self) -> bool {
        let first = self.subscriber.next().await;
        let Some(shared) = self.weak.upgrade() else { return true };
        let mut event = first;
        for _ in 0..AT_ONCE {
            match event {
                None | Some(Event::Closed) => {
                    shared.hub.all().iter().for_each(|entry| entry.close());
                    return true;
                }
                Some(event) => self.take(&shared, &event),
            }
            let next =
                poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut self.subscriber).poll_next(cx))).await;
            match next {
                Poll::Ready(next) => event = next,
                Poll::Pending => return false,
            }
        }
        // The last one that was polled is still in hand.
        if let Some(event) = event {
            self.take(&shared, &event);
        }
        false
    }

    fn take(&mut self, shared: &Shared, event: &Event) {
        match event {
            Event::Message(message) => {
                if let Some(entry) = self.by_channel.get(message.channel_bytes()) {
                    let seen = entry.position();
                    let is_news = |at: Position| is_after(at, seen);
                    if let Some((position, snapshot, lines)) =
                        remote::message(&entry.job, message.payload(), is_news)
                        && entry.take(Message { position, snapshot, lines })
                    {
                        shared.hub.attend();
                    }
                } else if message.channel_bytes() == shared.names.control().as_bytes() {
                    shared.workers.cancel(&String::from_utf8_lossy(message.payload()));
                }
            }
            Event::Gap | Event::Lagged(_) => {
                let counters = &shared.counters;
                let back = if matches!(event, Event::Gap) { &counters.reconnects } else { &counters.lagged };
                back.one();
                shared.hub.came_back();
                shared.workers.ask_all();
                self.by_channel.values().for_each(|entry| entry.doubt());
                shared.hub.attend();
            }
            Event::Refused(refusal) => {
                if let Some(entry) = self.by_channel.remove(refusal.name().as_bytes()) {
                    entry.unsubscribed();
                } else {
                    self.listens = false;
                }
            }
            _ => {}
        }
    }
}

/// Redis is away: nobody knows how these jobs are, unless they are of this process.
fn away(shared: &Shared, entries: &[Arc<Entry>]) {
    for entry in entries {
        let own = shared.workers.find(&entry.job).filter(|job| job.fenced().is_none());
        match own {
            Some(_) => entry.is_own(),
            None => entry.away(),
        }
    }
}

async fn load_all(shared: Arc<Shared>, batch: Vec<(Arc<Entry>, Position)>) {
    let jobs: Vec<_> = batch.iter().map(|(entry, after)| (entry.job.clone(), *after)).collect();
    let most = shared.settings.log_lines;
    let records = load(&mut shared.conn(), &shared.names, &jobs, most).await;
    match records {
        Ok(records) => {
            let back = shared.hub.back_for();
            for ((entry, _), record) in batch.iter().zip(records) {
                match record {
                    Ok(record) => entry.loaded(record, back),
                    Err(error) => {
                        tracing::warn!(target: "cenote", job = %entry.job, %error, "the progress of a job cannot be read");
                        entry.load_failed();
                        entry.away();
                    }
                }
            }
            if batch.iter().any(|(entry, _)| entry.is_stale()) {
                shared.hub.attend();
            }
        }
        Err(_) => {
            batch.iter().for_each(|(entry, _)| entry.load_failed());
            away(&shared, &batch.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>());
        }
    }
}

async fn sweep_all(shared: Arc<Shared>, _sweeping: Sweeping) {
    let entries: Vec<_> = shared
        .hub
        .all()
        .into_iter()
        .filter(|entry| entry.is_subscribed() && !entry.known().has_ended())
        .collect();
    if entries.is_empty() {
        return;
    }
    let jobs: Vec<_> = entries.iter().map(|entry| entry.job.clone()).collect();
    let Ok(found) = sweep(&mut shared.conn(), &shared.names, &jobs).await else {
        away(&shared, &entries);
        return;
    };
    let back = shared.hub.back_for();
    for (entry, vitals) in entries.iter().zip(found) {
        let job = shared.workers.find(&entry.job).filter(|job| job.fenced().is_none());
        if vitals.is_none()
            && let Some(job) = &job
            && let Some(due) = job.doubt()
        {
            shared.workers.queue(job, due);
        }
        entry.swept(vitals.as_ref(), job.is_some(), shared.settings.lost_after, back);
    }
    if entries.iter().any(|entry| entry.is_stale()) {
        shared.hub.attend();
    }
}

/// One sweep at a time.
struct Sweeping(Arc<AtomicBool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
