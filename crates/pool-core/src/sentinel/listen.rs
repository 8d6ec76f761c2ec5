//! The one subscription of a pool to `+switch-master`, at one sentinel at a time.
//!
//! It is a lease, as the look for Redis is: whoever of the pool's tasks finds that its holder does not act takes it over,
//! so it survives the end of a runtime. It holds the pool weakly.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Sentinel;
use super::ask::{ask, converse, late, unreached};
use crate::breaker::probe;
use crate::brief::{brief, is_plain};
use crate::config::name_of;
use crate::dial::{Dialled, Refusal, Talk};
use crate::pool::{Context, Shared};
use crate::timer;
use crate::transport::Socket;

const CHANNEL: &str = "+switch-master";
/// How often a quiet sentinel is asked whether it is there, and the lease renewed.
const BEAT: Duration = Duration::from_secs(1);
/// A holder that has not renewed it for so long does not run.
const LEASE: Duration = Duration::from_millis(2_500);
/// A subscription that lived so long has worked.
const STEADY: Duration = Duration::from_secs(5);
/// How long calls may stay under way on a server that is no master any more.
const MERCY: Duration = Duration::from_millis(500);

/// News is heeded at most so often: of what a sentinel says in between, the last word counts.
const CALM: Duration = Duration::from_millis(100);

pub(crate) struct Watch {
    born: Instant,
    /// Until when somebody has it, in nanoseconds since `born`. A copy, for who looks often.
    until: AtomicU64,
    inner: Mutex<Inner>,
    ended: watch::Sender<bool>,
    home: OnceLock<Weak<Shared>>,
    /// The log has it that no sentinel is heard.
    warned: AtomicBool,
}

#[derive(Default)]
struct Inner {
    holder: u64,
    /// Of the holder's connection: it ends with the lease, also while its own runtime stands still.
    socket: Option<Arc<dyn Socket>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            until: AtomicU64::new(0),
            inner: Mutex::default(),
            ended: watch::Sender::new(false),
            home: OnceLock::new(),
            warned: AtomicBool::new(false),
        }
    }
}

impl Watch {
    pub(crate) fn belongs_to(&self, home: Weak<Shared>) {
        let _ = self.home.set(home);
    }

    fn since_birth(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.born).as_nanos() as u64
    }

    fn is_vacant(&self, now: Instant) -> bool {
        self.until.load(Ordering::Relaxed) <= self.since_birth(now)
    }

    fn take(&self, now: Instant) -> Option<u64> {
        let mut inner = self.inner.lock();
        if !self.is_vacant(now) || *self.ended.borrow() {
            return None;
        }
        inner.holder += 1;
        if let Some(socket) = inner.socket.take() {
            socket.abort();
        }
        self.until.store(self.since_birth(now + LEASE), Ordering::Relaxed);
        Some(inner.holder)
    }

    fn renew(&self, holder: u64) -> bool {
        let inner = self.inner.lock();
        let held = inner.holder == holder && !*self.ended.borrow();
        if held {
            self.until.store(self.since_birth(Instant::now() + LEASE), Ordering::Relaxed);
        }
        held
    }

    fn install(&self, holder: u64, socket: &Arc<dyn Socket>) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.holder == holder && !*self.ended.borrow();
        if held {
            inner.socket = Some(socket.clone());
        }
        held
    }

    /// False if it is another's by now.
    fn release(&self, holder: u64) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.holder == holder;
        if held {
            inner.socket = None;
            self.until.store(0, Ordering::Relaxed);
        }
        held
    }

    /// The pool is closed, or gone.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        self.ended.send_replace(true);
        if let Some(socket) = inner.socket.take() {
            socket.abort();
        }
    }
}

/// Sees to it that somebody listens: in this runtime, if nobody does. Only for tasks of the pool.
pub(crate) fn tend(context: &Arc<Context>, now: Instant) {
    let Some(sentinel) = &context.sentinel else { return };
    if sentinel.watch.is_vacant(now)
        && let Ok(handle) = Handle::try_current()
        && let Some(number) = sentinel.watch.take(now)
    {
        handle.spawn(listen(Holder { context: context.clone(), number }));
    }
}

/// Gives the lease back however the task ends: also when its runtime drops it.
struct Holder {
    context: Arc<Context>,
    number: u64,
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(sentinel) = &self.context.sentinel
            && sentinel.watch.release(self.number)
        {
            self.context.meters.sentinel_heard(false);
        }
    }
}

