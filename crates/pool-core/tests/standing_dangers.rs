//! What does no harm until the next connection is made stays visible for as long as it lasts.
#![cfg(feature = "metrics")]

use std::sync::LazyLock;
use std::time::Duration;

use cenote_pool_core::{Credentials, Pool, RotatingCredentials, State};
use cenote_testkit::{Log, Sentinels, Server, eventually_async, metric, within};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);

static RECORDER: LazyLock<PrometheusHandle> =
    LazyLock::new(|| PrometheusBuilder::new().install_recorder().unwrap());

async fn until(name: &str, value: f64) {
    let shown = || metric(&RECORDER.render(), name, &[]).unwrap_or(0.0);
    eventually_async(SOON, &format!("{name} is {value}"), || async { shown() == value }).await;
}

#[tokio::test]
async fn credentials_that_redis_refuses_to_open_connections_are_a_gauge_until_it_takes_them() {
    const GAUGE: &str = "cenote_credentials_refused";
    LazyLock::force(&RECORDER);
    let server = Server::start();
    let add = |name: &str, password: &str| {
        let rights = ["ACL", "SETUSER", name, "on", password, "~*", "&*", "+@all"];
        server.observer().get::<()>(&rights);
    };
    add("app", ">0ld");
    let credentials = RotatingCredentials::new(Credentials::user("app", "0ld"));
    let pool =
        Pool::builder().url(server.url()).credentials(credentials.clone()).shared_connections(2).build();
    let pool = pool.unwrap();
    assert_eq!(within(SOON, pool.start()).await.unwrap(), State::Ready);
    let mut held = pool.dedicated().await.unwrap();
    until(GAUGE, 0.0).await;
    credentials.set(Credentials::user("app", "n3w"));
    until(GAUGE, 1.0).await;
    let () = within(SOON, held.set("k", "v")).await.unwrap();
    let () = within(SOON, pool.conn().set("k", "v")).await.unwrap();
    assert_eq!(pool.state(), State::Ready, "Redis serves");
    add("app", ">n3w");
    until(GAUGE, 0.0).await;

    credentials.set(Credentials::user("app", "another"));
    until(GAUGE, 1.0).await;
    drop(held);
    within(SOON, pool.close()).await;
    drop(pool);
    until(GAUGE, 0.0).await;
}

#[tokio::test]
async fn that_no_sentinel_is_heard_any_more_is_a_gauge_and_one_warning_and_so_is_the_end_of_it() {
    const GAUGE: &str = "cenote_sentinels_heard";
    LazyLock::force(&RECORDER);
    let log = Log::capture();
    let set = Sentinels::start();
    let pool = Pool::builder().url(set.url()).shared_connections(1).build().unwrap();
    let () = within(SOON, pool.conn().set("k", 1)).await.unwrap();
    until(GAUGE, 1.0).await;
    let lines = |text: &str| log.text().lines().filter(|line| line.contains(text)).count();
    let (lost, back) = ("no sentinel is heard any more", "a sentinel is heard again");

    set.sentinels().iter().for_each(Server::freeze);
    until(GAUGE, 0.0).await;
    eventually_async(SOON, "a warning", || async { lines(lost) == 1 }).await;
    let warned = log.text();
    let line = warned.lines().find(|line| line.contains(lost)).expect("the warning");
    assert!(line.contains("WARN") && line.contains("has not answered"), "{line}");
    let () = within(SOON, pool.conn().set("k", 2)).await.unwrap();
    assert_eq!((pool.state(), lines(back)), (State::Ready, 0), "Redis serves");

    set.sentinels().iter().for_each(Server::thaw);
    until(GAUGE, 1.0).await;
    eventually_async(SOON, "that is told", || async { lines(back) == 1 }).await;
    assert_eq!(lines(lost), 1, "{}", log.text());
    within(SOON, pool.close()).await;
    until(GAUGE, 0.0).await;
}
