//! A password appears nowhere: this test captures everything that is logged and prints everything there is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cenote_pool_core::{
    Credentials, CredentialsError, CredentialsProvider, Pool, PoolConfig, RotatingCredentials, State,
    async_trait,
};
use cenote_testkit::{Log, Server, dead_port, within};
use redis::AsyncCommands;

const SECRET: &str = "hunter2-swordfish";

/// Tells what it gave before when it has nothing to give.
#[derive(Default)]
struct Blabs(AtomicBool);

#[async_trait]
impl CredentialsProvider for Blabs {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        if self.0.swap(true, Ordering::Relaxed) {
            return Err(format!("no longer {SECRET}").into());
        }
        Ok(Credentials::password(SECRET))
    }
}

struct Boxed(Box<dyn CredentialsProvider>);

#[async_trait]
impl CredentialsProvider for Boxed {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        self.0.credentials().await
    }
}

#[tokio::test]
async fn a_password_appears_in_no_debug_log_error_or_health_report() {
    let log = Log::capture();
    let mut printed = Vec::new();

    for url in [
        format!("redis://:{SECRET}@host:70000"),
        format!("redis://user:{SECRET}@host:0"),
        format!("{SECRET}@host"),
        format!("redis://:{SECRET}/with/slashes@host:6379"),
        format!("rediss://:{SECRET}@host:0"),
        format!("redis://:{SECRET}@host/not-a-number"),
        format!("redis://:{SECRET}@host/0?password={SECRET}"),
        format!("gopher://{SECRET}"),
    ] {
        let builder = Pool::builder().url(url.clone());
        let config = PoolConfig::from_vars(|name| (name == "REDIS_URL").then(|| url.clone().into()));
        printed.push(format!("{builder:?} {config:?} {}", config.as_ref().unwrap_err()));
        let error = builder.build().unwrap_err();
        printed.push(format!("{error} {error:?} {error:#?}"));
    }

    let right = Server::builder().password(SECRET).start();
    let wrong = Server::builder().password("another").start();
    let addresses = [right.addr(), wrong.addr(), dead_port()];
    for (address, user) in addresses.iter().flat_map(|address| [(address, ""), (address, "default")]) {
        let pool = Pool::builder()
            .url(format!("redis://{user}:{SECRET}@{address}/0"))
            .connect_timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        let started = within(Duration::from_secs(5), pool.start()).await;
        let mut conn = pool.conn();
        let answer = conn.get::<_, Option<String>>("k").await;
        let dedicated = pool.dedicated().await;
        let raw = pool.dedicated_io().await;
        printed.push(format!("{started:?} {answer:?} {dedicated:?} {raw:?} {pool:?} {conn:?}"));
        printed.push(format!("{:?} {:#?}", pool.state(), pool.status()));
        printed.push(serde_json::to_string(&pool.status()).unwrap());
        drop((dedicated, raw));
        if *address == right.addr() {
            assert_eq!(pool.state(), State::Ready, "the password was used");
        }
        printed.push(format!("{:?}", pool.close().await));
    }

    for address in addresses {
        let credentials = RotatingCredentials::new(Credentials::user("default", SECRET));
        printed.push(format!("{credentials:?} {:?}", Credentials::user("default", SECRET)));
        for provider in [Box::new(Blabs::default()) as Box<dyn CredentialsProvider>, Box::new(credentials)] {
            let builder = Pool::builder()
                .url(format!("redis://{address}"))
                .connect_timeout(Duration::from_millis(500))
                .credentials(Boxed(provider));
            printed.push(format!("{builder:?}"));
            let pool = builder.build().unwrap();
            let started = within(Duration::from_secs(5), pool.start()).await;
            let (one, two) = (pool.dedicated().await, pool.dedicated().await);
            let raw = pool.dedicated_io().await;
            printed.push(format!("{started:?} {one:?} {two:?} {raw:?} {pool:?} {:?}", pool.status()));
        }
    }

    let logged = log.text();
    assert!(logged.contains("the credentials provider fails"), "it captures:\n{logged}");
    assert!(logged.contains("Redis pool configured") && logged.contains("is away"), "it captures:\n{logged}");
    for text in printed.iter().chain([&logged]) {
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_start_up_reads_as_a_story_in_the_log() {
    let log = Log::capture();
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    pool.start().await.unwrap();
    pool.close().await;
    let logged = log.text();
    let mut rest = logged.as_str();
    for chapter in [
        "Redis pool configured",
        "connecting to Redis",
        "Redis is ready",
        "closing the Redis pool",
        "the Redis pool is closed",
    ] {
        let line = rest
            .lines()
            .position(|line| line.contains(chapter) && line.contains(&format!("{}", server.port())));
        let line = line.unwrap_or_else(|| panic!("{chapter:?} is missing, or comes too early:\n{logged}"));
        rest = &rest[rest.lines().take(line).map(|line| line.len() + 1).sum::<usize>()..];
    }
}
