//! Credentials that change while the pool is in use: every open connection logs in anew where it is.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{
    Credentials, CredentialsError, CredentialsProvider, Event, Pool, PoolBuilder, RotatingCredentials,
    Source, State, async_trait,
};
use cenote_testkit::{Log, Observer, Server, eventually, eventually_async, within};
use redis::AsyncCommands;
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(30);

fn add_user(server: &Observer, name: &str, password: &str) {
    server.get::<()>(&["ACL", "SETUSER", name, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
}

/// Whether all our connections are logged in as `name`.
fn all_are(server: &Observer, name: &str) -> bool {
    let clients = server.clients();
    !clients.is_empty() && clients.iter().all(|client| client["user"] == name)
}

fn builder(server: &Server, provider: impl CredentialsProvider) -> PoolBuilder {
    Pool::builder().url(format!("redis://{}", server.addr())).shared_connections(2).credentials(provider)
}

async fn id(conn: &mut impl redis::aio::ConnectionLike) -> u64 {
    redis::cmd("CLIENT").arg("ID").query_async(conn).await.unwrap()
}

/// A worker's word that it goes on.
#[derive(Clone, Default)]
struct Shift {
    over: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
}

impl Shift {
    fn goes_on(&self) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed);
        !self.over.load(Ordering::Relaxed)
    }

    /// The same clock with a count of its own.
    fn another(&self) -> Self {
        Self { over: self.over.clone(), turns: Arc::default() }
    }
}

async fn strict(pool: Pool, shift: Shift, key: usize) {
    let mut conn = pool.conn();
    let mut count = 0;
    while shift.goes_on() {
        count += 1;
        let (n, echo): (i64, i64) =
            redis::pipe().atomic().incr(key, 1).cmd("ECHO").arg(count).query_async(&mut conn).await.unwrap();
        assert_eq!((n, echo), (count, count));
    }
}

async fn degradable(pool: Pool, shift: Shift, key: String) {
    let mut conn = pool.degradable().unwrap();
    let mut count = 0;
    while shift.goes_on() {
        count += 1;
        let answer = conn.query(redis::cmd("SET").arg(&key).arg(count)).await.unwrap();
        assert_eq!((answer.source, answer.pending), (Source::Redis, false));
    }
}

/// Never idle for long, and always the same one.
async fn holding(pool: Pool, shift: Shift) {
    let mut conn = pool.dedicated().await.unwrap();
    let mine = id(&mut conn).await;
    while shift.goes_on() {
        assert_eq!(id(&mut conn).await, mine);
    }
}

async fn blocking(pool: Pool, shift: Shift) {
    let mut conn = pool.dedicated().await.unwrap();
    while shift.goes_on() {
        let none: Option<(String, String)> = conn.blpop("nothing", 0.02).await.unwrap();
        assert_eq!(none, None);
    }
}

async fn transacting(pool: Pool, shift: Shift) {
    let mut count = 0;
    while shift.goes_on() {
        count += 1;
        let done = pool.transaction(&["sum"], async |conn, pipe| {
            let sum: Option<i64> = conn.get("sum").await?;
            pipe.set("sum", sum.unwrap_or_default() + 1).ignore().get("sum");
            Ok(())
        });
        let (sum,): (i64,) = done.await.unwrap();
        assert_eq!(sum, count);
    }
}

