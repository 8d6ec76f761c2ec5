//! The errors of a master that is not found say each thing once, and what to do.

use std::time::Duration;

use cenote_pool_core::{Pool, PoolBuilder};
use cenote_testkit::{Sentinels, Server, StandInSentinel, dead_port, within};

const SOON: Duration = Duration::from_secs(30);

async fn failure(builder: PoolBuilder) -> String {
    let pool = builder.required(true).build().unwrap();
    within(SOON, pool.start()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_wrong_password_of_the_sentinels_is_told_as_that() {
    let set = Sentinels::builder().sentinel_password("s3ntinel-pw").start();
    let builder = || Pool::builder().url(set.url());
    for (builder, code) in [(builder(), "NOAUTH"), (builder().sentinel_password("wr0ng"), "WRONGPASS")] {
        let text = failure(builder).await;
        for part in [code, "the sentinels' own login", "REDIS_SENTINEL_PASSWORD", "sentinel_password"] {
            assert_eq!(text.matches(part).count().min(1), 1, "{part:?} is missing from: {text}");
        }
        assert!(!text.contains("knows the master"), "nothing is known of what they know: {text}");
        assert_eq!(text.matches(code).count(), 1, "once for all three: {text}");
        assert!(!text.contains("-pw") && !text.contains("wr0ng"), "{text}");
    }
    // Of one that is not asked for any it is no wonder either.
    let open = Sentinels::start();
    let text = failure(Pool::builder().url(open.url()).sentinel_password("needless")).await;
    assert!(text.contains("REDIS_SENTINEL_PASSWORD"), "{text}");
    let text = failure(Pool::builder().url(open.url().replace(open.master_name(), "other"))).await;
    assert!(!text.contains("login") && text.contains("knows the master"), "{text}");
}

#[tokio::test]
async fn what_all_sentinels_say_is_said_once() {
    let dead = dead_port();
    let sentinels = [(); 3].map(|()| StandInSentinel::naming(dead));
    let hosts = sentinels.each_ref().map(|it| it.addr().to_string());
    let text = failure(Pool::builder().sentinel("main", &hosts)).await;
    let dead = dead.to_string();
    for once in hosts.iter().chain([&dead]).map(String::as_str).chain(["main\"", "Redis at", "unavailable"]) {
        assert_eq!(text.matches(once).count(), 1, "{once:?} is not said once: {text}");
    }
    assert!(text.contains(&format!("each of the 3 sentinels named {dead}")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    assert!(text.len() < 300, "{} bytes: {text}", text.len());
}

#[tokio::test]
async fn sentinels_that_do_not_agree_are_told_apart() {
    let (one, other, replica) = (dead_port(), dead_port(), Server::start());
    let master = Server::start().addr().port().to_string();
    replica.observer().get::<()>(&["REPLICAOF", "127.0.0.1", &master]);
    let named = [one, one, other, replica.addr()].map(StandInSentinel::naming);
    let mut hosts = named.each_ref().map(|it| it.addr().to_string()).to_vec();
    hosts.push(dead_port().to_string());
    let text = failure(Pool::builder().sentinel("main", &hosts)).await;
    for part in [
        format!("{} and {} named {one}", hosts[0], hosts[1]),
        format!("{} named {other}", hosts[2]),
        format!("{} named {}", hosts[3], replica.addr()),
        "it is no master, but a replica".to_owned(),
        format!("{} cannot be reached", hosts[4]),
    ] {
        assert!(text.contains(&part), "{part:?} is missing from: {text}");
    }
    for node in [one, other, replica.addr()] {
        assert_eq!(text.matches(&format!("{node}")).count(), 1, "{text}");
    }
}
