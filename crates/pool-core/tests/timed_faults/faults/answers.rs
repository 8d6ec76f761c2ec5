//! A server that answers, but not what was asked for.

use std::time::Instant;

use cenote_testkit::{Server, eventually};

use crate::ms;
use crate::scene::{Scene, last};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_change() {
    Scene::of("role change")
        .play(async |stage| {
            stage.observer.get::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
            last(ms(800)).await;
            stage.observer.get::<()>(&["REPLICAOF", "NO", "ONE"]);
            Instant::now()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy() {
    let scene = Scene::of("busy").server(Server::builder().arg("lua-time-limit", "50"));
    scene
        .play(async |stage| {
            let script = stage.server.observer();
            std::thread::scope(|scope| {
                scope.spawn(move || script.command(&["EVAL", "while true do end", "0"]));
                std::thread::sleep(ms(800));
                eventually(ms(5_000), "the script is ended", || {
                    stage.observer.command(&["SCRIPT", "KILL"]).is_ok()
                });
            });
            Instant::now()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory() {
    Scene::of("out of memory")
        .play(async |stage| {
            stage.observer.get::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
            last(ms(800)).await;
            stage.observer.get::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
            Instant::now()
        })
        .await;
}
