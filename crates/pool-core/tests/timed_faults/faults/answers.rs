//! A server that answers, but not what was asked for.

use std::time::Instant;

use cenote_testkit::{Server, eventually};

use crate::ms;
use crate::reach::Reach;
use crate::scene::{Scene, last};

pub(super) async fn role_change(reach: Reach) {
    Scene::of("role change", reach)
        .play(async |stage| {
            stage.observer.get::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
            last(ms(800)).await;
            stage.observer.get::<()>(&["REPLICAOF", "NO", "ONE"]);
            Instant::now()
        })
        .await;
}

pub(super) async fn busy(reach: Reach) {
    let scene = Scene::of("busy", reach).server(Server::builder().arg("lua-time-limit", "50"));
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

pub(super) async fn out_of_memory(reach: Reach) {
    Scene::of("out of memory", reach)
        .play(async |stage| {
            stage.observer.get::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
            last(ms(800)).await;
            stage.observer.get::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
            Instant::now()
        })
        .await;
}
