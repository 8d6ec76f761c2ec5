//! Calls that are made while others are under way, sent as one.
//!
//! Redis runs one script at a time, and what it costs to begin one is most of what a check costs. So where several tasks check
//! at once, the first of those that are ready to run leaves its call to a task, which lets all others of this moment add
//! theirs, and then sends them as one script. Each call is judged by itself there, in this order, and gets its own answer.
//! Nobody waits for a reply of another's: a batch is sent as soon as no task of the runtime has anything else to do at once.
//!
//! Only to a server that says that it is one by itself: elsewhere keys of several subjects cannot be in one script.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use cenote_pool_core::redis::{
    ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, make_extension_error,
};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

use crate::call::{Item, Items, Mode};
use crate::remote::{Answer, Remote, strange, verdicts};

/// So many calls are under way before others are collected: fewer gain nothing.
const FEW: usize = 3;
/// Keys in one script: as long as it runs nobody else is served.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Together {
    /// What calls can still be added to.
    open: Mutex<Option<Arc<Batch>>>,
    under_way: AtomicUsize,
    /// The server has refused several subjects in one script, though it said that it is one by itself.
    apart: AtomicBool,
}

#[derive(Debug)]
struct Batch {
    /// Of whose tasks.
    runtime: Id,
    /// Items of each call.
    size: usize,
    /// A test's time.
    now: Option<u64>,
    /// The first of its calls.
    began: Instant,
    calls: Mutex<Vec<Waiting>>,
}

/// `None`: it was not executed, and is to be made again by itself.
type Told = Option<Answer>;

#[derive(Debug)]
struct Waiting {
    items: Items,
    tell: oneshot::Sender<Told>,
}

/// A call is under way.
pub(crate) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Together {
    pub(crate) fn enter(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    fn is_worth_it(&self, size: usize) -> bool {
        self.under_way.load(Ordering::Relaxed) > FEW
            && size * 2 <= MOST
            && !self.apart.load(Ordering::Relaxed)
    }
}

impl Remote {
    /// Leaves a charge to a task that sends it with others. `None`: it is to be sent by itself, at once.
    pub(crate) fn join(
        self: &Arc<Self>,
        items: &[Item],
        now: Option<u64>,
        began: Instant,
    ) -> Option<oneshot::Receiver<Told>> {
        let size = items.len();
        if !self.together.is_worth_it(size) {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let mut open = self.together.open.lock();
        let (batch, is_first) = match &*open {
            Some(batch) if (batch.runtime, batch.size, batch.now) == (runtime.id(), size, now) => {
                (batch.clone(), false)
            }
            // It is another's: that is rare, and soon over.
            Some(_) => return None,
            None if !self.is_single() => return None,
            None => {
                let calls = Mutex::new(Vec::with_capacity(MOST / size));
                let batch = Arc::new(Batch { runtime: runtime.id(), size, now, began, calls });
                (open.insert(batch).clone(), true)
            }
        };
        let (tell, told) = oneshot::channel();
        let mut calls = batch.calls.lock();
        calls.push(Waiting { items: items.into(), tell });
        let is_full = (calls.len() + 1) * size > MOST;
        drop(calls);
        if is_full {
            *open = None;
        }
        drop(open);
        if is_first {
            let collecting = Collecting { remote: self.clone(), batch };
            runtime.spawn(async move {
                // Those that are ready to run come first.
                tokio::task::yield_now().await;
                collecting.send().await;
            });
        }
        Some(told)
    }
}

/// The task of a batch. A runtime that ends drops it, and then nobody adds to it any more.
struct Collecting {
    remote: Arc<Remote>,
    batch: Arc<Batch>,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.close();
    }
}

impl Collecting {
    fn close(&self) -> Vec<Waiting> {
        let mut open = self.remote.together.open.lock();
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &self.batch)) {
            *open = None;
        }
        std::mem::take(&mut *self.batch.calls.lock())
    }

    async fn send(self) {
        let calls = self.close();
        let Batch { size, now, began, .. } = *self.batch;
        let left = self.remote.left(began);
        let items: Vec<Item> = calls.iter().flat_map(|call| call.items.iter().cloned()).collect();
        match self.remote.send(&items, size, Mode::Charge, now, Some(left)).await {
            Ok(Value::Array(reply)) => {
                let mut rest = reply.into_iter();
                let decided = rest.next();
                for Waiting { items, tell } in calls {
                    let own = rest.by_ref().take(4 * size).collect();
                    let _ = tell.send(Some(own_answer(&items, decided.clone(), own)));
                }
            }
            Ok(_) => tell_all(calls, &Some(strange())),
            Err(error) if calls.len() > 1 && is_of_together(&error) => {
                self.remote.together.apart.store(true, Ordering::Relaxed);
                tell_all(calls, &None);
            }
            Err(error) => tell_all(calls, &Some(error)),
        }
    }
}

fn own_answer(items: &[Item], decided: Option<Value>, said: Vec<Value>) -> Answer {
    if let Some(Value::BulkString(wrong)) = said.first() {
        let wrong = String::from_utf8_lossy(wrong);
        let (code, detail) = wrong.split_once(' ').unwrap_or((&wrong, ""));
        return Err(make_extension_error(code.trim_start_matches('-').to_owned(), Some(detail.to_owned())));
    }
    let numbers = decided.into_iter().chain(said).map(i64::from_redis_value);
    verdicts(items, &numbers.collect::<Result<Vec<_>, _>>()?)
}

fn tell_all(calls: Vec<Waiting>, error: &Option<RedisError>) {
    for Waiting { tell, .. } in calls {
        let _ = tell.send(error.clone().map(Err));
    }
}

/// Nothing was executed, and what is refused may be that there are several.
fn is_of_together(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved))
        || error.code() == Some("NOPERM")
}
