//! The log is captured from every thread, at every level.

use std::thread;

use cenote_testkit::Log;

#[test]
fn events_spans_and_fields_of_all_threads_are_captured() {
    tracing::info!("before anyone listened");
    let log = Log::capture();
    let error = std::io::Error::other("the \"cause\"");
    thread::spawn(|| {
        let span = tracing::trace_span!("work", key = "s3\"cret", late = tracing::field::Empty);
        let _entered = span.enter();
        span.record("late", "arrival");
        tracing::trace!(number = 7, "deep inside");
    })
    .join()
    .unwrap();
    tracing::warn!(error = &error as &dyn std::error::Error, detail = ?Some("x"), "at the surface");

    let text = log.text();
    for wanted in [
        "work key=s3\"cret",
        "late=arrival",
        "number=7",
        "deep inside",
        "the \"cause\"",
        "Some(\"x\")",
        "WARN",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    assert!(!text.contains("before anyone"));

    let second = Log::capture();
    drop(log);
    tracing::debug!("afterwards");
    assert_eq!(second.text().lines().count(), 1);
}
