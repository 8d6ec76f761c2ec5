//! Faults of the server's process.

use std::thread;
use std::time::Instant;

use cenote_testkit::{Server, eventually};

use crate::ms;
use crate::reach::Reach;
use crate::scene::{Scene, last};

pub(super) async fn kill(reach: Reach) {
    let scene = Scene::of("kill", reach).server(Server::builder().persistent());
    scene
        .play(async |stage| {
            stage.server.freeze();
            stage.all_stuck().await;
            stage.server.kill();
            last(ms(800)).await;
            stage.server.restart()
        })
        .await;
}

pub(super) async fn restart(reach: Reach) {
    let scene = Scene::of("restart", reach).server(Server::builder().persistent());
    scene
        .play(async |stage| {
            stage.server.freeze();
            stage.all_stuck().await;
            stage.server.restart()
        })
        .await;
}

pub(super) async fn freeze(reach: Reach) {
    Scene::of("freeze", reach)
        .play(async |stage| {
            stage.server.freeze();
            last(ms(2_000)).await;
            stage.server.thaw();
            Instant::now()
        })
        .await;
}

fn is_loading(server: &Server) -> bool {
    server.observer().command(&["GET", "fill:1"]).is_err_and(|error| error.code() == Some("LOADING"))
}

pub(super) async fn loading(reach: Reach) {
    // Each key of the dump takes a quarter of a millisecond to load, and clients are heard every few keys.
    let slow =
        Server::builder().arg("key-load-delay", "200").arg("loading-process-events-interval-bytes", "1024");
    let scene = Scene::of("loading", reach).server(slow);
    scene
        .play(async |stage| {
            let fill = "for n = 1, 5000 do redis.call('SET', 'fill:' .. n, string.rep('x', 64)) end";
            stage.observer.get::<()>(&["EVAL", fill, "0"]);
            // It ends without an answer.
            let _ = stage.observer.command(&["SHUTDOWN", "SAVE"]);
            thread::scope(|scope| {
                let restarted = scope.spawn(|| stage.server.restart());
                eventually(ms(5_000), "it loads its data", || is_loading(&stage.server));
                restarted.join().unwrap();
            });
            Instant::now()
        })
        .await;
}
