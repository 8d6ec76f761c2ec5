//! What limiters count, and that a recorder of metrics hears of it.

mod common;

use cenote_pool_core::Pool;
use cenote_ratelimit::{ConcurrencyLimiter, OnOutage, Quota, RateLimiter};
use cenote_testkit::{Server, dead_port};
use common::{MINUTE, SOON, patient, pool};

fn holders(pool: &Pool, policy: OnOutage) -> ConcurrencyLimiter {
    let builder = ConcurrencyLimiter::builder(pool, "c", 2).nodes(2).on_outage(policy);
    builder.timeout(SOON).lifetime(MINUTE).build().unwrap()
}

#[tokio::test]
async fn a_limiter_of_holders_counts_each_look_by_who_answered_and_what_is_out() {
    let server = Server::start();
    let limiter = holders(&pool(server.url()), OnOutage::Fallback);
    let (one, _two) = (limiter.try_acquire("a").await.unwrap(), limiter.try_acquire("a").await.unwrap());
    limiter.try_acquire("a").await.unwrap_err();
    let _other = limiter.try_acquire("b").await.unwrap();
    let stats = limiter.stats();
    assert_eq!((stats.redis_granted, stats.redis_full, stats.out), (3, 1, 3));
    drop(one);
    assert_eq!((limiter.stats().redis_granted, limiter.stats().out), (3, 2));

    let away = pool(format!("redis://{}", dead_port()));
    let [share, open, closed] =
        [OnOutage::Fallback, OnOutage::Open, OnOutage::Closed].map(|policy| holders(&away, policy));
    let _held = share.try_acquire("a").await.unwrap();
    share.try_acquire("a").await.unwrap_err();
    let _all = (open.try_acquire("a").await.unwrap(), open.try_acquire("a").await.unwrap());
    closed.try_acquire("a").await.unwrap_err();
    let stats = share.stats();
    assert_eq!((stats.fallback_granted, stats.fallback_full, stats.failures, stats.out), (1, 1, 2, 1));
    assert_eq!((open.stats().open, open.stats().out, closed.stats().closed), (2, 2, 1));
    assert_eq!((stats.redis_granted, stats.redis_full, stats.misses, stats.lost), (0, 0, 0, 0));
}

#[cfg(feature = "metrics")]
mod recorder {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// Remembers counters by their name and labels.
    #[derive(Default)]
    struct Ear(Mutex<HashMap<String, Arc<AtomicU64>>>);

    impl Ear {
        fn heard(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
            self.0.lock().unwrap()[&text(name, labels)].load(Ordering::Relaxed)
        }
    }

    fn text(name: &str, labels: &[(&str, &str)]) -> String {
        let mut labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort();
        format!("{name} {}", labels.join(" "))
    }

    impl Recorder for Ear {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
            let count = self.0.lock().unwrap().entry(text(key.name(), &labels)).or_default().clone();
            Counter::from_arc(count)
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test]
    async fn a_recorder_hears_what_stats_tell() {
        let server = Server::start();
        let pool = pool(server.url());
        let ear = Ear::default();
        // The recorder that is there when a limiter is built hears of it from then on.
        let build = || {
            let limiter: RateLimiter =
                patient(&pool, "api").quota(Quota::per_hour(2)).block_keys(0).build().unwrap();
            (limiter, holders(&pool, OnOutage::Fallback))
        };
        let (limiter, holders) = ::metrics::with_local_recorder(&ear, build);
        for _ in 0..5 {
            limiter.check("a").await.unwrap();
        }
        let _held = (holders.try_acquire("a").await.unwrap(), holders.try_acquire("a").await.unwrap());
        holders.try_acquire("a").await.unwrap_err();

        let stats = limiter.stats();
        assert_eq!((stats.redis_allowed, stats.redis_refused), (2, 3));
        let heard = |name, limiter, outcome| {
            ear.heard(name, &[("limiter", limiter), ("source", "redis"), ("outcome", outcome)])
        };
        assert_eq!(heard("cenote_ratelimit_decisions_total", "api", "allowed"), 2);
        assert_eq!(heard("cenote_ratelimit_decisions_total", "api", "refused"), 3);
        assert_eq!(ear.heard("cenote_ratelimit_misses_total", &[("limiter", "api")]), 0);
        assert_eq!(heard("cenote_concurrency_looks_total", "c", "granted"), 2);
        assert_eq!(heard("cenote_concurrency_looks_total", "c", "full"), 1);
    }
}
