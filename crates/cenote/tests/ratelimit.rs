//! The rate limiter by the names that the facade gives it, without a Redis.
#![cfg(all(feature = "ratelimit", feature = "fallback-lru"))]

use cenote::{
    Charge, Decision, FallbackLru, OnOutage, Pool, Quota, RateLimiter, RateLimiterBuilder, ratelimit,
};

#[tokio::test]
async fn a_limiter_is_made_and_used_by_the_names_of_the_facade_alone() {
    let pool = Pool::embedded(FallbackLru::default());
    let builder: RateLimiterBuilder = RateLimiter::builder(&pool, "search");
    let limiter = builder.quota(Quota::per_hour(2)).on_outage(OnOutage::Fallback).build().unwrap();
    let decision: Decision = limiter.check("user:42").await.unwrap();
    assert_eq!(
        (decision.allowed, decision.remaining, decision.source),
        (true, 1, ratelimit::Source::Fallback)
    );
    let decision = limiter.check_all(&[Charge::new("default", "user:42").cost(2)]).await.unwrap();
    assert!(!decision.allowed);
    let error: ratelimit::Error = limiter.check_n("user:42", 3).await.unwrap_err();
    assert!(matches!(error, ratelimit::Error::Cost(_)), "{error}");
    let stats: ratelimit::Stats = limiter.stats();
    assert_eq!((stats.fallback_allowed, stats.fallback_refused), (1, 1));
}
