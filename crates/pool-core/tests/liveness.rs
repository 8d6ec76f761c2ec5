//! What becomes of connections that the server changes its mind about.

use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Pool, State};
use cenote_testkit::{Answer, Canned, Server, eventually, eventually_async, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_command_after_a_server_side_close_succeeds_even_a_write() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).shared_connections(1).build().unwrap();
    let mut conn = pool.conn();
    for n in 1..=20 {
        assert_eq!(conn.incr::<_, _, i64>("n", 1).await.unwrap(), n);
        cut_by_the_server(&server);
    }
}

/// Returns once the server has closed all our connections. This thread's runtime, blocked meanwhile, has not
/// noticed: the next command must find it out before it is sent.
fn cut_by_the_server(server: &Server) {
    let began = Instant::now();
    let killed: i64 = server.observer().get(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert!(killed >= 1);
    eventually(SOON, "the server has let go of us, a moment ago", || {
        server.observer().client_count() == 0 && began.elapsed() > Duration::from_millis(2)
    });
}

#[tokio::test]
async fn a_dedicated_connection_closed_while_idle_is_replaced_unnoticed() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    drop(pool.dedicated().await.unwrap());
    cut_by_the_server(&server);
    let mut conn = pool.dedicated().await.unwrap();
    assert_eq!(conn.incr::<_, _, i64>("n", 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_that_became_a_replica_is_left_for_a_new_connection() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).shared_connections(1).build().unwrap();
    let mut conn = pool.conn();
    let id = |server: &Server| server.observer().client_ids();
    let () = conn.set("k", 1).await.unwrap();
    let before = id(&server);
    server.observer().command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let error = conn.set::<_, _, ()>("k", 2).await.unwrap_err();
    assert_eq!(error.code(), Some("READONLY"), "the server's own answer is what the caller gets");
    server.observer().command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    within(
        SOON,
        eventually_async(SOON, "writes go on over another connection", || {
            let mut conn = pool.conn();
            let (server, before) = (&server, &before);
            async move { conn.set::<_, _, ()>("k", 3).await.is_ok() && id(server) != *before }
        }),
    )
    .await;
}

#[tokio::test]
async fn a_node_that_stays_a_replica_is_not_dialled_for_every_write_that_it_refuses() {
    let server = Server::start();
    let observer = server.observer();
    observer.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let pool = Pool::builder().url(server.url()).shared_connections(2).build().unwrap();
    let began = Instant::now();
    for _ in 0..500 {
        let error = within(SOON, pool.conn().set::<_, _, ()>("k", 1)).await.unwrap_err();
        assert_eq!(error.code(), Some("READONLY"), "{error}");
    }
    let dials = pool.status().dials;
    // Both connections, and one more each second.
    let most = 3 + began.elapsed().as_secs();
    assert!((3..=most).contains(&dials), "{dials} dials in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_lost_its_login_is_made_again() {
    let server = Server::builder().arg("user", "app on >pw ~* +@all").start();
    let url = format!("redis://app:pw@{}/0", server.addr());
    let pool = Pool::builder().url(url).shared_connections(1).build().unwrap();
    let () = pool.conn().set("k", 1).await.unwrap();
    // Deleting a user cuts its connections; recreating it lets them in again.
    server.observer().command(&["ACL", "DELUSER", "app"]).unwrap();
    server.observer().command(&["ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all"]).unwrap();
    within(
        SOON,
        eventually_async(SOON, "it is let in again", || {
            let mut conn = pool.conn();
            async move { conn.set::<_, _, ()>("k", 2).await.is_ok() }
        }),
    )
    .await;
}

#[tokio::test]
async fn a_server_without_hello_is_greeted_over_resp2() {
    let server = Server::builder().password("pw").arg("rename-command", "HELLO \"\"").start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    assert_eq!(pool.start().await.unwrap(), State::Ready);
    let mut conn = pool.conn();
    let () = conn.hset("h", "f", "v").await.unwrap();
    let all: std::collections::HashMap<String, String> = conn.hgetall("h").await.unwrap();
    assert_eq!(all["f"], "v");
    let mut held = pool.dedicated().await.unwrap();
    redis::cmd("SELECT").arg(3).exec_async(&mut held).await.unwrap();
    drop(held);
    let mut held = pool.dedicated().await.unwrap();
    assert_eq!(held.hget::<_, _, String>("h", "f").await.unwrap(), "v", "database 0 again");
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for_on_the_same_connection() {
    const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
    let loading = Canned::answering(|turn, _| {
        Answer::Send(match turn {
            0 => format!("%1\r\n+version\r\n+7.0.0\r\n{LOADING}$-1\r\n$-1\r\n").into_bytes(),
            1..=5 => LOADING.into(),
            _ => b"+PONG\r\n".to_vec(),
        })
    });
    let pool = Pool::builder().url(loading.url()).required(true).connect_timeout(SOON).build().unwrap();
    assert_eq!(within(SOON, pool.start()).await.unwrap(), State::Ready);
    assert_eq!(loading.accepted(), 1);

    let greeting = format!("%1\r\n+version\r\n+7.0.0\r\n{LOADING}$-1\r\n$-1\r\n");
    let answers_on = Canned::answering({
        let greeting = greeting.clone();
        move |turn, _| {
            Answer::Send(if turn == 0 { greeting.clone() } else { LOADING.to_owned() }.into_bytes())
        }
    });
    let falls_silent = Canned::replying(greeting);
    for never in [answers_on, falls_silent] {
        let limit = Duration::from_secs(2);
        let pool = Pool::builder().url(never.url()).required(true).connect_timeout(limit).build().unwrap();
        let error = within(SOON, pool.start()).await.unwrap_err();
        assert!(error.to_string().contains("LOADING"), "{error}");
    }
}

#[tokio::test]
async fn a_limit_beyond_all_time_is_a_limit_of_a_year() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let mut conn = pool.conn().with_timeout(Duration::MAX);
    let () = conn.set("k", 1).await.unwrap();
    let mut held = pool.dedicated().await.unwrap().with_timeout(Duration::MAX);
    let () = held.set("k", 1).await.unwrap();
    let _: Option<(String, String)> = held.blpop("empty", 0.01).await.unwrap();
}

#[tokio::test]
async fn a_full_server_does_not_stop_those_who_are_in() {
    let server = Server::builder().arg("maxclients", "3").start();
    let pool = Pool::builder().url(server.url()).shared_connections(1).build().unwrap();
    let mut conn = pool.conn();
    let () = conn.set("k", 1).await.unwrap();
    let others: Vec<Pool> =
        (0..2).map(|_| Pool::builder().url(server.url()).shared_connections(1).build().unwrap()).collect();
    for other in &others {
        let _ = other.start().await.unwrap();
    }
    let busy = tokio::spawn({
        let mut conn = pool.conn();
        async move {
            for _ in 0..2_000 {
                let () = conn.set("k", 1).await.unwrap();
            }
        }
    });
    // One more connection is refused by the server, while the shared one goes on.
    let error = pool.dedicated().await.unwrap_err();
    assert!(error.to_string().contains("max number of clients"), "{error}");
    busy.await.unwrap();
    assert_eq!(pool.state(), State::Ready);
    let () = conn.set("k", 2).await.unwrap();
}

#[tokio::test]
async fn status_tells_what_was_seen_and_readiness_comes_from_replies() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).required(true).connect_timeout(SOON).build().unwrap();
    let status = |pool: &Pool| serde_json::to_value(pool.status()).unwrap();
    let before = status(&pool);
    assert_eq!((&before["status"], &before["state"]), (&"error".into(), &"idle".into()));
    assert_eq!((&before["initialized"], &before["required"]), (&false.into(), &true.into()));
    pool.start().await.unwrap();
    let held = pool.dedicated().await.unwrap();
    let after = status(&pool);
    assert_eq!((&after["status"], &after["state"]), (&"ok".into(), &"ready".into()));
    assert_eq!(after["server_role"], "master");
    assert!(after["server_version"].as_str().is_some_and(|version| version.contains('.')), "{after}");
    assert!(after["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{after}");
    assert_eq!((&after["connections_in_use"], &after["connections_free"]), (&2.into(), &18.into()));
    assert_eq!((&after["dedicated_in_use"], &after["breaker"]), (&1.into(), &"closed".into()));
    drop(held);
    server.kill();
    eventually_async(SOON, "the loss is noticed", || async { status(&pool)["status"] == "error" }).await;
    let away = status(&pool);
    assert_eq!((&away["state"], &away["breaker"]), (&"degraded".into(), &"open".into()));
    assert!(away["degraded_since"].as_f64().is_some() && away["last_error"].is_string(), "{away}");
    assert_eq!(away["dedicated_in_use"], 0);
    assert_eq!(away["reconnects"], 0, "none was made again yet");
}

#[tokio::test]
async fn a_callers_own_short_limit_says_nothing_about_redis() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    pool.start().await.unwrap();
    server.freeze();
    let mut hurried = pool.conn().with_timeout(Duration::from_millis(5));
    for _ in 0..50 {
        let error = hurried.get::<_, Option<String>>("k").await.unwrap_err();
        assert!(Error::from_redis(&error).unwrap().is_timeout(), "{error}");
    }
    assert_eq!(pool.state(), State::Ready, "fifty short limits are no outage");
    server.thaw();
    let () = pool.conn().set("k", 1).await.unwrap();
}

