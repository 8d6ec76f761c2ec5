//! The one task of a hub: connects, serves, and connects again for as long as somebody subscribes.

use std::panic::Location;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::driver::{Driver, End};
use super::hub::Hub;
use super::machine::Protocol;
use crate::breaker::{Backoff, Lease, probe};
use crate::dedicated::{Bench, Place, wait_for_place};
use crate::dial::Connection;
use crate::error::{Error, Kind};
use crate::panics;
use crate::pool::{Context, Shared};
use crate::timer;
use crate::transport::Farewell;

/// How long a connection that nobody needs is kept, for the next who subscribes.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// A connection that replied and lived so long has worked.
const STEADY: Duration = Duration::from_secs(1);
/// How often it is looked whether Redis is back, when nobody says so.
const LOOK: Duration = Duration::from_millis(100);

/// Must not be called under a lock: a runtime that is shutting down drops the task at once, and its [`Guard`]
/// takes locks.
pub(super) fn launch(handle: &Handle, hub: Arc<Hub>, shared: &Arc<Shared>, at: &'static Location<'static>) {
    let guard = Guard { hub, home: Arc::downgrade(shared), panic: OnceLock::new() };
    let context = shared.context.clone();
    let work = Work { handle: handle.clone(), backoff: context.backoff(), failing: None, context };
    handle.spawn(work.run(guard, at));
}

/// However the task ends, the hub's subscribers learn it: also when the runtime drops it, even before it ran.
struct Guard {
    hub: Arc<Hub>,
    home: Weak<Shared>,
    /// Why the task panicked.
    panic: OnceLock<String>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shared = self.home.upgrade();
        let ended = "the tokio runtime that served this subscription has ended";
        let why = Error::not_sent(Kind::Runtime, self.panic.get().map_or(ended, String::as_str));
        if self.panic.get().is_some()
            && let Some(shared) = &shared
        {
            shared.hubs.bar(self.hub.runtime(), &why);
        }
        self.hub.end(&why, Farewell::Finish);
        if let Some(shared) = shared {
            shared.hubs.forget(&self.hub);
        }
    }
}

struct Work {
    handle: Handle,
    context: Arc<Context>,
    backoff: Backoff,
    failing: Option<Instant>,
}

impl Work {
    async fn run(self, guard: Guard, at: &'static Location<'static>) {
        let context = self.context.clone();
        let tell = |why| drop(guard.panic.set(why));
        panics::watched(self.work(&guard, at), &context.target, tell).await;
    }

    async fn work(mut self, guard: &Guard, at: &'static Location<'static>) {
        let hub = &*guard.hub;
        let mut place = None;
        loop {
            if hub.has_ended() || hub.end_if_deserted(LINGER) || !self.wait_for_redis(guard).await {
                return;
            }
            if place.is_none() {
                let Some(shared) = guard.home.upgrade() else { return };
                match self.take_place(&shared, at).await {
                    Ok((taken, holder)) => {
                        hub.keep_place(taken);
                        place = Some(holder);
                    }
                    Err(error) => {
                        hub.fail_waiting(&error);
                        if hub.end_if_deserted(Duration::ZERO) {
                            return;
                        }
                        self.pause(hub).await;
                        continue;
                    }
                }
            }
            match self.context.try_connect(self.context.config.connect_timeout, true).await {
                Ok(connection) => {
                    self.context.connected(&connection.greeting);
                    if self.serve(guard, connection).await {
                        return;
                    }
                }
                Err(fault) => {
                    let lease = self.context.dial_failed(&fault);
                    hub.fail_waiting(&fault.error);
                    self.spawn_probe(lease, guard);
                }
            }
            self.pause(hub).await;
        }
    }

    /// Until a call would be let through: then Redis is there, or nobody knows better. False if the pool has gone.
    async fn wait_for_redis(&self, guard: &Guard) -> bool {
        let mut states = self.context.state.subscribe();
        loop {
            let Some(shared) = guard.home.upgrade() else { return false };
            // This also looks for Redis, should nobody else do so.
            let Err(error) = shared.admit(&self.handle) else { return true };
            drop(shared);
            if error.is_closed() || guard.hub.has_ended() || guard.hub.end_if_deserted(LINGER) {
                return false;
            }
            guard.hub.fail_waiting(&error);
            let _ = timer::within(LOOK, states.changed()).await;
        }
    }

    async fn take_place(
        &self,
        shared: &Arc<Shared>,
        at: &'static Location<'static>,
    ) -> Result<(Place, Holder), Error> {
        let limit = self.context.config.socket_timeout;
        let (place, idle) = wait_for_place(shared, &self.handle, Instant::now(), limit).await?;
        if let Some(lane) = idle {
            // An idle connection speaks already; its place serves a new one.
            lane.check_in();
            lane.dismiss();
        }
        Ok((place, Holder { bench: shared.bench.clone(), id: shared.bench.hold(at) }))
    }

