//! The one handle, and its life.

mod builder;
mod chronicle;
mod close;
mod companions;
mod connect;
mod context;
mod flush;
mod seen;
mod shared;
mod state;
mod status;
mod witness;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use redis::{FromRedisValue, Pipeline, RedisResult, ToRedisArgs};
use tokio::sync::watch;

use crate::config::{PoolConfig, Target};
use crate::conn::Conn;
use crate::credentials::CredentialsProvider;
use crate::dedicated::{self, Bench, Dedicated, DedicatedIo, RawPlace};
use crate::degrade::{DegradableConn, Epoch, Journal, JournalStatus, no_fallback};
use crate::dial::Network;
use crate::error::Error;
use crate::fallback::Fallback;
use crate::push::{Hubs, Local, Subscriber};

pub use builder::PoolBuilder;
pub use close::CloseReport;
use close::Closing;
use companions::Companions;
pub(crate) use context::{Context, Proof};
pub use flush::Flush;
use flush::Flushes;
pub(crate) use shared::{Shared, current_runtime};
pub use state::State;
pub use status::{Health, Status};

/// One shared Redis pool: built without I/O, connected on first use, working from any runtime, closed once.
///
/// Clones are cheap and all mean the same pool. It may live in a `static LazyLock`. When the last clone goes
/// (connections made of it count as clones) its sockets are cut; [`close`](Self::close) is the orderly way.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Starts a configuration with the defaults of [`PoolConfig`].
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// A pool with no Redis: `fallback` answers every command it serves, and what it does not serve is an error
    /// that says so. Nothing is ever dialled.
    pub fn embedded(fallback: impl Fallback) -> Self {
        let config = PoolConfig { enabled: false, ..PoolConfig::default() };
        let network = Network::plain(&config);
        Self::assemble(config, Target::nowhere(), network, Some(Arc::new(fallback)), None)
    }

    pub(crate) fn assemble(
        config: PoolConfig,
        target: Target,
        network: Network,
        fallback: Option<Arc<dyn Fallback>>,
        provider: Option<Arc<dyn CredentialsProvider>>,
    ) -> Self {
        let embedded = !config.enabled;
        let context = Context::new(config, target, network, provider);
        if embedded {
            context.state.send_replace(State::Embedded);
            tracing::info!(target: "cenote", "pool configured without Redis: the fallback answers everything");
        } else {
            tracing::info!(
                target: "cenote",
                address = %context.target,
                required = context.config.required,
                max_connections = context.config.max_connections,
                "Redis pool configured"
            );
        }
        let meters = context.meters.clone();
        let journal = Journal::new(context.config.journal_keys, context.config.journal_bytes, meters);
        let most_exclusive = context.config.max_connections - 1;
        let pool = Self {
            shared: Arc::new(Shared {
                context: Arc::new(context),
                sets: crate::lane::Sets::default(),
                bench: Bench::new(most_exclusive),
                hubs: Hubs::default(),
                local: Local::default(),
                journal,
                fallback,
                embedded,
                next_conn: AtomicUsize::new(0),
                closing: Closing::new(),
                companions: Companions::default(),
                flushes: Flushes::new(),
            }),
        };
        if let Some(sentinel) = &pool.shared.context.sentinel {
            sentinel.watch.belongs_to(Arc::downgrade(&pool.shared));
        }
        pool
    }

    /// Connects now instead of at the first call. Any number of callers may start a pool; it dials once.
    ///
    /// It returns within the connect timeout (and 0.2 s for what comes around it). When Redis is away and not required it returns the state
    /// [`Degraded`](State::Degraded), and the pool keeps trying by itself.
    ///
    /// # Errors
    ///
    /// Redis is `required` and cannot be used; or the pool is closed; or there is no tokio runtime.
    ///
    /// **Cancel safety.** Dropping it leaves the attempt under way.
    pub async fn start(&self) -> Result<State, Error> {
        let context = &self.shared.context;
        if self.shared.embedded {
            context.breaker.admit()?;
            return Ok(self.state());
        }
        // The dial has this limit for itself; the call is given a little more, so that the dial's own error,
        // which knows the cause, comes first.
        let limit = context.config.connect_timeout + std::time::Duration::from_millis(200);
        let ping = redis::cmd("PING");
        let answered = ping.exec_async(&mut self.conn().with_timeout(limit)).await;
        let Err(error) = answered else { return Ok(self.state()) };
        // Whatever the server answered (this user may not be allowed to ask), it answers.
        let Some(error) = Error::from_redis(&error).cloned() else { return Ok(self.state()) };
        if error.is_closed() || error.is_config() {
            return Err(error);
        }
        if context.config.required {
            let message = format!("{}, but REDIS_REQUIRED is true", error.message());
            return Err(error.retold(error.kind(), message));
        }
        Ok(self.state())
    }

    /// A handle for commands over the shared connections. Makes no connection yet.
    pub fn conn(&self) -> Conn {
        Conn::new(self.shared.clone())
    }

    /// A handle for commands that the fallback may answer while Redis is away: see [`DegradableConn`].
    ///
    /// # Errors
    ///
    /// A configuration error that says what to add when the pool was built without a fallback.
    pub fn degradable(&self) -> Result<DegradableConn, Error> {
        if self.shared.fallback.is_none() {
            return Err(no_fallback());
        }
        Ok(DegradableConn::new(self.shared.clone()))
    }

    /// Follows the ends of outages in which a degradable connection wrote.
    pub fn epochs(&self) -> watch::Receiver<Epoch> {
        self.shared.journal.epochs()
    }

    /// A subscriber to channels, patterns and changes of keys: see [`Subscriber`]. Makes no connection yet.
    #[track_caller]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.shared.clone(), Location::caller())
    }

    /// An exclusive connection, for blocking commands and whatever changes a connection. First come, first
    /// served, within the socket timeout.
    ///
    /// # Errors
    ///
    /// Redis is away; or none became free in time, in which case the error says how long it waited and who
    /// holds what; or the pool is closed or embedded.
    ///
    /// **Cancel safety.** Dropping it leaves the queue; a connection that was on its way goes to the next.
    #[track_caller]
    pub fn dedicated(&self) -> impl Future<Output = Result<Dedicated, Error>> + Send + use<> {
        dedicated::check_out(self.shared.clone(), Location::caller())
    }

    /// Watches `keys`, lets `decide` read and fill an atomic pipeline, and executes it; all of it again if a
    /// watched key was changed meanwhile, until the socket timeout has passed.
    ///
    /// `decide` may run several times. It must not execute the pipeline itself. Where the future must be `Send`
    /// (in a spawned task, in a handler), make the closure `async move` and let it own what it uses: the compiler
    /// cannot prove it for one that borrows.
    ///
    /// The limit is looked at between rounds; each command in a round has the socket timeout for itself.
    ///
    /// **Cancel safety.** Dropped before `EXEC` was sent, nothing was executed; dropped later, it may have been.
    /// The connection is not handed on with keys still watched.
    ///
    /// # Errors
    ///
    /// Whatever `decide` or Redis says; or a timeout ([`Error::is_timeout`]) when other writers kept winning,
    /// in which case nothing was executed.
    ///
    /// ```no_run
    /// # async fn example(pool: cenote_pool_core::Pool) -> redis::RedisResult<()> {
    /// use redis::AsyncCommands;
    ///
    /// let (balance,): (i64,) = pool
    ///     .transaction(&["balance"], async |conn, pipe| {
    ///         let balance: i64 = conn.get("balance").await?;
    ///         pipe.set("balance", balance - 10).ignore().get("balance");
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn transaction<K, T, F>(
        &self,
        keys: &[K],
        decide: F,
    ) -> impl Future<Output = RedisResult<T>> + use<K, T, F>
    where
        K: ToRedisArgs,
        T: FromRedisValue,
        F: AsyncFnMut(&mut Dedicated, &mut Pipeline) -> RedisResult<()>,
    {
        // Made now, so that the future does not borrow the keys.
        let watch = (!keys.is_empty()).then(|| redis::cmd("WATCH").arg(keys).clone());
        dedicated::transaction(self.shared.clone(), Location::caller(), watch, decide)
    }

    /// A dialled stream within the budget, which nobody has greeted.
    #[doc(hidden)]
    #[track_caller]
    pub fn dedicated_io(&self) -> impl Future<Output = Result<DedicatedIo, Error>> + Send + use<> {
        dedicated::open_raw(self.shared.clone(), Location::caller())
    }

    /// A place for a stream that yields it when others need it more, for the crate `cenote-compat-shim`. Waits at most
    /// `limit`; `at` is who holds it in the words of whoever waits in vain.
    ///
    /// Dropping it leaves the queue.
    #[doc(hidden)]
    pub fn reserve_io(
        &self,
        at: &'static Location<'static>,
        limit: std::time::Duration,
    ) -> impl Future<Output = Result<RawPlace, Error>> + Send + use<> {
        dedicated::reserve_raw(self.shared.clone(), at, limit)
    }

    /// Where this pool dials and as whom at this moment, the password included; for the crate `cenote-compat-shim`. `None` if it
    /// never dials.
    #[doc(hidden)]
    pub fn connection_info(&self) -> Option<redis::ConnectionInfo> {
        let context = &self.shared.context;
        if self.shared.embedded {
            return None;
        }
        context.target.logged_in_as(context.keyring.latest().as_ref()).full_info()
    }

    /// The state at this moment.
    pub fn state(&self) -> State {
        self.shared.context.state.borrow().clone()
    }

    /// Follows the state: a receiver that sees every latest one, in any runtime.
    pub fn state_changes(&self) -> watch::Receiver<State> {
        self.shared.context.state.subscribe()
    }

    /// The pool's health, ready to be serialised.
    pub fn status(&self) -> Status {
        status::status(&self.shared)
    }

    /// What the outage journal holds at this moment: the part of [`status`](Self::status) with that name, for who
    /// asks often.
    pub fn journal_status(&self) -> JournalStatus {
        self.shared.journal.status()
    }

    /// The run id of the server that greeted last, `None` while it is unknown; for the crate `cenote-cache`.
    ///
    /// It is up to date before any command is sent on the connection that brought the greeting.
    #[doc(hidden)]
    pub fn server_id(&self) -> Option<Arc<str>> {
        self.shared.context.identity().and_then(|identity| identity.run_id)
    }

    /// Whether the server that greeted last said that it is one by itself, no part of a cluster; `false` while it is
    /// unknown. For the crate `cenote-ratelimit`.
    #[doc(hidden)]
    pub fn server_is_single(&self) -> bool {
        self.shared.context.is_single()
    }

    /// Grows whenever a greeting brings another identity (run id or replication id) than the one before, the first
    /// one included; for the crate `cenote-cache`.
    ///
    /// One atomic load. It is up to date, and so is [`server_id`](Self::server_id) for whoever has read it, before
    /// any command is sent on the connection that brought the greeting. Servers that do not tell who they are (a user
    /// that may not ask `INFO`) look all alike.
    #[doc(hidden)]
    pub fn server_changes(&self) -> u64 {
        self.shared.context.server_changes()
    }

    /// One `T` per type and name for all clones of this pool, for as long as somebody holds it; for the crate
    /// `cenote-cache`.
    ///
    /// `make` runs if there is none, under a lock: it must be quick, and must not ask this pool for a companion. The
    /// pool does not keep the companion alive; one that was let go may still be in its `Drop` while the next is made.
    #[doc(hidden)]
    pub fn companion<T: Any + Send + Sync>(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        self.shared.companions.get(name, make)
    }

    /// Has this flushed when the pool is closed, before its connections end; for the crate `cenote-pubsub-progress`.
    ///
    /// The pool does not keep it alive. What a runtime that has ended would have flushed is not.
    #[doc(hidden)]
    pub fn flush_before_close(&self, flush: std::sync::Weak<dyn Flush>) {
        self.shared.flushes.add(flush);
    }

    /// Ends the pool for all its clones: new calls fail at once, what is in flight has `close_timeout` to
    /// finish, the rest is cut. Every caller gets the same report, however often it is called.
    ///
    /// **Cancel safety.** Dropping it does not stop the end.
    pub async fn close(&self) -> CloseReport {
        close::close(self.shared.clone()).await
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("address", &self.shared.context.target)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
