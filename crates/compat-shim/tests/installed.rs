//! Which pool serves a client, and that the log tells of one that the installed pool does not serve.
#![cfg(all(feature = "deadpool", feature = "connection-manager"))]
#![allow(deprecated, reason = "what is deprecated is what is tested")]
#![allow(clippy::disallowed_methods, reason = "a program for redis-rs opens its client itself")]

use std::time::Duration;

use cenote_compat_shim::connection_manager::Client;
use cenote_compat_shim::connection_manager::aio::ConnectionManager;
use cenote_compat_shim::{deadpool, install, pools};
use cenote_pool_core::Pool;
use cenote_testkit::{Log, Server, within};

const SOON: Duration = Duration::from_secs(10);

/// Asks for a connection, and so for the pool that makes it; whether the server lets it in is no matter.
async fn old(url: &str) {
    let pool = deadpool::Config::from_url(url).create_pool(Some(deadpool::Runtime::Tokio1)).unwrap();
    let _ = within(SOON, pool.get()).await;
}

/// One test, as what is installed is so for all of the process.
#[tokio::test]
async fn a_client_that_is_not_served_by_the_installed_pool_is_told_of_in_the_log_whenever_it_was_made() {
    let (server, other, third) = (Server::start(), Server::start(), Server::start());
    let secret = |server: &Server| server.url().replace("redis://", "redis://:hunter2@");
    let log = Log::capture();
    let warned = |what: &str| log.text().lines().filter(|line| line.contains(what)).count();
    let (late, strange) = ("was installed after a legacy client", "is for another server, user or database");

    old(&secret(&server)).await;
    old(&other.url()).await;
    assert_eq!((pools().len(), warned(late), warned(strange)), (2, 0, 0));
    let shared = Pool::builder().url(server.url()).build().unwrap();
    install(shared.clone()).unwrap();
    assert_eq!((pools().len(), warned(late), warned(strange)), (2, 1, 0), "{}", log.text());
    install(shared.clone()).unwrap_err();
    assert_eq!(warned(late), 1);

    old(&server.url()).await;
    assert_eq!((pools().len(), warned(strange)), (2, 0), "it is served");
    old(&other.url()).await;
    assert_eq!((pools().len(), warned(strange)), (2, 0), "it has a pool from before");
    old(&secret(&third)).await;
    assert_eq!((pools().len(), warned(strange)), (3, 1));
    let database = Client::open(format!("{}/3", server.url().trim_end_matches("/0"))).unwrap();
    let _manager = within(SOON, ConnectionManager::new(database)).await.unwrap();
    assert_eq!((pools().len(), warned(strange)), (4, 2), "its users share connections");
    assert!(log.text().contains(&server.addr().to_string()) && !log.text().contains("hunter2"));
    for pool in pools() {
        within(SOON, pool.close()).await;
    }
    within(SOON, shared.close()).await;
}
