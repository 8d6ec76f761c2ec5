//! A server that turns on its clients.

use std::time::Instant;

use crate::ms;
use crate::reach::Reach;
use crate::scene::{Scene, last};
use crate::stage::Stage;

/// Those who listen are of a type of their own.
fn kill_everybody(stage: &Stage) {
    for kind in ["normal", "pubsub"] {
        stage.observer.get::<u64>(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
}

fn set(stage: &Stage, name: &str, value: &str) {
    stage.observer.get::<()>(&["CONFIG", "SET", name, value]);
}

/// Ends all connections, each with writes that the server has and does not execute.
async fn kill_all(stage: &Stage) {
    stage.observer.get::<()>(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    stage.writes_stuck().await;
    kill_everybody(stage);
    stage.observer.get::<()>(&["CLIENT", "UNPAUSE"]);
}

pub(super) async fn password_changed(reach: Reach) {
    Scene::of("password changed", reach)
        .play(async |stage| {
            set(stage, "requirepass", "another");
            kill_all(stage).await;
            last(ms(800)).await;
            set(stage, "requirepass", "");
            Instant::now()
        })
        .await;
}

pub(super) async fn too_many_clients(reach: Reach) {
    Scene::of("too many clients", reach)
        .play(async |stage| {
            set(stage, "maxclients", "1");
            kill_all(stage).await;
            last(ms(800)).await;
            set(stage, "maxclients", "1000");
            Instant::now()
        })
        .await;
}

pub(super) async fn client_kill(reach: Reach) {
    Scene::of("`CLIENT KILL`", reach)
        .play(async |stage| {
            kill_all(stage).await;
            for _ in 0..8 {
                kill_everybody(stage);
                // Time for every holder to find its connection gone.
                tokio::time::sleep(ms(60)).await;
            }
            Instant::now()
        })
        .await;
}

pub(super) async fn client_pause(reach: Reach) {
    Scene::of("`CLIENT PAUSE`", reach)
        .play(async |stage| {
            stage.observer.get::<()>(&["CLIENT", "PAUSE", "900", "ALL"]);
            // The observer is paused like everybody else.
            stage.observer.get::<()>(&["PING"]);
            Instant::now()
        })
        .await;
}

pub(super) async fn flushall(reach: Reach) {
    let scene = Scene::of("`FLUSHALL`", reach).destroying_data();
    scene
        .play(async |stage| {
            for _ in 0..5 {
                stage.observer.get::<()>(&["FLUSHALL"]);
                tokio::time::sleep(ms(100)).await;
            }
            Instant::now()
        })
        .await;
}