async fn listening(pool: Pool, shift: Shift) {
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("n").await.unwrap();
    let mut last = None;
    while shift.goes_on() {
        let Some(Event::Message(message)) = subscriber.next().await else { panic!("no message") };
        let n: u64 = String::from_utf8_lossy(message.payload()).parse().unwrap();
        assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
        last = Some(n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_rotated_under_load_fails_no_command_on_any_kind_of_connection() {
    let server = Server::start();
    let observer = server.observer();
    add_user(&observer, "app0", "secret0");
    let credentials = RotatingCredentials::new(Credentials::user("app0", "secret0"));
    let pool = builder(&server, credentials.clone()).fallback(FallbackLru::default()).build().unwrap();

    let shift = Shift::default();
    let mut shifts = Vec::new();
    let mut tasks = JoinSet::new();
    let mut begin = || {
        shifts.push(shift.another());
        shifts[shifts.len() - 1].clone()
    };
    for key in 0..4 {
        tasks.spawn(strict(pool.clone(), begin(), key));
        tasks.spawn(degradable(pool.clone(), begin(), format!("d{key}")));
    }
    tasks.spawn(holding(pool.clone(), begin()));
    tasks.spawn(blocking(pool.clone(), begin()));
    tasks.spawn(transacting(pool.clone(), begin()));
    tasks.spawn(listening(pool.clone(), begin()));
    let (publisher, over) = (server.observer(), Arc::new(AtomicBool::new(false)));
    let ended = over.clone();
    let publishing = std::thread::spawn(move || {
        let mut n = 0u64;
        while !ended.load(Ordering::Relaxed) {
            publisher.get::<i64>(&["PUBLISH", "n", &n.to_string()]);
            n += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let idle = pool.dedicated().await.unwrap();
    drop(idle);
    let at_work = async |tasks: &mut JoinSet<()>| {
        let before: Vec<_> = shifts.iter().map(|shift| shift.turns.load(Ordering::Relaxed)).collect();
        let done = |(shift, before): (&Shift, &usize)| shift.turns.load(Ordering::Relaxed) >= before + 3;
        let all_go_on = async {
            while !shifts.iter().zip(&before).all(done) {
                if let Some(Err(failed)) = tasks.try_join_next() {
                    panic!("{failed}");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(SOON, all_go_on).await;
    };
    at_work(&mut tasks).await;
    let connections: BTreeSet<_> = observer.client_ids().into_iter().collect();
    assert!(connections.len() >= 6, "lanes, exclusive ones and the push connection: {connections:?}");

    for round in 1..=6 {
        // Another user each time, so that the server tells who each connection is, and ends those of the old one.
        let (name, old) = (format!("app{round}"), format!("app{}", round - 1));
        add_user(&observer, &name, &format!("secret{round}"));
        credentials.set(Credentials::user(&name, format!("secret{round}")));
        eventually(SOON, "every connection has logged in anew", || all_are(&observer, &name));
        observer.get::<i64>(&["ACL", "DELUSER", &old]);
        at_work(&mut tasks).await;
    }
    for round in 1..=6 {
        // The same user, with another password.
        let (new, old) = (format!("another{round}"), format!("another{}", round - 1));
        let logins = observer.calls("auth");
        observer.get::<()>(&["ACL", "SETUSER", "app6", &format!(">{new}")]);
        credentials.set(Credentials::user("app6", &new));
        let all = observer.client_count() as u64;
        eventually(SOON, "every connection has logged in anew", || observer.calls("auth") >= logins + all);
        let old = if round == 1 { "secret6" } else { &old };
        observer.get::<()>(&["ACL", "SETUSER", "app6", &format!("<{old}")]);
        at_work(&mut tasks).await;
    }
    let now: BTreeSet<_> = observer.client_ids().into_iter().collect();
    assert!(now.is_superset(&connections), "{connections:?} are the connections still: {now:?}");
    assert_eq!((pool.status().reconnects, pool.status().last_error), (0, None));

    shift.over.store(true, Ordering::Relaxed);
    while let Some(done) = within(SOON, tasks.join_next()).await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    publishing.join().unwrap();
    println!("{} calls", shifts.iter().map(|shift| shift.turns.load(Ordering::Relaxed)).sum::<usize>());
}

#[tokio::test]
async fn a_holder_in_the_middle_of_multi_is_not_disturbed_and_the_next_one_is_logged_in_anew() {
    let server = Server::start();
    let observer = server.observer();
    add_user(&observer, "old", "secret1");
    add_user(&observer, "new", "secret2");
    let credentials = RotatingCredentials::new(Credentials::user("old", "secret1"));
    let pool = builder(&server, credentials.clone()).build().unwrap();
    pool.conn().ping::<()>().await.unwrap();
    let mut conn = pool.dedicated().await.unwrap();
    let mine = id(&mut conn).await;
    redis::cmd("MULTI").exec_async(&mut conn).await.unwrap();
    credentials.set(Credentials::user("new", "secret2"));
    let on_shared = |clients: &[std::collections::BTreeMap<String, String>]| {
        clients.iter().filter(|client| client["user"] == "new").count()
    };
    eventually_async(SOON, "the shared connection has logged in anew", || async {
        on_shared(&observer.clients()) == 1
    })
    .await;
    for key in ["a", "b"] {
        let queued: String = redis::cmd("SET").arg(key).arg(1).query_async(&mut conn).await.unwrap();
        assert_eq!(queued, "QUEUED");
    }
    let done: Vec<String> = redis::cmd("EXEC").query_async(&mut conn).await.unwrap();
    assert_eq!(done, ["OK", "OK"], "nothing of ours was in between");
    drop(conn);
    let mut conn = pool.dedicated().await.unwrap();
    let name: String = redis::cmd("ACL").arg("WHOAMI").query_async(&mut conn).await.unwrap();
    assert_eq!((name.as_str(), id(&mut conn).await), ("new", mine));
}

#[tokio::test]
async fn a_connection_that_may_not_log_in_anew_stays_as_it_is_and_tries_again() {
    let log = Log::capture();
    let server = Server::start();
    let observer = server.observer();
    add_user(&observer, "old", "secret1");
    let credentials = RotatingCredentials::new(Credentials::user("old", "secret1"));
    let pool = builder(&server, credentials.clone()).build().unwrap();
    let (mut one, mut two) = (pool.conn(), pool.conn());
    let mut held = pool.dedicated().await.unwrap();
    let before = (id(&mut one).await, id(&mut two).await, id(&mut held).await);
    // Announced too early: the server does not know of it yet.
    credentials.set(Credentials::user("new", "hunter2"));
    eventually_async(SOON, "each has tried more than once", || async { observer.calls("auth") >= 7 }).await;
    assert!(all_are(&observer, "old"));
    assert_eq!((id(&mut one).await, id(&mut two).await, id(&mut held).await), before);
    add_user(&observer, "new", "hunter2");
    eventually_async(SOON, "each is logged in anew", || async { all_are(&observer, "new") }).await;
    assert_eq!((id(&mut one).await, id(&mut two).await, id(&mut held).await), before);
    let logged = log.text();
    assert_eq!(logged.matches("could not log in anew").count(), 1, "{logged}");
    assert!(!logged.contains("hunter2") && logged.contains("WRONGPASS"), "{logged}");
}

/// Gives one after the other, and the last one for ever; those that are `None` are errors.
struct Script(Vec<Option<Credentials>>, AtomicUsize);

#[async_trait]
impl CredentialsProvider for Script {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let turn = self.1.fetch_add(1, Ordering::Relaxed).min(self.0.len() - 1);
        self.0[turn].clone().ok_or_else(|| "the vault is sealed".into())
    }
}

fn script(lines: impl IntoIterator<Item = Option<&'static str>>) -> Script {
    Script(lines.into_iter().map(|line| line.map(Credentials::password)).collect(), AtomicUsize::new(0))
}

#[tokio::test]
async fn a_dial_that_is_refused_asks_the_provider_again_before_it_counts() {
    let server = Server::builder().password("second").start();
    let pool = builder(&server, script([Some("first"), Some("second")])).build().unwrap();
    let mut states = pool.state_changes();
    let seen = tokio::spawn(async move {
        states.wait_for(|state| matches!(state, State::Degraded { .. } | State::Ready)).await.unwrap().clone()
    });
    pool.conn().ping::<()>().await.unwrap();
    assert_eq!(seen.await.unwrap(), State::Ready);
    assert_eq!(pool.status().last_error, None);

    let pool = builder(&server, script([Some("hunter2")])).build().unwrap();
    let error = pool.conn().ping::<()>().await.unwrap_err().to_string();
    assert!(error.contains("WRONGPASS") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_provider_that_fails_is_named_and_what_it_gave_before_is_used() {
    let server = Server::builder().password("right").start();
    let pool = builder(&server, script([None])).build().unwrap();
    let error = pool.conn().ping::<()>().await.unwrap_err().to_string();
    assert!(error.contains("the credentials provider has none: the vault is sealed"), "{error}");

    let pool = builder(&server, script([Some("right"), None])).build().unwrap();
    pool.conn().ping::<()>().await.unwrap();
    let mut fresh = pool.dedicated().await.unwrap();
    fresh.ping::<()>().await.unwrap();
}

struct Never;

#[async_trait]
impl CredentialsProvider for Never {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        pending().await
    }
}

struct Panics;

#[async_trait]
impl CredentialsProvider for Panics {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        panic!("a bug in the provider")
    }
}

struct PanicsLater;

#[async_trait]
impl CredentialsProvider for PanicsLater {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Ok(Credentials::password("right"))
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<()>> {
        panic!("a bug in the provider")
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_or_panics_holds_nobody_up() {
    let server = Server::builder().password("right").start();
    let limit = Duration::from_millis(200);
    let pool = builder(&server, Never).connect_timeout(limit).build().unwrap();
    let error = within(SOON, pool.conn().ping::<()>()).await.unwrap_err().to_string();
    assert!(error.contains("the credentials provider gave none within 100ms"), "{error}");

    let pool = builder(&server, Panics).build().unwrap();
    let error = within(SOON, pool.conn().ping::<()>()).await.unwrap_err().to_string();
    assert!(error.contains("the credentials provider panicked"), "{error}");

    let pool = builder(&server, PanicsLater).build().unwrap();
    for _ in 0..2 {
        let error = within(SOON, pool.conn().ping::<()>()).await.unwrap_err();
        assert!(error.to_string().contains("the credentials provider panicked"), "{error}");
    }
}

#[test]
fn a_provider_and_a_url_with_a_password_are_one_too_many() {
    let credentials = RotatingCredentials::new(Credentials::password("hunter2"));
    for url in ["redis://:hunter2@cache", "redis://app@cache"] {
        let error = Pool::builder().url(url).credentials(credentials.clone()).build().unwrap_err();
        assert!(error.is_config() && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn in_resp2_lanes_log_in_anew_and_who_listens_goes_on_listening() {
    let log = Log::capture();
    let server = Server::start();
    let observer = server.observer();
    add_user(&observer, "old", "secret1");
    add_user(&observer, "new", "secret2");
    let credentials = RotatingCredentials::new(Credentials::user("old", "secret1"));
    let pool = Pool::builder()
        .url(format!("redis://{}?protocol=resp2", server.addr()))
        .credentials(credentials.clone())
        .build()
        .unwrap();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("n").await.unwrap();
    pool.conn().ping::<()>().await.unwrap();
    credentials.set(Credentials::user("new", "secret2"));
    eventually_async(SOON, "the lane has logged in anew", || async {
        observer.clients().iter().any(|client| client["user"] == "new")
    })
    .await;
    observer.get::<i64>(&["PUBLISH", "n", "1"]);
    let event = within(SOON, subscriber.next()).await;
    assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
    // It does not ask for what is not allowed there.
    assert!(!log.text().contains("could not log in anew"), "{}", log.text());
}
