//! The master is found by asking sentinels, whatever some of them say, and believed only when it says so itself.

use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Pool, PoolBuilder, State};
use cenote_testkit::{
    Sentinels, Server, StandInSentinel, Watchdog, blackhole_addr, dead_port, eventually_async, within,
};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(5);

fn asking(sentinels: &[String]) -> PoolBuilder {
    Pool::builder().sentinel("main", sentinels)
}

fn replica_of(server: &Server) -> Server {
    let replica = Server::start();
    let port = server.port().to_string();
    replica.observer().get::<()>(&["REPLICAOF", "127.0.0.1", &port]);
    replica
}

#[tokio::test]
async fn sentinels_that_are_away_stuck_or_know_nothing_do_not_hold_up_the_one_that_knows() {
    let server = Server::start();
    let knows = StandInSentinel::naming(server.addr());
    let ignorant = StandInSentinel::naming(None);
    let stuck = blackhole_addr();
    let all = [stuck.addr(), dead_port(), ignorant.addr(), knows.addr()].map(|addr| addr.to_string());
    let pool = asking(&all).connect_timeout(Duration::from_secs(60)).build().unwrap();
    assert_eq!(within(SOON, pool.start()).await.unwrap(), State::Ready);
    let status = pool.status();
    assert_eq!(status.url, format!("redis+sentinel://{}/main/0", all.join(",")));
    assert_eq!(status.node, Some(server.addr().to_string()));
    let () = within(SOON, pool.conn().set("k", "v")).await.unwrap();
    assert_eq!(server.observer().get::<String>(&["GET", "k"]), "v");
}

