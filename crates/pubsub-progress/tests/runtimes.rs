//! One handle, any runtime: what one runtime began another goes on with.

mod common;

use cenote_pubsub_progress::{Delivery, Event};
use cenote_testkit::{Server, Watchdog, within};
use common::{MINUTE, SOON, next, progress, to_the_end};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_job_and_a_watch_go_on_in_the_next_runtime_after_theirs_has_ended() {
    let _watchdog = Watchdog::new(MINUTE);
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let first = runtime();
    let (job, mut watch) = first.block_on(async {
        let job = within(SOON, here.start("job").into_future()).await.unwrap();
        let mut watch = within(SOON, there.watch("job")).await.unwrap();
        assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
        // Some of it is on its way when the runtime ends.
        (0..100).for_each(|n| job.log(&n.to_string()));
        (job, watch)
    });
    drop(first);
    job.log("between runtimes");
    runtime().block_on(async {
        job.set(7);
        let ended = within(SOON, job.finish("done")).await.unwrap();
        assert_eq!(ended, Delivery::Confirmed);
        let events = to_the_end(&mut watch).await;
        let lines = events.iter().filter(|event| matches!(event, Event::Log { .. })).count();
        assert_eq!(lines, 101, "none is lost");
        assert_eq!(events.last().unwrap().snapshot().unwrap().done, 7);
        assert_eq!(here.list(9).await.unwrap().len(), 1);
    });
}

#[test]
fn making_and_asking_outside_any_runtime_is_no_panic() {
    let server = Server::start();
    let progress = progress(server.url());
    let start = futures_util::FutureExt::now_or_never(progress.start("job").into_future());
    assert!(start.is_none_or(|start| start.is_err()));
    assert_eq!(server.observer().calls("evalsha"), 0);
}
