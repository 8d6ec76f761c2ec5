//! What the feature `pubsub-progress` brings is there under the facade's names, and works without any Redis.
#![cfg(all(feature = "pubsub-progress", feature = "fallback-lru"))]

use cenote::progress::{self, Delivery, Event};
use cenote::{FallbackLru, JobHandle, Pool, Progress, ProgressBuilder, Watch};

#[tokio::test]
async fn a_job_and_its_watcher_in_one_process_without_redis() {
    let pool = Pool::embedded(FallbackLru::default());
    let builder: ProgressBuilder = Progress::builder(&pool);
    let progress = builder.build().unwrap();
    let job: JobHandle = progress.start("import").await.unwrap();
    let mut watch: Watch = progress.watch("import").await.unwrap();
    job.total(4);
    job.inc(3);
    job.log("a line");
    assert_eq!(progress.cancel("import").await.unwrap(), progress::Cancel::Acknowledged);
    assert!(job.is_cancelled());
    assert_eq!(job.finish(7).await.unwrap(), Delivery::Confirmed);
    let (mut names, mut lines) = (Vec::new(), 0);
    while let Some(event) = watch.next().await {
        lines += usize::from(matches!(event, Event::Log { .. }));
        names.push(event.name());
    }
    assert_eq!((names.first(), names.last(), lines), (Some(&"snapshot"), Some(&"finished"), 1), "{names:?}");
    assert_eq!(progress.cancel("import").await.unwrap(), progress::Cancel::AlreadyFinished);
    assert_eq!(progress.cancel("another").await.unwrap(), progress::Cancel::NotFound);
    let listed = progress.list(9).await.unwrap();
    assert_eq!((listed.len(), listed[0].fraction, listed[0].degraded), (1, Some(0.75), false));
    assert!(progress.snapshot("another").await.unwrap().is_none());
    pool.close().await;
}
