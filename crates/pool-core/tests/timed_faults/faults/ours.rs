//! What a process does to its own pool.

use std::thread;
use std::time::Instant;

use cenote_testkit::Proxy;
use tokio::runtime::{Builder, Handle};

use crate::ms;
use crate::reach::Reach;
use crate::scene::Scene;
use crate::stage::Way;

pub(super) async fn runtime_dropped(reach: Reach) {
    let doomed = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let scene = Scene::of("runtime dropped", reach).by(Way::Proxy).calling_in(doomed.handle());
    scene
        .play(async move |stage| {
            stage.proxies(Proxy::stall_replies);
            stage.all_stuck().await;
            thread::spawn(move || drop(doomed)).join().unwrap();
            stage.proxies(Proxy::pass);
            tokio::time::sleep(ms(300)).await;
            for seat in &stage.seats {
                seat.use_runtime(&Handle::current());
            }
            Instant::now()
        })
        .await;
}

pub(super) async fn close(reach: Reach) {
    let scene = Scene::of("close", reach).by(Way::Proxy);
    scene
        .play(async |stage| {
            stage.proxies(Proxy::stall_replies);
            stage.all_stuck().await;
            let closing: Vec<_> = stage
                .seats
                .iter()
                .map(|seat| {
                    let pool = seat.pool();
                    tokio::spawn(async move { pool.close().await })
                })
                .collect();
            tokio::time::sleep(ms(50)).await;
            stage.proxies(Proxy::pass);
            for closed in closing {
                let report = closed.await.unwrap();
                assert_eq!((report.cut_connections, report.cut_calls), (0, 0), "{report:?}");
            }
            tokio::time::sleep(ms(300)).await;
            stage.renew_pools();
            Instant::now()
        })
        .await;
}

pub(super) async fn slow_consumer(reach: Reach) {
    let scene = Scene::of("slow consumer", reach).queueing(50);
    scene
        .play(async |stage| {
            stage.seats.iter().for_each(|seat| seat.set_lazy(true));
            tokio::time::sleep(ms(1_500)).await;
            stage.seats.iter().for_each(|seat| seat.set_lazy(false));
            // There are two listeners, and each is told that it lagged: also when the other reads again already.
            tokio::time::sleep(ms(100)).await;
            Instant::now()
        })
        .await;
}