    /// Serves until the connection is lost; true if it is not to be replaced.
    async fn serve(&mut self, guard: &Guard, connection: Connection) -> bool {
        let Connection { io, held, greeting, renewal } = connection;
        let hub = &*guard.hub;
        let node = greeting.node.clone();
        if !hub.install(held, node.clone()) {
            return true;
        }
        if node.is_some_and(|node| self.context.is_stale(&node)) {
            hub.leave_connection(Farewell::Abort);
        }
        let protocol = if greeting.resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let opened = Instant::now();
        let mut driver = Driver::new(hub, &self.context, guard.home.clone(), io, protocol, renewal);
        let end = std::future::poll_fn(|cx| driver.poll(cx)).await;
        let replied = driver.close();
        // A connection that leads to a server that is no master any more is taken from its task.
        let moves = !hub.is_connected();
        // One that replies and is cut at once must not make us dial without a pause.
        if replied && opened.elapsed() >= STEADY {
            self.backoff.reset();
            self.failing = None;
        }
        // Its end was ours: the server hangs up in answer to it, and may be heard of first.
        if hub.has_ended() {
            return true;
        }
        let (why, farewell, silent) = match end {
            End::Outside | End::Deserted => return true,
            _ if moves => ("another server is the master now".to_owned(), Farewell::Abort, false),
            End::PeerClosed => ("Redis closed the push connection".to_owned(), Farewell::PeerGone, false),
            End::Io(error) => {
                (format!("the push connection to Redis was lost: {error}"), Farewell::PeerGone, false)
            }
            End::Protocol(error) => (error.to_string(), Farewell::Abort, false),
            End::Refused(error) => {
                (format!("a subscription was not taken back: {}", error.message()), Farewell::Abort, false)
            }
            End::Silent => {
                let limit = self.context.config.socket_timeout;
                let why = format!(
                    "Redis owed a reply and sent nothing for {limit:?} (REDIS_SOCKET_TIMEOUT), on the push connection"
                );
                (why, Farewell::Abort, true)
            }
            End::Deaf => {
                let why = "Redis took a message for the push connection and never delivered it".to_owned();
                (why, Farewell::Abort, false)
            }
        };
        hub.leave_connection(farewell);
        let error = Error::not_sent(Kind::Cut, why);
        let subscriptions = hub.subscriptions();
        if subscriptions > 0
            && let Some(left_out) = self.context.chronicle.admit(Instant::now())
        {
            tracing::warn!(
                target: "cenote",
                address = %self.context.target,
                cause = error.message(),
                subscriptions,
                lines_left_out = left_out,
                "the push connection is lost: its subscribers will be told of a gap"
            );
        }
        if moves {
            return false;
        }
        // While lanes are answered the fault is this connection's, and no outage.
        let badly = (silent || !replied) && !self.context.is_answered().await;
        let lease = self.context.lane_lost(&error, badly);
        if !replied {
            hub.fail_waiting(&error);
        }
        self.spawn_probe(lease, guard);
        false
    }

    fn spawn_probe(&self, lease: Option<Lease>, guard: &Guard) {
        if let Some(lease) = lease {
            self.handle.spawn(probe(lease, self.context.clone(), guard.home.clone()));
        }
    }

    /// The first attempt after a connection that worked is made at once, the next ones ever more rarely.
    async fn pause(&mut self, hub: &Hub) {
        let now = Instant::now();
        if let Some(since) = self.failing {
            let pause = self.backoff.next(now.saturating_duration_since(since));
            let until = now + pause;
            while Instant::now() < until && !hub.has_ended() {
                timer::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
            }
        }
        self.failing.get_or_insert(now);
    }
}

/// The push connection's entry among the holders of exclusive connections.
struct Holder {
    bench: Bench,
    id: u64,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.bench.unhold(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{self, Poll};

    use tokio::io::{AsyncRead, ReadBuf, join, sink};

    use super::*;
    use crate::budget::Held;
    use crate::config::PoolConfig;
    use crate::dial::Greeting;

    /// A server that hangs up.
    struct HangsUp<F>(F);

    impl<F: FnMut() -> io::Result<()> + Unpin> AsyncRead for HangsUp<F> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready((self.0)())
        }
    }

    /// Serves a connection that ends with `how` just after `before`: whether it is replaced, and what loss is told.
    async fn serve(before: fn(&Hub), how: fn() -> io::Result<()>) -> (bool, Option<String>) {
        let context = Arc::new(Context::nowhere(PoolConfig::default()));
        let handle = Handle::current();
        let hub = Hub::new(handle.id());
        let guard = Guard { hub: hub.clone(), home: Weak::new(), panic: OnceLock::new() };
        let held = Held::new(context.budget.clone(), context.budget.try_acquire().expect("a fresh budget"));
        let hang_up = move || {
            before(&hub);
            how()
        };
        let io = Box::new(join(HangsUp(hang_up), sink()));
        let connection = Connection { io, held, greeting: Greeting::default(), renewal: None };
        let mut work = Work { handle, backoff: context.backoff(), failing: None, context: context.clone() };
        let over = work.serve(&guard, connection).await;
        (!over, context.seen.last_error.lock().clone())
    }

    fn reset() -> io::Result<()> {
        Err(io::ErrorKind::ConnectionReset.into())
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_because_the_pool_closes_is_no_loss() {
        let close = |hub: &Hub| hub.end(&Error::closed(), Farewell::Finish);
        assert_eq!(serve(close, || Ok(())).await, (false, None));
        assert_eq!(serve(close, reset).await, (false, None));
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_because_nobody_subscribed_any_more_is_no_loss() {
        let desert = |hub: &Hub| {
            hub.state().lock().deserted = Some(Instant::now());
            assert!(hub.leave_if_deserted());
        };
        assert_eq!(serve(desert, || Ok(())).await, (false, None));
        assert_eq!(serve(desert, reset).await, (false, None));
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_on_its_own_is_one() {
        let (replaced, noted) = serve(|_| {}, || Ok(())).await;
        assert!(replaced && noted.unwrap().contains("Redis closed the push connection"));
        let (replaced, noted) = serve(|_| {}, reset).await;
        assert!(replaced && noted.unwrap().contains("the push connection to Redis was lost"));
    }
}
