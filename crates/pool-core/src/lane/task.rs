//! The one task of a lane: connects, serves until the end, then looks for Redis if that falls to it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::Handle;

use super::driver::{Driver, End};
use super::handle::{Lane, fill};
use super::machine::{Filled, Phase};
use crate::breaker::{Lease, probe};
use crate::budget::Tenant;
use crate::dial::Connection;
use crate::error::{Error, Kind};
use crate::panics;
use crate::pool::{Context, Shared};
use crate::timer::Timer;
use crate::transport::Farewell;

/// Starts the task of `lane`, on `connection` or on one that it dials first.
///
/// Must not be called under a lock: a runtime that is shutting down drops the task at once, and with it the
/// [`Guard`], which takes locks.
pub(crate) fn launch(
    handle: &Handle,
    lane: Arc<Lane>,
    shared: &Arc<Shared>,
    connection: Option<Connection>,
    patient: bool,
) {
    let guard = Guard::new(lane, shared);
    handle.spawn(drive(guard, shared.context.clone(), connection, patient));
}

/// Starts the task of a lane that takes the place of `old` once it is connected. Must not be called under a lock.
pub(super) fn launch_heir(handle: &Handle, lane: Arc<Lane>, shared: &Arc<Shared>, old: Arc<Lane>) {
    let guard = Guard::new(lane, shared);
    handle.spawn(inherit(guard, shared.context.clone(), old));
}

async fn drive(guard: Guard, context: Arc<Context>, connection: Option<Connection>, patient: bool) {
    let work = async {
        match connection {
            Some(connection) => serve(&guard.lane, &context, connection, &guard.home).await,
            None => match connect(&guard, &context, patient).await {
                Ok(connection) => serve(&guard.lane, &context, connection, &guard.home).await,
                Err(missed) => missed.lease,
            },
        }
    };
    let lease = guard.watch(&context, work).await;
    finish(guard, context, lease).await;
}

async fn inherit(guard: Guard, context: Arc<Context>, old: Arc<Lane>) {
    let work = async {
        match connect(&guard, &context, false).await {
            Ok(connection) => {
                let home = guard.home.upgrade();
                if !home.is_some_and(|shared| shared.sets.replace(&old, &guard.lane)) {
                    return None;
                }
                old.drain();
                drop(old);
                serve(&guard.lane, &context, connection, &guard.home).await
            }
            Err(missed) => {
                // There is no place for two: the old one makes room, and the next call dials.
                if missed.crowded && context.budget.is_full() && !context.breaker.is_open() {
                    old.drain();
                }
                missed.lease
            }
        }
    };
    let lease = guard.watch(&context, work).await;
    finish(guard, context, lease).await;
}

async fn finish(guard: Guard, context: Arc<Context>, lease: Option<Lease>) {
    let home = guard.home.clone();
    drop(guard);
    if let Some(lease) = lease {
        probe(lease, context, home).await;
    }
}

/// However the task ends, the lane's callers learn it: also when the runtime drops it, even before it ran.
struct Guard {
    lane: Arc<Lane>,
    home: Weak<Shared>,
    /// Why the task panicked.
    panic: OnceLock<String>,
}

impl Guard {
    fn new(lane: Arc<Lane>, shared: &Arc<Shared>) -> Self {
        Self { lane, home: Arc::downgrade(shared), panic: OnceLock::new() }
    }

    async fn watch<T>(&self, context: &Context, work: impl Future<Output = T>) -> T {
        panics::watched(work, &context.target, |why| drop(self.panic.set(why))).await
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = "the tokio runtime that served this connection has ended";
        let why = self.panic.get().map_or(ended, String::as_str);
        self.lane.end(&Error::not_sent(Kind::Runtime, why), Farewell::Finish);
        if let Some(shared) = self.home.upgrade() {
            shared.forget(&self.lane);
        }
    }
}

/// No connection came about.
#[derive(Default)]
struct Missed {
    lease: Option<Lease>,
    /// It was not even dialled: there was no place for it.
    crowded: bool,
}

