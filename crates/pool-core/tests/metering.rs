//! What a recorder of metrics hears of a pool.
#![cfg(feature = "metrics")]

use std::sync::LazyLock;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Pool, PoolBuilder, State};
use cenote_testkit::{Proxy, Server, dead_port, eventually_async, metric, within};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use redis::{AsyncCommands, Value};
use tokio::sync::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_secs(10);

static RECORDER: LazyLock<PrometheusHandle> =
    LazyLock::new(|| PrometheusBuilder::new().install_recorder().unwrap());

/// All pools of a process count into the same numbers: one test at a time, and what was there before is taken away.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Heard {
    before: String,
    _alone: MutexGuard<'static, ()>,
}

impl Heard {
    async fn new() -> Self {
        let alone = ALONE.lock().await;
        // A test's tasks, and with them its pool, may outlive it until its runtime has ended.
        let pools = || metric(&RECORDER.render(), "cenote_connections_max", &[]).unwrap_or(0.0);
        eventually_async(SOON, "the pools of former tests are gone", || async { pools() == 0.0 }).await;
        Self { before: RECORDER.render(), _alone: alone }
    }

    fn more(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let value = |text: &str| metric(text, name, labels).unwrap_or(0.0);
        value(&RECORDER.render()) - value(&self.before)
    }

    async fn until(&self, name: &str, labels: &[(&str, &str)], more: f64) {
        eventually_async(SOON, name, || async { self.more(name, labels) == more }).await;
    }
}

fn pool(url: impl Into<String>) -> PoolBuilder {
    Pool::builder().url(url).shared_connections(1)
}

#[tokio::test]
async fn a_command_is_counted_and_timed_by_its_name_and_one_that_nobody_knows_has_none() {
    let heard = Heard::new().await;
    let server = Server::start();
    let pool = pool(server.url()).max_connections(7).build().unwrap();
    let mut conn = pool.conn();
    let name = "cenote_command_duration_seconds_count";
    let of = |command: &'static str| heard.more(name, &[("command", command)]);
    for _ in 0..3 {
        let _: () = conn.set("k", "v").await.unwrap();
    }
    let _: Option<String> = conn.get("k").await.unwrap();
    redis::cmd("hunter2").arg("swordfish").exec_async(&mut conn).await.unwrap_err();
    let _: Vec<Value> = redis::pipe().get("k").get("k").query_async(&mut conn).await.unwrap();
    let _: Vec<Value> = redis::pipe().atomic().get("k").query_async(&mut conn).await.unwrap();
    assert_eq!((of("SET"), of("GET"), of("other"), of("PIPELINE"), of("MULTI")), (3.0, 1.0, 1.0, 1.0, 1.0));
    assert_eq!(heard.more("cenote_command_errors_total", &[("error", "server")]), 1.0);
    assert!(!RECORDER.render().contains("hunter2") && !RECORDER.render().contains("swordfish"));

    let own = pool.dedicated().await.unwrap();
    assert_eq!(heard.more("cenote_dedicated_in_use", &[]), 1.0);
    assert_eq!(heard.more("cenote_dedicated_wait_seconds_count", &[]), 1.0);
    assert_eq!(heard.more("cenote_connections_in_use", &[]), 2.0);
    assert_eq!(heard.more("cenote_connections_max", &[]), 7.0);
    assert_eq!(heard.more("cenote_dials_total", &[("result", "ok")]), 2.0);
    drop((own, conn));
    let subscriber = pool.subscriber();
    assert_eq!(heard.more("cenote_subscribers", &[]), 1.0);
    drop(subscriber);
    pool.close().await;
    drop(pool);
    for gauge in
        ["connections_in_use", "connections_max", "dedicated_in_use", "subscribers", "commands_in_flight"]
    {
        heard.until(&format!("cenote_{gauge}"), &[], 0.0).await;
    }
}

#[tokio::test]
async fn an_outage_is_heard_from_its_first_error_to_its_end() {
    let heard = Heard::new().await;
    let server = Server::builder().persistent().start();
    let pool = pool(server.url()).fallback(FallbackLru::default()).build().unwrap();
    let (mut conn, mut soft) = (pool.conn(), pool.degradable().unwrap());
    let _: () = soft.set("k", "v").await.unwrap();
    assert_eq!(heard.more("cenote_degradable_calls_total", &[("source", "redis")]), 1.0);
    server.kill();
    eventually_async(SOON, "the outage is known", || async {
        matches!(pool.state(), State::Degraded { .. })
    })
    .await;
    conn.get::<_, Value>("k").await.unwrap_err();
    assert_eq!(heard.more("cenote_breaker_open", &[]), 1.0);
    assert_eq!(heard.more("cenote_breaker_transitions_total", &[("to", "open")]), 1.0);
    assert!(heard.more("cenote_command_errors_total", &[("error", "unavailable")]) >= 1.0);
    assert!(heard.more("cenote_connections_lost_total", &[]) >= 1.0);

    let _: () = soft.set("written", "12345").await.unwrap();
    let _: Vec<Option<String>> = soft.mget(&["written", "nothing"]).await.unwrap();
    let looked_up = |result| heard.more("cenote_fallback_lookups_total", &[("result", result)]);
    assert_eq!((looked_up("hit"), looked_up("miss")), (1.0, 1.0));
    assert_eq!(heard.more("cenote_degradable_calls_total", &[("source", "fallback")]), 2.0);
    assert_eq!(heard.more("cenote_journal_keys", &[]), 1.0);
    assert_eq!(heard.more("cenote_journal_bytes", &[]), 7.0);

    server.restart();
    heard.until("cenote_journal_keys", &[], 0.0).await;
    heard.until("cenote_journal_bytes", &[], 0.0).await;
    heard.until("cenote_breaker_open", &[], 0.0).await;
    assert!(heard.more("cenote_journal_removed_total", &[]) >= 1.0);
    assert_eq!(heard.more("cenote_breaker_transitions_total", &[("to", "closed")]), 1.0);
    assert!(heard.more("cenote_reconnects_total", &[]) >= 1.0);
    assert!(heard.more("cenote_dials_total", &[("result", "error")]) >= 1.0);
}

