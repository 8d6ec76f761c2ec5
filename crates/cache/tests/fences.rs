//! What was written or removed during a load is never undone by it: a number for each key is the truth, loads read it
//! and take their time, changes are made after it has grown, and whoever reads after a change was acknowledged finds
//! nothing older.

mod common;
#[path = "common/rounds.rs"]
mod rounds;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cenote_cache::{Cache, Lookup};
use cenote_pool_core::Pool;
use cenote_testkit::{Server, eventually_async, is_long, seed, within};
use common::{MINUTE, SOON, patient};
use rounds::{Numbers, World, run};
use tokio::sync::Semaphore;

fn rounds(long: u64) -> u64 {
    if is_long() { long } else { long / 4 }
}

fn numbers(pool: &Pool) -> Numbers {
    Cache::builder(pool, "n").ttl(MINUTE).build().unwrap()
}

fn numbers_with_l1(pool: &Pool) -> Numbers {
    Cache::builder(pool, "n").ttl(MINUTE).l1(1_000, 1 << 20).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_undoes_a_change_of_its_own_process() {
    let server = Server::start();
    let pool = patient(server.url());
    let caches = vec![numbers(&pool), numbers(&pool)];
    run(World::new(caches, &pool), rounds(2_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_undoes_a_change_of_its_own_process_with_an_l1() {
    let server = Server::start();
    let pool = patient(server.url());
    run(World::new(vec![numbers_with_l1(&pool)], &pool), rounds(2_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_undoes_a_change_of_another_process() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    run(World::new(vec![numbers(&ours), numbers(&theirs)], &ours), rounds(3_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_undoes_a_change_of_another_process_once_l1_was_told() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    let caches = vec![numbers_with_l1(&ours), numbers_with_l1(&theirs)];
    run(World { told_later: true, ..World::new(caches, &ours) }, rounds(2_000)).await;
}

/// What Redis evicts under pressure, and what a person deletes by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_tags_and_fences_that_vanish_cost_loads_and_never_truth() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    let caches = vec![numbers(&ours), numbers_with_l1(&theirs)];
    let world = World { told_later: true, ..World::new(caches, &ours) };
    let over = Arc::new(AtomicBool::new(false));
    let vandal = std::thread::spawn({
        let (observer, over) = (server.observer(), over.clone());
        let mut rng = fastrand::Rng::with_seed(seed());
        move || {
            let mut deeds = 0;
            while !over.load(Ordering::SeqCst) {
                let fence = format!("n:1:{{{}}}:fill", rng.u64(..8));
                let words: &[&str] = match rng.u8(..20) {
                    0 => &["FLUSHALL"],
                    1..4 => &["DEL", "n:1:{:v}"],
                    4..10 => &["UNLINK", "n:1:{:v}:t"],
                    _ => &["DEL", &fence],
                };
                observer.get::<()>(words);
                deeds += 1;
                std::thread::sleep(std::time::Duration::from_micros(rng.u64(..5_000)));
            }
            deeds
        }
    });
    run(world, rounds(1_500)).await;
    over.store(true, Ordering::SeqCst);
    println!("{} times something vanished", vandal.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_was_forgotten_with_the_hash_of_tags_is_not_forgotten_by_the_next_hash() {
    let server = Server::start();
    let pool = patient(server.url());
    let cache = numbers(&pool);
    let _ = cache.put_tagged(&1, &1, &["ours"]).await.unwrap();
    let _ = cache.remove_tag("ours").await.unwrap();
    let _ = cache.put_tagged(&2, &2, &["later"]).await.unwrap();
    assert_eq!(server.observer().get::<u64>(&["DEL", "n:1:{:v}:t"]), 1);
    let _ = cache.remove_tag("other").await.unwrap();
    assert!(matches!(cache.get(&1).await.unwrap(), Lookup::Miss { .. }));
    assert!(matches!(cache.get(&2).await.unwrap(), Lookup::Hit(_)), "nothing that it has was removed since");
}

/// Of a removal of the one key, by contrast, a cache without an L1 cannot know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_after_a_clear_or_a_removal_by_tag_of_another_process_joins_no_load_from_before() {
    let server = Server::start();
    let (ours, theirs) = (numbers(&patient(server.url())), numbers(&patient(server.url())));
    for key in 0..10 {
        let gate = Arc::new(Semaphore::new(0));
        let (cache, held, loads) = (theirs.clone(), gate.clone(), theirs.stats().loads);
        let early = tokio::spawn(async move {
            let load = |_| async move {
                drop(held.acquire().await.unwrap());
                Ok::<_, Infallible>(Some(1))
            };
            cache.get_or_load(&key, load).await.unwrap()
        });
        eventually_async(SOON, "it loads", || async { theirs.stats().loads > loads }).await;
        let _ = if key % 2 == 0 { ours.clear().await } else { ours.remove_tag("any").await }.unwrap();
        let late = theirs.get_or_load(&key, |_| async { Ok::<_, Infallible>(Some(2)) });
        assert_eq!(*within(SOON, late).await.unwrap().unwrap(), 2);
        gate.add_permits(1);
        assert_eq!(*early.await.unwrap().unwrap(), 1);
        assert_eq!(**theirs.get(&key).await.unwrap().value().unwrap(), 2);
    }
}
