//! What is written and removed while Redis is away: once it is replayed nobody reads what was there before, however the
//! outage came about.

mod common;
mod outage;

use std::io;

use cenote_cache::{Tier, Written};
use cenote_pool_core::State;
use cenote_testkit::{Proxy, Server, eventually, eventually_async};
use common::{SOON, Source, text};
use outage::{Caches, OVERWRITTEN, REMOVED, Stage, UNTOUCHED, reads_from_fallback, replayed, value};
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_nobody_reads_afterwards_what_was_overwritten_or_removed() {
    let stage = Stage::on(Server::start()).await;
    stage.cut_off().await;
    stage.write_in_the_outage().await;
    stage.old_values_are_in_redis();
    stage.others_still_read_the_old_values().await;
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    stage.the_untouched_is_read().await;
    stage.values_are_stored_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_journal_that_is_full_nobody_does_either() {
    let stage = Stage::with(Server::start(), |pool| pool.journal_keys(3)).await;
    stage.cut_off().await;
    for key in 100..110 {
        let _ = stage.ours.keys.put(&key, &"other".to_owned()).await.unwrap();
    }
    stage.write_in_the_outage().await;
    // Each namespace has one key beyond the bounds.
    assert!(stage.ours.pool.journal_status().pending_keys <= 3 + 3, "{:?}", stage.ours.pool.journal_status());
    stage.old_values_are_in_redis();
    stage.others_still_read_the_old_values().await;
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    stage.values_are_stored_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_nobody_does_either() {
    let stage = Stage::on(Server::start()).await;
    stage.server.freeze();
    while stage.ours.pool.state() == State::Ready {
        let _ = stage.ours.keys.get(&100).await.unwrap();
    }
    stage.write_in_the_outage().await;
    stage.proxy.stall_requests();
    stage.server.thaw();
    stage.old_values_are_in_redis();
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    stage.the_untouched_is_read().await;
    stage.values_are_stored_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_its_data_on_disk_nobody_does_either() {
    let stage = Stage::on(Server::builder().persistent().start()).await;
    stage.proxy.refuse_after_accept(true);
    stage.server.kill();
    stage.is_away().await;
    stage.write_in_the_outage().await;
    stage.server.restart();
    stage.old_values_are_in_redis();
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    stage.values_are_stored_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_from_an_older_rdb_nobody_reads_what_was_removed_before_the_outage_either() {
    let stage = Stage::on(Server::start()).await;
    stage.server.observer().get::<()>(&["SAVE"]);
    // None of this reaches the disk.
    stage.seed("newer").await;
    let _ = stage.ours.keys.remove(&UNTOUCHED).await.unwrap();
    let _ = stage.ours.tagged.remove_tag("t").await.unwrap();
    let _ = stage.ours.cleared.clear().await.unwrap();
    stage.proxy.refuse_after_accept(true);
    stage.server.kill();
    stage.is_away().await;
    stage.write_in_the_outage().await;
    stage.server.restart();
    stage.old_values_are_in_redis();
    // Others are there before our process is.
    stage.theirs.reads_nothing("another process").await;
    Caches::fresh(&stage.server).reads_nothing("a process that starts before the replay").await;
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    for caches in [&stage.ours, &stage.theirs, &stage.listening, &Caches::fresh(&stage.server)] {
        assert_eq!(value(&caches.keys, UNTOUCHED).await, None, "removed before the outage");
    }
    stage.values_are_stored_again().await;
}

/// A put and the end of a load are stalled on their way, and go on after the replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_held_back_and_released_after_the_replay_brings_nothing_back() {
    let stage = Stage::on(Server::start()).await;
    // Our process reaches its server past a second place, where its requests are held.
    let held = Proxy::to(&stage.server);
    stage.proxy.set_upstream(held.addr());
    stage.proxy.cut();
    replayed(&stage.ours.pool).await;
    assert_eq!(value(&stage.ours.keys, REMOVED).await.as_deref(), Some("old"));
    let keys = stage.ours.keys.clone();
    let (start, started) = oneshot::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let loading = tokio::spawn(async move {
        keys.get_or_load(&50, |_| async {
            start.send(()).unwrap();
            let _ = finished.await;
            Ok::<_, io::Error>(Some("late".to_owned()))
        })
        .await
    });
    started.await.unwrap();
    assert!(stage.server.observer().get::<bool>(&["EXISTS", &fence(&stage, 50)]), "the load has its fence");

    held.stall_requests();
    let late = "late".to_owned();
    let entries = [(&OVERWRITTEN, &late), (&REMOVED, &late)];
    let (written, loaded) = tokio::join!(stage.ours.keys.put_many(entries), async {
        eventually_async(SOON, "the put is held", || async { held.held_requests() > 0 }).await;
        let put = held.held_requests();
        finish.send(()).unwrap();
        let loaded = loading.await.unwrap();
        assert!(held.held_requests() > put, "so is the end of the load");
        loaded
    });
    assert_eq!((written.unwrap(), text(loaded)), (Written::Pending, late));
    reads_from_fallback(&stage.ours.keys, REMOVED, Some("late")).await;
    let _ = stage.ours.keys.remove(&50).await.unwrap();
    reads_from_fallback(&stage.ours.keys, 50, None).await;
    stage.write_in_the_outage().await;
    // No dial of ours waits behind it, to live on once it is released.
    stage.proxy.refuse_after_accept(true);
    held.cut_clients();
    stage.is_away().await;
    stage.old_values_are_in_redis();

    stage.proxy.set_upstream(stage.server.addr());
    stage.proxy.pass();
    stage.nobody_reads_old_values().await;
    assert_eq!(value(&stage.ours.keys, 50).await, None);
    held.release();
    eventually(SOON, "what was held has gone", || held.held_requests() == 0 && held.open() == 0);
    stage.nobody_reads_old_values().await;
    assert_eq!(value(&stage.theirs.keys, 50).await, None, "a load that was removed in the outage");
    stage.the_untouched_is_read().await;
}

fn fence(stage: &Stage, key: u64) -> String {
    format!("{}:fill", stage.ours.keys.name(&key))
}

/// Everything that was there is of no value on another server; whoever comes first makes one generation for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_starts_with_nothing_valid_and_gets_one_generation_for_all_processes() {
    let stage = Stage::on(Server::builder().persistent().start()).await;
    stage.server.restart();
    stage.old_values_are_in_redis();
    let caches = [&stage.ours, &stage.theirs, &stage.listening, &Caches::fresh(&stage.server)];
    for caches in caches {
        eventually_async(SOON, "it reaches the server", || async {
            caches.keys.get(&UNTOUCHED).await.unwrap().tier() == Tier::L2
        })
        .await;
        caches.reads_nothing("a process").await;
        assert_eq!(value(&caches.keys, UNTOUCHED).await, None);
    }
    let late = Caches::fresh(&stage.server);
    let source = Source::default();
    let writes = caches.into_iter().chain([&late]).zip(200..).map(|(caches, key)| {
        let (keys, source) = (caches.keys.clone(), source.clone());
        tokio::spawn(async move {
            let own = key.to_string();
            assert_eq!(keys.put(&(key + 100), &own).await.unwrap(), Written::Applied);
            assert_eq!(text(keys.get_or_load(&key, source.load(&own)).await), own);
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    for caches in caches.into_iter().chain([&late, &Caches::fresh(&stage.server)]) {
        for key in (200..205).chain(300..305) {
            assert!(value(&caches.keys, key).await.is_some(), "one generation, and {key} is of it");
        }
    }
}

/// Its first call may be one that needs the generation, before it has heard from any server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_with_a_put_takes_the_generation_that_is_there() {
    let server = Server::start();
    let first = Caches::fresh(&server);
    first.seed("old").await;
    let generation = || server.observer().get::<String>(&["GET", "keys:1:{:v}"]);
    let before = generation();
    for n in 100..105 {
        let starting = Caches::fresh(&server);
        let _ = starting.keys.put(&n, &"mine".to_owned()).await.unwrap();
        assert_eq!(generation(), before);
        assert_eq!(value(&first.keys, n).await.as_deref(), Some("mine"));
    }
    assert!(first.reads_everything("old").await);
}