async fn listen(holder: Holder) {
    let Some(sentinel) = &holder.context.sentinel else { return };
    let mut ended = sentinel.watch.ended.subscribe();
    let mut ended = pin!(ended.wait_for(|ended| *ended));
    let mut work = pin!(Work { holder: &holder, sentinel, cutting: AtomicBool::new(false) }.run());
    poll_fn(|cx| if ended.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { work.as_mut().poll(cx) })
        .await;
}

struct Work<'a> {
    holder: &'a Holder,
    sentinel: &'a Sentinel,
    /// Calls may still be under way on a server that is no master any more.
    cutting: AtomicBool,
}

impl Work<'_> {
    async fn run(self) {
        let mut backoff = self.holder.context.backoff();
        let mut failing: Option<Instant> = None;
        let mut index = self.sentinel.likely.load(Ordering::Relaxed);
        let mut unheard = 0;
        while self.is_mine() {
            let began = Instant::now();
            let mut heard = false;
            let followed = self.follow(index % self.sentinel.sentinels.len(), &mut heard).await;
            let Err(why) = followed else { return };
            unheard = if heard { 0 } else { unheard + 1 };
            if self.is_mine() {
                self.holder.context.meters.sentinel_heard(false);
                if unheard >= self.sentinel.sentinels.len() {
                    self.lament(&why);
                }
            }
            tracing::debug!(
                target: "cenote",
                sentinel = self.sentinel.names[index % self.sentinel.names.len()],
                why,
                "a sentinel is listened to no more: the next one is"
            );
            if began.elapsed() >= STEADY {
                backoff.reset();
                failing = None;
            }
            index += 1;
            let pause = backoff.next(failing.get_or_insert(began).elapsed());
            if self.is_mine() {
                timer::sleep(pause.min(BEAT)).await;
            }
        }
    }

    /// None of them is heard: whatever changes is noticed only when connections end.
    fn lament(&self, why: &str) {
        let context = &self.holder.context;
        if !self.sentinel.watch.warned.load(Ordering::Relaxed)
            && let Some(left_out) = context.chronicle.admit(Instant::now())
        {
            self.sentinel.watch.warned.store(true, Ordering::Relaxed);
            tracing::warn!(
                target: "cenote",
                master = self.sentinel.master,
                sentinels = self.sentinel.names.join(","),
                cause = why,
                lines_left_out = left_out,
                "no sentinel is heard any more: the next connection that is made will find no master"
            );
        }
    }

    /// One of them is.
    fn hear(&self, index: usize) {
        let context = &self.holder.context;
        context.meters.sentinel_heard(true);
        if self.sentinel.watch.warned.swap(false, Ordering::Relaxed) {
            tracing::info!(
                target: "cenote",
                master = self.sentinel.master,
                sentinel = self.sentinel.names[index],
                "a sentinel is heard again"
            );
        }
    }

    fn is_mine(&self) -> bool {
        self.sentinel.watch.renew(self.holder.number)
    }

    /// Listens to one sentinel until it fails; `Ok` if that is no longer this task's business.
    async fn follow(&self, index: usize, heard: &mut bool) -> Result<(), String> {
        let Sentinel { sentinels, master, watch, .. } = self.sentinel;
        let (context, target) = (&self.holder.context, &sentinels[index]);
        let limit = context.breaker.probe_limit();
        let late = || late(limit);
        let dialled = timer::within(limit, context.connector().dial(target, limit)).await.ok_or_else(late)?;
        let Dialled { mut io, socket } = dialled.map_err(|error| unreached(&error, limit))?;
        if !watch.install(self.holder.number, &socket) {
            return Ok(());
        }
        drop(socket);
        let mut talk = Talk::new(&mut *io, target);
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(CHANNEL);
        timer::within(limit, converse(&mut talk, target, subscribe)).await.ok_or_else(late)??;
        // What happened before it listened.
        let asked = timer::within(limit, ask(context.connector(), target, master, limit)).await;
        let (host, port) = asked.ok_or_else(late)??;
        *heard = true;
        self.hear(index);
        if context.node().is_some_and(|used| used.address != name_of(&host, port)) {
            self.heed(&host, port);
        }
        let (mut asked, mut news, mut calm_until) = (false, None, Instant::now());
        while self.is_mine() {
            let beat = if self.cutting.load(Ordering::Relaxed) { MERCY } else { BEAT };
            let beat = news.as_ref().map_or(beat, |_| calm_until.saturating_duration_since(Instant::now()));
            let heard = timer::within(beat, talk.next()).await;
            self.cut_what_is_stuck();
            match heard {
                Some(Ok(value)) => {
                    asked = false;
                    news = new_master(&value, master).or(news);
                }
                None if news.is_some() => {}
                Some(Err(Refusal::Failed(why))) => return Err(why),
                Some(Err(Refusal::Said(error))) => return Err(brief(&error.to_string())),
                None if asked => return Err(super::ask::late(beat)),
                None => {
                    asked = true;
                    talk.say(&[redis::cmd("PING")]).await.map_err(|error| error.to_string())?;
                }
            }
            if Instant::now() >= calm_until
                && let Some((host, port)) = news.take()
            {
                self.heed(&host, port);
                calm_until = Instant::now() + CALM;
            }
        }
        Ok(())
    }

    /// Another server is the master.
    fn heed(&self, host: &str, port: u16) {
        let context = &self.holder.context;
        if self.sentinel.announce_master(host, port)
            && let Some(left_out) = context.chronicle.admit(Instant::now())
        {
            tracing::info!(
                target: "cenote",
                master = self.sentinel.master,
                node = name_of(host, port),
                lines_left_out = left_out,
                "Sentinel names another master: connections move to it"
            );
        }
        self.cutting.store(true, Ordering::Relaxed);
        context.budget.forsake(&|node| self.sentinel.is_stale(node), false);
        let Some(shared) = self.sentinel.watch.home.get().and_then(Weak::upgrade) else { return };
        shared.bench.end_quiet();
        if let Some(lease) = context.breaker.hasten(Instant::now())
            && let Ok(handle) = Handle::try_current()
        {
            handle.spawn(probe(lease, context.clone(), Arc::downgrade(&shared)));
        }
    }

    /// A server that is stopped, or cut off, would keep its callers until their limits.
    fn cut_what_is_stuck(&self) {
        if self.cutting.load(Ordering::Relaxed) && self.sentinel.has_known_for(MERCY) {
            self.cutting.store(false, Ordering::Relaxed);
            self.holder.context.budget.forsake(&|node| self.sentinel.is_stale(node), true);
        }
    }
}