#[tokio::test]
async fn a_call_that_the_outage_refuses_is_an_error_and_no_retry() {
    let heard = Heard::new().await;
    let pool = pool(format!("redis://{}", dead_port())).build().unwrap();
    let mut conn = pool.conn();
    for _ in 0..20 {
        within(SOON, conn.incr::<_, _, i64>("k", 1)).await.unwrap_err();
    }
    assert_eq!(heard.more("cenote_command_errors_total", &[("error", "unavailable")]), 20.0);
    assert_eq!(heard.more("cenote_retries_total", &[]), 0.0);
}

#[tokio::test]
async fn a_pool_that_goes_in_an_outage_takes_its_gauges_with_it() {
    let heard = Heard::new().await;
    let pool = pool(format!("redis://{}", dead_port()))
        .fallback(FallbackLru::default())
        .journal_keys(1)
        .build()
        .unwrap();
    let mut soft = pool.degradable().unwrap();
    let _: () = within(SOON, soft.set("k", "v")).await.unwrap();
    soft.set::<_, _, ()>("another", "v").await.unwrap_err();
    assert_eq!(heard.more("cenote_journal_refused_total", &[]), 1.0);
    assert_eq!((heard.more("cenote_breaker_open", &[]), heard.more("cenote_journal_keys", &[])), (1.0, 1.0));
    drop((soft, pool));
    for gauge in ["breaker_open", "journal_keys", "journal_bytes", "connections_max", "connections_in_use"] {
        heard.until(&format!("cenote_{gauge}"), &[], 0.0).await;
    }
}

#[tokio::test]
async fn what_waits_what_is_under_way_and_what_was_given_up_is_heard() {
    let heard = Heard::new().await;
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url()).window_commands(1).build().unwrap();
    let mut conn = pool.conn();
    let _: () = conn.set("k", 1).await.unwrap();
    let waited = heard.more("cenote_queue_wait_seconds_count", &[]);
    proxy.stall_replies();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let mut conn = conn.clone();
            tokio::spawn(async move { conn.get::<_, i64>("k").await.unwrap() })
        })
        .collect();
    heard.until("cenote_commands_in_flight", &[], 3.0).await;
    proxy.release();
    for call in calls {
        within(SOON, call).await.unwrap();
    }
    heard.until("cenote_commands_in_flight", &[], 0.0).await;
    heard.until("cenote_queue_wait_seconds_count", &[], waited + 2.0).await;

    proxy.stall_replies();
    let late = conn.clone().with_timeout(Duration::from_millis(50)).incr::<_, _, i64>("k", 1).await;
    late.unwrap_err();
    assert_eq!(heard.more("cenote_command_errors_total", &[("error", "timeout")]), 1.0);
    tokio::time::timeout(Duration::from_millis(20), conn.get::<_, i64>("k")).await.unwrap_err();
    assert_eq!(heard.more("cenote_command_errors_total", &[("error", "abandoned")]), 1.0);
    assert_eq!(heard.more("cenote_commands_in_flight", &[]), 0.0);
    proxy.release();

    let before = heard.more("cenote_retries_total", &[]);
    eventually_async(SOON, "the connection answers again", || {
        let mut conn = conn.clone();
        async move { conn.get::<_, i64>("k").await.is_ok() }
    })
    .await;
    proxy.cut_next_reply();
    let _: i64 = within(SOON, conn.get("k")).await.unwrap();
    assert!(heard.more("cenote_retries_total", &[]) > before, "a read whose reply was cut is tried again");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_and_one_that_is_told_of_a_gap_are_heard() {
    let heard = Heard::new().await;
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url()).build().unwrap();
    let mut subscriber = pool.subscriber().with_capacity(2);
    subscriber.subscribe("news").await.unwrap();
    for number in 0..5 {
        let _: () = server.observer().command(&["PUBLISH", "news", &number.to_string()]).map(drop).unwrap();
    }
    heard.until("cenote_subscriber_lagged_total", &[], 3.0).await;
    proxy.cut();
    proxy.pass();
    heard.until("cenote_subscriber_gaps_total", &[], 1.0).await;
}

#[tokio::test]
async fn what_is_measured_is_told_in_seconds() {
    const TOOK: Duration = Duration::from_millis(300);
    let heard = Heard::new().await;
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url()).window_commands(1).max_connections(2).build().unwrap();
    let mut conn = pool.conn();
    let _: () = conn.set("k", 1).await.unwrap();
    let held = pool.dedicated().await.unwrap();
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.dedicated().await.unwrap()) }
    });
    proxy.delay_replies(TOOK);
    let (one, two) = (conn.clone(), conn.clone());
    let both = [one, two].map(|mut conn| tokio::spawn(async move { conn.get::<_, i64>("k").await.unwrap() }));
    for call in both {
        within(SOON, call).await.unwrap();
    }
    drop(held);
    within(SOON, waits).await.unwrap();
    for name in ["command_duration", "queue_wait", "dedicated_wait"] {
        let labels: &[(&str, &str)] = if name == "command_duration" { &[("command", "GET")] } else { &[] };
        let sum = heard.more(&format!("cenote_{name}_seconds_sum"), labels);
        // Milliseconds would be hundreds, and microseconds more.
        assert!((0.25..60.0).contains(&sum), "{name}: {sum}");
    }
}