/// Dials while keeping the deadlines of those who wait.
async fn connect(guard: &Guard, context: &Arc<Context>, patient: bool) -> Result<Connection, Missed> {
    let lane = &*guard.lane;
    let mut dial = pin!(context.try_connect(context.config.connect_timeout, patient));
    let mut timer = Timer::default();
    let dialled = poll_fn(|cx| {
        if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
            return Poll::Ready(Some(dialled));
        }
        loop {
            let mut filled = Filled::new();
            let mut state = lane.state().lock();
            if !matches!(state.machine.phase(), Phase::Connecting) {
                return Poll::Ready(None);
            }
            state.machine.expire(Instant::now(), &mut filled);
            state.driver = Some(cx.waker().clone());
            let next = state.machine.next_deadline();
            drop(state);
            fill(&mut filled);
            if timer.poll(next, cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    match dialled.ok_or_else(Missed::default)? {
        Ok(connection) => {
            context.connected(&connection.greeting);
            if let Some(shared) = guard.home.upgrade() {
                shared.sets.unpause(lane.runtime());
            }
            Ok(connection)
        }
        Err(fault) => {
            // First the breaker, then the callers: when they try again they find it open.
            let lease = context.dial_failed(&fault);
            let error = fault.error;
            if error.kind() == Kind::Away && !context.breaker.is_open() {
                // Redis serves others: this runtime alone must not ask again and again.
                if let Some(shared) = guard.home.upgrade() {
                    shared.sets.pause(lane.runtime(), context.backoff(), &error);
                }
            }
            lane.end(&error, Farewell::Finish);
            Err(Missed { lease, crowded: error.kind() == Kind::Moved })
        }
    }
}

/// Serves until the lane ends; returns the lease to look for Redis if this lane's end is the reason to look.
pub(super) async fn serve(
    lane: &Lane,
    context: &Arc<Context>,
    connection: Connection,
    home: &Weak<Shared>,
) -> Option<Lease> {
    let socket = connection.held.socket();
    lane.install(connection.held, connection.greeting, context, Instant::now());
    if lane.greeting().and_then(|greeting| greeting.node.as_ref()).is_some_and(|node| context.is_stale(node))
    {
        lane.give_way();
    }
    let mut driver = Driver::new(lane, context, connection.io, socket, connection.renewal, home);
    let end = poll_fn(|cx| driver.poll(cx)).await;
    let written = Some(driver.written);
    // A peer that hangs up on a connection it never answered, while it owes an answer, is no server at all.
    let useless = !lane.was_answered() && lane.owes_callers();
    let (error, farewell, silent) = match end {
        End::Outside => return None,
        End::Drained => {
            let moved = Error::not_sent(Kind::Moved, "the connection was drained");
            lane.end_after(&moved, Farewell::Finish, written);
            return None;
        }
        End::PeerClosed => {
            let why = "Redis closed the connection".to_owned();
            (Error::not_sent(Kind::Cut, why), Farewell::PeerGone, false)
        }
        End::Io(error) => {
            let why = format!("the connection to Redis was lost: {error}");
            (Error::not_sent(Kind::Cut, why), Farewell::PeerGone, false)
        }
        End::Protocol(error) => (Error::not_sent(Kind::Cut, error.to_string()), Farewell::Abort, false),
        End::Silent => {
            let limit = context.config.socket_timeout;
            let why = format!("Redis owed a reply and sent nothing for {limit:?} (REDIS_SOCKET_TIMEOUT)");
            (Error::not_sent(Kind::Cut, why), Farewell::Abort, true)
        }
    };
    drop(driver);
    if lane.has_ended() {
        return None;
    }
    if lane.owes_callers()
        && let Some(greeting) = lane.greeting()
    {
        context.note_lost(greeting);
    }
    let lease = context.lane_lost(&error, silent || useless);
    lane.end_after(&error, farewell, written);
    lease
}
