//! Jobs and their watchers, while nothing goes wrong.

mod common;

use cenote_pubsub_progress::{Cancel, Delivery, Event, Level, Status};
use cenote_testkit::{Server, within};
use common::{SOON, next, progress, to_the_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_in_another_process_sees_state_log_and_end() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let mut watch = within(SOON, there.watch("import 42/{a}")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Pending { .. }));

    let job = within(SOON, here.start("import 42/{a}").into_future()).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    job.total(10);
    job.set(4);
    job.message("reading");
    job.phase("read");
    job.log("one line");
    job.warn("beware");
    let sub = job.child("part");
    sub.weight(2.0).unit("bytes").total(100).set(50);
    assert_eq!(within(SOON, job.finish("the result")).await.unwrap(), Delivery::Confirmed);
    assert_eq!(within(SOON, job.finish("another")).await.unwrap(), Delivery::Confirmed, "again is the same");

    let events = to_the_end(&mut watch).await;
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Log { line, .. } => Some((line.level, line.text.to_string())),
            _ => None,
        })
        .collect();
    let line = |level, text: &str| (level, text.to_owned());
    assert_eq!(
        lines,
        [line(Level::Phase, "read"), line(Level::Info, "one line"), line(Level::Warning, "beware")]
    );
    let last = events.last().unwrap().snapshot().unwrap();
    assert_eq!((last.done, last.total, last.status), (4, Some(10), Status::Finished));
    assert_eq!(last.message.as_deref(), Some("reading"));
    assert_eq!(last.result, Some("the result".into()));
    assert_eq!((last.children.len(), last.fraction, last.attempt), (1, Some(0.5), 1));
    assert_eq!(within(SOON, watch.next()).await.map(|event| event.name()), None, "over is over");

    let late = to_the_end(&mut within(SOON, there.watch("import 42/{a}")).await.unwrap()).await;
    assert!(
        matches!(late[..], [Event::Snapshot { .. }, Event::Log { .. }, .., Event::Finished { .. }]),
        "{late:?}"
    );
    let listed = within(SOON, there.list(10)).await.unwrap();
    assert_eq!(listed.iter().map(|job| &*job.job).collect::<Vec<_>>(), ["import 42/{a}"]);
    let read = within(SOON, there.snapshot("import 42/{a}")).await.unwrap().unwrap();
    assert_eq!((read.position, &read.result), (listed[0].position, &listed[0].result));
    assert_eq!(read.position, job.position());
    assert_eq!(within(SOON, there.cancel("import 42/{a}")).await.unwrap(), Cancel::AlreadyFinished);
    assert_eq!(within(SOON, there.cancel("nobody's")).await.unwrap(), Cancel::NotFound);
}