/// The address in `+switch-master <name> <old host> <old port> <new host> <new port>`.
fn new_master(message: &Value, master: &str) -> Option<(String, u16)> {
    let (kind, channel, text): (String, String, String) = redis::from_redis_value_ref(message).ok()?;
    let mut words = text.rsplitn(5, ' ');
    let (port, host) = (words.next()?, words.next()?);
    let name = words.nth(2)?;
    let right = kind == "message" && channel == CHANNEL && name == master && is_plain(host);
    Some((host.to_owned(), port.parse().ok()?)).filter(|_| right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Value {
        let words = ["message", CHANNEL, text];
        Value::Array(words.into_iter().map(|word| Value::BulkString(word.into())).collect())
    }

    #[test]
    fn the_new_master_is_the_last_address_of_a_message_about_ours() {
        let told = message("my master 10.0.0.1 6379 10.0.0.2 6380");
        assert_eq!(new_master(&told, "my master"), Some(("10.0.0.2".to_owned(), 6380)));
        assert_eq!(new_master(&told, "master"), None);
        assert_eq!(new_master(&message("m ::1 1 ::2 2"), "m"), Some(("::2".to_owned(), 2)));
        for wrong in ["", "m", "m a 1 b", "m a 1 b port", "m a 1 b 70000", "m a 1 b\u{1b} 7", "m a 1  7"] {
            assert_eq!(new_master(&message(wrong), "m"), None, "{wrong}");
        }
        assert_eq!(new_master(&Value::Array(vec![Value::Nil]), "m"), None);
    }

    #[test]
    fn one_task_has_the_watch_and_another_only_once_it_is_overdue_or_given_back() {
        let (watch, now) = (Watch::default(), Instant::now());
        let first = watch.take(now).unwrap();
        assert_eq!(watch.take(now + LEASE / 2), None);
        let second = watch.take(now + LEASE * 2).unwrap();
        assert!(!watch.renew(first) && watch.renew(second));
        watch.release(first);
        assert_eq!(watch.take(Instant::now()), None, "the first has nothing to give back");
        watch.release(second);
        let third = watch.take(Instant::now()).unwrap();
        watch.end();
        assert!(!watch.renew(third));
        watch.release(third);
        assert_eq!(watch.take(Instant::now()), None, "the pool is closed");
    }
}