#[tokio::test]
async fn when_no_sentinel_knows_the_master_the_error_tells_what_each_said() {
    let server = Server::start();
    let (dead, stuck, ignorant) = (dead_port(), blackhole_addr(), StandInSentinel::naming(None));
    let all = [dead, stuck.addr(), server.addr(), ignorant.addr()].map(|addr| addr.to_string());
    let pool = asking(&all).connect_timeout(Duration::from_millis(300)).required(true).build().unwrap();
    let error = within(SOON, pool.start()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let text = error.to_string();
    for part in [
        "no sentinel of 4 knows the master \"main\": ".to_owned(),
        format!("{dead} cannot be reached (Connection refused"),
        format!("{} has not answered within ", stuck.addr()),
        format!("{} is no sentinel (ERR unknown command", server.addr()),
        format!("{} knows no master of that name", ignorant.addr()),
    ] {
        assert!(text.contains(&part), "{part:?} is missing from: {text}");
    }
}

#[tokio::test]
async fn a_replica_that_a_stale_sentinel_names_is_refused_and_the_master_tried() {
    let server = Server::start();
    let replica = replica_of(&server);
    let (stale, right) = (StandInSentinel::naming(replica.addr()), StandInSentinel::naming(server.addr()));
    let all = [&stale, &right].map(|it| it.addr().to_string());
    for _ in 0..20 {
        // Either may answer first.
        let pool = asking(&all).required(true).build().unwrap();
        within(SOON, pool.start()).await.unwrap();
        drop(within(SOON, pool.dedicated()).await.unwrap());
        drop(within(SOON, pool.dedicated_io()).await.unwrap());
        assert_eq!(pool.status().node, Some(server.addr().to_string()));
        within(SOON, pool.close()).await;
    }
    eventually_async(SOON, "nothing of ours is left at the replica", || async { callers(&replica) == 0 })
        .await;
    let pool = asking(&all[..1]).required(true).build().unwrap();
    let error = within(SOON, pool.start()).await.unwrap_err();
    let (sentinel, named) = (&all[0], replica.addr());
    for part in [
        "the master \"main\" cannot be used".to_owned(),
        format!("{sentinel} named {named}"),
        "it is no master, but a replica".to_owned(),
    ] {
        assert!(error.to_string().contains(&part), "{part:?} is missing from: {error}");
    }
    let error = pool.dedicated_io().await.unwrap_err();
    assert!(error.to_string().contains("a replica"), "raw streams are checked too: {error}");
    // The sentinel learns of the master, and the pool tries again by itself.
    stale.name(server.addr());
    eventually_async(SOON, "it is tried again", || async { pool.state() == State::Ready }).await;
    let () = pool.conn().set("k", "v").await.unwrap();
}

/// Its clients, without the link between master and replica.
fn callers(server: &Server) -> usize {
    let clients = server.observer().clients();
    clients
        .iter()
        .filter(|client| client.get("flags").is_some_and(|flags| !flags.contains(['S', 'M'])))
        .count()
}

#[tokio::test]
async fn a_master_that_hangs_gives_way_to_another_that_is_named() {
    let server = Server::start();
    let hangs = blackhole_addr();
    let (stale, right) = (StandInSentinel::naming(hangs.addr()), StandInSentinel::naming(server.addr()));
    let all = [&stale, &right].map(|it| it.addr().to_string());
    for _ in 0..10 {
        let pool = asking(&all).connect_timeout(Duration::from_secs(60)).build().unwrap();
        assert_eq!(within(SOON, pool.start()).await.unwrap(), State::Ready);
        within(SOON, pool.close()).await;
    }
    drop(hangs);
}

#[tokio::test]
async fn when_the_master_says_that_it_is_none_all_connections_move() {
    let (old, new) = (Server::start(), Server::start());
    let sentinel = StandInSentinel::naming(old.addr());
    let pool = asking(&[sentinel.addr().to_string()]).shared_connections(4).build().unwrap();
    let mut conns = Vec::new();
    for n in 0..4 {
        let mut conn = pool.conn();
        let () = conn.set(n, 0).await.unwrap();
        conns.push(conn);
    }
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    let mut held = pool.dedicated().await.unwrap();
    let () = held.set("held", 0).await.unwrap();
    drop(pool.dedicated().await.unwrap());
    assert_eq!(old.observer().client_count(), 7);

    sentinel.name(new.addr());
    let port = new.port().to_string();
    old.observer().get::<()>(&["REPLICAOF", "127.0.0.1", &port]);
    let error = conns[0].set::<_, _, ()>("k", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("READONLY"), "the server's own answer is what the caller gets");
    eventually_async(SOON, "the others have moved, too", || async {
        // What stays is in its holder's hands.
        callers(&old) == 1
    })
    .await;
    for conn in &mut conns {
        within(SOON, conn.set::<_, _, ()>("k", 2)).await.unwrap();
    }
    assert_eq!(pool.status().node, Some(new.addr().to_string()));
    drop(held);
    let mut held = within(SOON, pool.dedicated()).await.unwrap();
    let () = held.set("held", 1).await.unwrap();
    assert_eq!(new.observer().get::<(i64, i64)>(&["MGET", "k", "held"]), (2, 1));
    assert_eq!(callers(&old), 0);
    eventually_async(SOON, "the subscriber is back", || async {
        new.observer().get::<i64>(&["PUBLISH", "news", "x"]) == 1
    })
    .await;
}

#[tokio::test]
async fn sentinels_and_the_master_each_have_a_password_of_their_own() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let set = Sentinels::builder().password("n0de-pw").sentinel_password("s3ntinel-pw").start();
    let pool =
        Pool::builder().url(set.url()).sentinel_password("s3ntinel-pw").required(true).build().unwrap();
    within(SOON, pool.start()).await.unwrap();
    let () = pool.conn().set("k", "v").await.unwrap();
    let mut info = set.url();
    info.push_str("?protocol=resp2");
    let pool =
        Pool::builder().url(info).sentinel_login("default", "s3ntinel-pw").required(true).build().unwrap();
    within(SOON, pool.start()).await.unwrap();

    for (sentinels, node) in
        [(None, "n0de-pw"), (Some("wr0ng-pw"), "n0de-pw"), (Some("s3ntinel-pw"), "wr0ng-pw")]
    {
        let mut builder = Pool::builder().url(set.url().replace("n0de-pw", node)).required(true);
        if let Some(password) = sentinels {
            builder = builder.sentinel_password(password);
        }
        let printed = format!("{builder:?}");
        let pool = builder.build().unwrap();
        let error = within(SOON, pool.start()).await.unwrap_err();
        let text = error.to_string();
        let expected = if sentinels.is_none() { "NOAUTH" } else { "WRONGPASS" };
        assert!(text.contains(expected), "{text}");
        let all = format!("{printed} {error:?} {:?} {:?} {pool:?}", pool.status(), pool.state());
        assert!(!all.contains("-pw"), "{all}");
        if node == "wr0ng-pw" {
            assert_eq!(error.server_error().and_then(|it| it.code()), Some("WRONGPASS"), "{text}");
        }
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn sentinels_and_the_master_are_reached_by_tls_each_with_a_certificate_for_its_host() {
    let authority = cenote_testkit::Authority::new();
    let set = Sentinels::builder().tls(&authority).start();
    let trusting = || Pool::builder().url(set.url()).tls_ca_file(authority.ca_file()).required(true);
    let pool = trusting().build().unwrap();
    within(SOON, pool.start()).await.unwrap();
    let () = pool.conn().set("k", "v").await.unwrap();
    assert_eq!(pool.status().node, Some(set.master().tls_addr().to_string()));
    let pool = trusting().tls_server_name("elsewhere").build().unwrap();
    let error = within(SOON, pool.start()).await.unwrap_err();
    assert!(error.to_string().contains("certificate is for another name"), "{error}");
    let plain = set.url().replace("rediss", "redis");
    let pool = Pool::builder().url(plain).required(true).build().unwrap();
    let error = within(SOON, pool.start()).await.unwrap_err();
    assert!(error.to_string().contains("is it a TLS port"), "{error}");
}

/// Only a sentinel can tell: the old master neither closes its connections nor answers.
#[test]
fn connections_move_when_a_sentinel_says_so_and_in_the_next_runtime_as_well() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let set = Sentinels::start();
    let pool = Pool::builder()
        .url(set.url())
        .shared_connections(2)
        .socket_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime();
    let () = first.block_on(pool.conn().set("k", 0)).unwrap();
    // The watch was the first one's.
    drop(first);
    let second = runtime();
    second.block_on(async {
        let mut conn = pool.conn();
        let mut held = pool.dedicated().await.unwrap();
        let () = held.set("k", 1).await.unwrap();
        let replicas = redis::cmd("WAIT").arg(1).arg(0).query_async::<i64>(&mut held).await;
        assert_eq!(replicas.unwrap(), 1, "the replica has it");
        drop(held);
        let () = conn.set("other", 1).await.unwrap();
        eventually_async(SOON, "one sentinel is listened to, by the second", || async {
            listeners(&set) == 1
        })
        .await;
        let old = set.master().addr();
        set.node(old).freeze();
        set.be_patient_for(Duration::from_millis(600));
        let stuck = tokio::spawn({
            let mut conn = pool.conn();
            async move { conn.get::<_, Option<i64>>("k").await }
        });
        eventually_async(Duration::from_secs(30), "a failover", || async { !set.switches().is_empty() })
            .await;
        set.be_patient_for(Duration::from_secs(600));
        let switched = set.switches()[0].at;
        eventually_async(SOON, "writes go to the new master", || {
            let mut conn = pool.conn();
            async move { conn.set::<_, _, ()>("k", 2).await.is_ok() }
        })
        .await;
        println!("the frozen master is left {:?} after the switch", switched.elapsed());
        let again = within(SOON, stuck).await.unwrap();
        // What it reads may be older: nobody waited for the replica.
        assert!(again.is_ok(), "a read that hung was sent again: {again:?}");
        assert_eq!(pool.status().node, Some(set.switches()[0].master.to_string()));
        set.node(old).thaw();
    });
    drop(pool);
    eventually_after_drop(&set);
}

fn eventually_after_drop(set: &Sentinels) {
    cenote_testkit::eventually(SOON, "the watch ends with the last handle", || listeners(set) == 0);
}

/// Subscriptions to news of the master, the test's own left out.
fn listeners(set: &Sentinels) -> usize {
    set.sentinels().iter().map(subscribed).sum::<usize>() - set.sentinels().len()
}

fn subscribed(sentinel: &Server) -> usize {
    let clients = sentinel.observer().clients();
    clients.iter().filter(|client| client.get("sub").is_some_and(|count| count == "1")).count()
}

#[tokio::test]
async fn nothing_is_left_at_the_sentinels_when_the_pool_is_closed() {
    let set = Sentinels::start();
    let pool = Pool::builder().url(set.url()).build().unwrap();
    let () = pool.conn().set("k", 1).await.unwrap();
    eventually_async(SOON, "one sentinel is listened to", || async { listeners(&set) == 1 }).await;
    within(SOON, pool.close()).await;
    eventually_async(SOON, "none is", || async { listeners(&set) == 0 }).await;
}

#[tokio::test]
async fn another_sentinel_is_listened_to_when_one_fails() {
    let set = Sentinels::start();
    let pool = Pool::builder().url(set.url()).build().unwrap();
    let () = pool.conn().set("k", 1).await.unwrap();
    eventually_async(SOON, "one sentinel is listened to", || async { listeners(&set) == 1 }).await;
    let began = Instant::now();
    for sentinel in set.sentinels() {
        if subscribed(sentinel) > 1 {
            sentinel.freeze();
            eventually_async(SOON, "another one is", || async {
                set.sentinels().iter().any(|other| !std::ptr::eq(other, sentinel) && subscribed(other) > 1)
            })
            .await;
            println!("a frozen sentinel is left after {:?}", began.elapsed());
            sentinel.thaw();
            return;
        }
    }
    panic!("none is listened to");
}

#[test]
fn a_login_of_sentinels_without_sentinels_is_a_configuration_error() {
    let error = Pool::builder().sentinel_login("user", "hunter2").build().unwrap_err();
    assert!(error.is_config(), "{error}");
    let text = error.to_string();
    assert!(text.contains("REDIS_SENTINEL_USERNAME") && text.contains("REDIS_SENTINEL_PASSWORD"), "{text}");
    assert!(text.contains("redis+sentinel://") && !text.contains("hunter2"), "{text}");
    let none: [&str; 0] = [];
    let text = Pool::builder().sentinel("main", none).build().unwrap_err().to_string();
    assert!(text.contains(".sentinel(") && text.contains("no host"), "{text}");
    let _: fn(&Error) -> bool = Error::is_config;
}
