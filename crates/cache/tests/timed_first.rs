//! How long the first caller in an outage waits. Wall-clock bounds: run alone, not beside other tests.

mod common;

use std::time::{Duration, Instant};

use cenote_testkit::Server;
use common::{Source, builder, text, texts};

const DEGRADE_AFTER: Duration = Duration::from_millis(250);

/// The fastest of three, as a busy machine slows some and a second wait would slow all.
async fn first_in_an_outage(many: bool) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let server = Server::start();
        let pool = builder(server.url()).degrade_after(DEGRADE_AFTER).build().unwrap();
        let cache = texts(&pool, "t").build().unwrap();
        let source = Source::default();
        assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
        server.freeze();
        let began = Instant::now();
        if many {
            let load = |keys: Vec<u64>| async move {
                Ok::<_, std::io::Error>(keys.into_iter().map(|key| (key, key.to_string())).collect())
            };
            assert_eq!(cache.get_or_load_many(&[2, 3], load).await.unwrap().len(), 2);
        } else {
            assert_eq!(text(cache.get_or_load(&2, source.load("two")).await), "two");
        }
        fastest = fastest.min(began.elapsed());
    }
    fastest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_falls_silent_is_waited_for_once_and_not_again_by_the_load() {
    for many in [false, true] {
        let took = first_in_an_outage(many).await;
        println!("many: {many}, {took:?}");
        assert!(took < DEGRADE_AFTER * 3 / 2, "many: {many}, {took:?}");
    }
}
