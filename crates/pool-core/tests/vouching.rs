//! A connection that is open and works is asked before a dial that fails is taken for an outage.

use std::time::Duration;

use cenote_pool_core::{Conn, Error, Pool, PoolBuilder, State};
use cenote_testkit::{Observer, Proxy, Server, dead_port, eventually_async, within};
use redis::AsyncCommands;
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(30);
/// No connection is given up for its silence, and none is asked for a sign of life: only a dial tells of Redis.
const NEVER: Duration = Duration::from_secs(600);

fn quiet(url: String) -> PoolBuilder {
    Pool::builder().url(url).shared_connections(1).socket_timeout(NEVER).health_check_interval(NEVER)
}

/// One shared connection that works, and no reply on it for longer than one speaks for Redis.
async fn at_rest(pool: &Pool) -> watch::Receiver<State> {
    let _: () = pool.conn().set("k", 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    pool.state_changes()
}

/// An open connection that is asked has half a second to answer, which this machine may take for itself: so it may happen
/// once, but not each time.
async fn once_of_three(mut scenario: impl AsyncFnMut() -> Result<(), String>) {
    let mut told = Vec::new();
    for _ in 0..3 {
        match scenario().await {
            Ok(()) => return,
            Err(outage) => told.push(outage),
        }
    }
    panic!("{told:?}");
}

async fn is_served(conn: &mut Conn, states: &mut watch::Receiver<State>) -> Result<(), String> {
    let served: redis::RedisResult<i64> = within(SOON, conn.get("k")).await;
    if served == Ok(1) && !states.has_changed().unwrap() {
        return Ok(());
    }
    let now = format!("{served:?} in {:?}", *states.borrow_and_update());
    within(SOON, states.wait_for(|state| *state == State::Ready)).await.unwrap();
    Err(now)
}

/// Those who need another connection are told why they get none; the others notice nothing.
async fn is_no_outage(pool: &Pool, cause: &str) {
    let told = |refused: Error| {
        assert!(refused.is_unavailable() && refused.to_string().contains(cause), "{refused}");
        let last = pool.status().last_error;
        assert!(last.as_deref().is_some_and(|told| told.contains(cause)), "{last:?}");
    };
    once_of_three(async || {
        let mut states = at_rest(pool).await;
        told(within(SOON, pool.dedicated()).await.unwrap_err());
        is_served(&mut pool.conn(), &mut states).await
    })
    .await;
    once_of_three(async || {
        let mut states = at_rest(pool).await;
        told(within(SOON, pool.subscriber().subscribe("news")).await.unwrap_err());
        is_served(&mut pool.conn(), &mut states).await
    })
    .await;
}

fn fill_up(observer: &Observer) {
    let clients = observer.client_count() + 1;
    observer.command(&["CONFIG", "SET", "maxclients", &clients.to_string()]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_no_outage_for_the_connection_that_is_open() {
    let server = Server::start();
    let observer = server.observer();
    let pool = quiet(server.url()).build().unwrap();
    pool.start().await.unwrap();
    fill_up(&observer);
    is_no_outage(&pool, "max number of clients").await;
}

#[tokio::test]
async fn a_password_that_was_changed_is_no_outage_for_the_connection_that_is_logged_in() {
    let server = Server::builder().password("old").start();
    let observer = server.observer();
    let pool = quiet(server.url()).build().unwrap();
    pool.start().await.unwrap();
    observer.command(&["CONFIG", "SET", "requirepass", "new"]).unwrap();
    is_no_outage(&pool, "WRONGPASS").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_find_nobody_or_get_no_answer_are_no_outage_while_another_connection_works() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = quiet(proxy.url()).connect_timeout(Duration::from_millis(700)).build().unwrap();
    pool.start().await.unwrap();
    let silent = cenote_testkit::blackhole_addr();
    proxy.set_upstream(silent.addr());
    is_no_outage(&pool, "700ms (REDIS_CONNECT_TIMEOUT)").await;
    proxy.set_upstream(dead_port());
    is_no_outage(&pool, "is unavailable").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_while_the_server_is_full_is_no_outage_for_another() {
    once_of_three(async || {
        let server = Server::start();
        let observer = server.observer();
        let pool = quiet(server.url()).shared_connections(2).build().unwrap();
        let mut lanes = [pool.conn(), pool.conn()];
        let mut ids = Vec::new();
        for lane in &mut lanes {
            ids.push(redis::cmd("CLIENT").arg("ID").query_async::<u64>(lane).await.unwrap());
        }
        assert_ne!(ids[0], ids[1]);
        let mut states = at_rest(&pool).await;
        observer.command(&["CONFIG", "SET", "maxclients", "1"]).unwrap();
        observer.command(&["CLIENT", "KILL", "ID", &ids[0].to_string()]).unwrap();
        let refused = || async { observer.info("rejected_connections") != "0" };
        eventually_async(SOON, "it was looked for Redis", refused).await;
        is_served(&mut lanes[1], &mut states).await?;
        // Whoever comes next gets no connection of its own, and needs none.
        is_served(&mut lanes[0], &mut states).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_open_and_gives_no_answer_does_not_hide_an_outage() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = quiet(proxy.url()).build().unwrap();
    pool.start().await.unwrap();
    let mut states = at_rest(&pool).await;
    proxy.stall_replies();
    proxy.set_upstream(dead_port());
    let refused = within(SOON, pool.dedicated()).await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused}");
    let away = |state: &State| matches!(state, State::Degraded { .. });
    within(SOON, states.wait_for(away)).await.unwrap();
    let told = within(SOON, pool.conn().get::<_, i64>("k")).await.unwrap_err();
    assert!(Error::from_redis(&told).unwrap().is_unavailable(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turns_exclusive_connections_away_is_not_stormed_for_them() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = quiet(proxy.url()).build().unwrap();
    pool.start().await.unwrap();
    proxy.set_upstream(dead_port());
    let (before, began) = (proxy.accepted(), std::time::Instant::now());
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(2) {
        within(SOON, pool.dedicated()).await.unwrap_err();
        let _: i64 = pool.conn().incr("n", 1).await.unwrap();
        asked += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let dials = proxy.accepted() - before;
    println!("{dials} dials for {asked} calls");
    assert!(dials < 20, "{dials} dials in 2 s");
    // It is asked again as soon as that is right.
    proxy.set_upstream(server.addr());
    eventually_async(SOON, "there is one", || async { pool.dedicated().await.is_ok() }).await;
}