/// It refuses writes, and `PING` with them.
#[tokio::test]
async fn a_server_that_cannot_save_to_disk_is_there_and_serves_reads() {
    let folder = std::env::temp_dir().join(format!("cenote-unsaved-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let server = Server::builder().arg("dir", folder.to_str().unwrap()).arg("save", "3600 1").start();
    let observer = server.observer();
    observer.command(&["SET", "k", "1"]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    observer.command(&["BGSAVE"]).unwrap();
    eventually_async(SOON, "it has failed to save", || async {
        observer.command(&["SET", "k", "2"]).is_err_and(|error| error.to_string().contains("MISCONF"))
    })
    .await;

    for protocol in ["", "?protocol=resp2"] {
        let pool = Pool::builder().url(format!("{}{protocol}", server.url())).build().unwrap();
        assert_eq!(pool.start().await.unwrap(), State::Ready);
        let mut conn = pool.conn();
        assert!(conn.get::<_, i64>("k").await.unwrap() > 0);
        let refused = conn.set::<_, _, ()>("k", 3).await.unwrap_err();
        assert_eq!(refused.code(), Some("MISCONF"), "{refused}");
        let mut held = pool.dedicated().await.unwrap();
        redis::cmd("SELECT").arg(3).exec_async(&mut held).await.unwrap();
        drop(held);
        let mut held = pool.dedicated().await.unwrap();
        assert!(held.get::<_, i64>("k").await.unwrap() > 0, "database 0 again");
        let mut subscriber = pool.subscriber();
        within(SOON, subscriber.subscribe("c")).await.unwrap();
        assert_eq!(pool.status().reconnects, 0);
        pool.close().await;
    }
}
