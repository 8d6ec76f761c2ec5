//! What the pool keeps of what a credentials provider says, and what it logs of its failures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cenote_pool_core::{Credentials, CredentialsError, CredentialsProvider, Pool, async_trait};
use cenote_testkit::{Log, Server, eventually_async, within};
use parking_lot::Mutex;
use tokio::sync::oneshot;

const SOON: Duration = Duration::from_secs(30);

fn pool_of(server: &Server, provider: impl CredentialsProvider) -> Pool {
    let url = format!("redis://{}", server.addr());
    let builder = Pool::builder().url(url).shared_connections(1).credentials(provider);
    builder.connect_timeout(SOON * 4).socket_timeout(SOON * 4).build().unwrap()
}

/// Gives each who asks what was meant for it, once a test says so.
#[derive(Clone, Default)]
struct Gated {
    answers: Arc<Mutex<VecDeque<oneshot::Receiver<Credentials>>>>,
    asked: Arc<AtomicUsize>,
}

impl Gated {
    fn next(&self) -> oneshot::Sender<Credentials> {
        let (answer, gate) = oneshot::channel();
        self.answers.lock().push_back(gate);
        answer
    }
}

#[async_trait]
impl CredentialsProvider for Gated {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let gate = self.answers.lock().pop_front().expect("nobody asks more often");
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(gate.await?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_asked_for_before_another_and_comes_after_it_is_not_kept() {
    let server = Server::start();
    let provider = Gated::default();
    let user = ["ACL", "SETUSER", "app", "on", ">older", ">newer", "~*", "+@all"];
    server.observer().get::<()>(&user);
    let pool = pool_of(&server, provider.clone());
    let asked_twice = [provider.next(), provider.next()];
    let (mut one, two) = (pool.conn(), pool.clone());
    let first = tokio::spawn(async move { redis::cmd("PING").exec_async(&mut one).await });
    let asked = |count| {
        let provider = provider.clone();
        move || {
            let there = provider.asked.load(Ordering::Relaxed) == count;
            async move { there }
        }
    };
    eventually_async(SOON, "the first asks", asked(1)).await;
    let second = tokio::spawn(async move { two.dedicated().await.map(drop) });
    eventually_async(SOON, "the second asks", asked(2)).await;
    let [older, newer] = asked_twice;
    newer.send(Credentials::user("app", "newer")).unwrap();
    within(SOON, second).await.unwrap().unwrap();
    older.send(Credentials::user("app", "older")).unwrap();
    within(SOON, first).await.unwrap().unwrap();
    let info = pool.connection_info().unwrap();
    assert_eq!(info.redis_settings().password(), Some("newer"));
}

/// Gives credentials while it works.
#[derive(Clone)]
struct Vault(Arc<AtomicBool>);

#[async_trait]
impl CredentialsProvider for Vault {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let works = self.0.load(Ordering::Relaxed);
        works.then(|| Credentials::password("right")).ok_or_else(|| "the safe is shut".into())
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_logged_once_until_what_it_gives_works_again() {
    let log = Log::capture();
    let server = Server::builder().password("right").start();
    let vault = Vault(Arc::new(AtomicBool::new(true)));
    let pool = pool_of(&server, vault.clone());
    let mut held = Vec::new();
    for (works, lines) in [(true, 0), (false, 1), (false, 1), (true, 1), (false, 2), (false, 2)] {
        vault.0.store(works, Ordering::Relaxed);
        // A new connection each time.
        held.push(within(SOON, pool.dedicated()).await.unwrap());
        let logged = log.text();
        assert_eq!(logged.matches("the safe is shut").count(), lines, "{works}: {logged}");
    }
}
