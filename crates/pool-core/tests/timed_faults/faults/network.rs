//! Faults between the pool and a server that is well.

use std::time::Instant;

use cenote_testkit::Proxy;

use crate::reach::Reach;
use crate::scene::{Scene, last};
use crate::stage::Way;
use crate::{SOCKET_TIMEOUT, ms};

pub(super) async fn refused(reach: Reach) {
    let scene = Scene::of("refused", reach).before_the_server();
    scene
        .play(async |stage| {
            last(ms(800)).await;
            stage.server.restart()
        })
        .await;
}

pub(super) async fn accepted_then_closed(reach: Reach) {
    let scene = Scene::of("accepted, then closed", reach).by(Way::Proxy);
    scene
        .play(async |stage| {
            stage.proxies(Proxy::stall_replies);
            stage.all_stuck().await;
            stage.proxies(|proxy| {
                proxy.refuse_after_accept(true);
                proxy.cut();
            });
            last(ms(800)).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}

pub(super) async fn blackhole(reach: Reach) {
    // An attempt to connect that was lost in the hole has half a second before the next one.
    let scene = Scene::of("blackhole", reach).by(Way::Proxy).recovering_later_by(ms(500));
    scene
        .play(async |stage| {
            stage.proxies(|proxy| proxy.blackhole(true));
            last(ms(2_000)).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}

pub(super) async fn half_open(reach: Reach) {
    let scene = Scene::of("half-open", reach).by(Way::TwoProxies);
    scene
        .play(async |stage| {
            stage.second_proxies(|proxy| proxy.blackhole(true));
            let server = stage.port();
            stage.proxies(|proxy| proxy.set_upstream(server));
            // Nothing ends this fault but the pools' own patience.
            tokio::time::sleep_until((stage.struck + SOCKET_TIMEOUT).into()).await;
            stage.struck + SOCKET_TIMEOUT
        })
        .await;
}

pub(super) async fn reset_mid_reply(reach: Reach) {
    let scene = Scene::of("reset mid-reply", reach).by(Way::Proxy);
    scene
        .play(async |stage| {
            stage.until_seen(ms(50), || stage.proxies(Proxy::cut_next_reply)).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}

pub(super) async fn truncated_reply(reach: Reach) {
    let scene = Scene::of("truncated reply", reach).by(Way::Proxy);
    scene
        .play(async |stage| {
            let mut bytes = 0;
            let truncate = || {
                bytes = (bytes + 1) % 50;
                stage.proxies(|proxy| proxy.truncate_reply_after(bytes));
            };
            stage.until_seen(ms(50), truncate).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}

pub(super) async fn latency(reach: Reach) {
    let scene = Scene::of("latency", reach).by(Way::Proxy);
    scene
        .play(async |stage| {
            stage.proxies(|proxy| {
                proxy.delay_requests(ms(100));
                proxy.delay_replies(ms(100));
            });
            last(ms(1_000)).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}

pub(super) async fn one_byte_at_a_time(reach: Reach) {
    // More would be a test of the proxy.
    let scene = Scene::of("one byte at a time", reach).by(Way::Proxy).pausing(ms(40));
    scene
        .play(async |stage| {
            stage.proxies(|proxy| proxy.one_byte_at_a_time(true));
            last(ms(800)).await;
            stage.proxies(Proxy::pass);
            Instant::now()
        })
        .await;
}
