//! Headers, refusals and what stands in them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response as Answer;
use cenote_ratelimit::tower::{Header, KeyError, RateLimitLayer, from_fn};
use cenote_ratelimit::{Decision, OnOutage, Quota, RateLimiter, RateLimiterBuilder};
use cenote_testkit::{Log, Server, dead_port, eventually_async};
use serde_json::json;

use crate::common::{SOON, limiter, patient, pool};
use crate::http::{Response, get_from, get_root, limited, peer, routes, serve};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

fn told(response: &Response) -> (u16, &str, &str, &str) {
    let header = |name| response.header(name);
    (response.status, header("ratelimit-policy"), header("ratelimit"), header("retry-after"))
}

/// By a clock that stands still.
fn still(builder: RateLimiterBuilder) -> RateLimiterBuilder {
    builder.injected_time(Arc::new(AtomicU64::new(1_764_000_000_000_000))).block_keys(0)
}

fn away(name: &str, on_outage: OnOutage) -> RateLimiterBuilder {
    let pool = pool(format!("redis://{}", dead_port()));
    RateLimiter::builder(&pool, name).timeout(SOON).on_outage(on_outage).quota(Quota::per_minute(100))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_is_told_of_and_what_is_left_of_it() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = still(patient(&pool, "api"))
        .policy("burst", Quota::per_minute(100))
        .policy("day", Quota::per_day(1_000_000).burst(3))
        .policy("quick", Quota::per_second(1_000).burst(10))
        .policy("odd", Quota::new(3, Duration::from_millis(2_500)))
        .build()
        .unwrap();
    let addr = limited(RateLimitLayer::new(limiter, peer())).await;
    let policies = r#""burst";q=100;w=60, "day";q=11;w=1, "quick";q=1000;w=1, "odd";q=3;w=3"#;
    for limits in [
        r#""burst";r=99;t=1, "day";r=2;t=1, "quick";r=9;t=1, "odd";r=2;t=1"#,
        r#""burst";r=98;t=1, "day";r=1;t=1, "quick";r=8;t=1, "odd";r=1;t=1"#,
    ] {
        assert_eq!(told(&get_root(addr).await), (200, policies, limits, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_policies_that_refuse_and_takes_nothing_of_the_others() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = still(patient(&pool, "api"))
        .policy("day", Quota::per_day(2))
        .policy("hour", Quota::per_hour(2))
        .policy("month", Quota::per_month(30))
        .build()
        .unwrap();
    let addr = limited(RateLimitLayer::new(limiter, peer())).await;
    let policies = r#""day";q=2;w=86400, "hour";q=2;w=3600, "month";q=30;w=2592000"#;
    let limits = |day, hour, month| format!(r#""day";{day}, "hour";{hour}, "month";{month}"#);
    let first = limits("r=1;t=43200", "r=1;t=1800", "r=29;t=86400");
    let last = limits("r=0;t=43200", "r=0;t=1800", "r=28;t=86400");
    assert_eq!(told(&get_root(addr).await), (200, policies, first.as_str(), ""));
    assert_eq!(told(&get_root(addr).await), (200, policies, last.as_str(), ""));
    for _ in 0..2 {
        let refused = get_root(addr).await;
        assert_eq!(told(&refused), (429, policies, last.as_str(), "43200"), "the longest of the two");
        assert_eq!(
            refused.json(),
            json!({
                "type": QUOTA_EXCEEDED,
                "title": "Request cannot be satisfied as assigned quota has been exceeded",
                "status": 429,
                "violated-policies": ["day", "hour"],
            })
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_from_memory_says_as_much() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = limiter(&pool, "api", Quota::per_hour(1));
    let addr = limited(RateLimitLayer::new(limiter.clone(), peer())).await;
    assert_eq!(get_root(addr).await.body, "Redis");
    for _ in 0..3 {
        let refused = get_root(addr).await;
        let wait = refused.retry_after().to_string();
        let limit = format!(r#""default";r=0;t={wait}"#);
        assert_eq!(told(&refused), (429, r#""default";q=1;w=3600"#, limit.as_str(), wait.as_str()));
        assert!(wait.starts_with('3') && wait.len() == 4, "nearly an hour: {wait}");
        assert_eq!(refused.json()["violated-policies"], json!(["default"]));
    }
    assert!(limiter.stats().blocked_locally > 0, "{:?}", limiter.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_from_memory_tells_of_all_policies_and_what_is_left_only_of_those_it_knows() {
    let server = Server::start();
    let limiter = patient(&pool(server.url()), "api")
        .policy("month", Quota::per_month(30))
        .policy("hour", Quota::per_hour(1))
        .policy("minute", Quota::per_minute(100))
        .policy("day", Quota::per_day(1))
        .build()
        .unwrap();
    let addr = limited(RateLimitLayer::new(limiter.clone(), peer())).await;
    assert_eq!(get_root(addr).await.body, "Redis");
    // Redis is asked once a second or so.
    eventually_async(SOON, "one from memory", || async {
        let before = limiter.stats().blocked_locally;
        let refused = get_root(addr).await;
        let policies = r#""month";q=30;w=2592000, "hour";q=1;w=3600, "minute";q=100;w=60, "day";q=1;w=86400"#;
        assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, policies));
        assert_eq!(refused.json()["violated-policies"], json!(["hour", "day"]), "all that refuse");
        assert!(refused.retry_after() > 80_000, "the longest: {refused:?}");
        let limits = refused.header("ratelimit").to_owned();
        assert!(limits.contains(r#""hour";r=0;t=3"#) && limits.contains(r#""day";r=0;t=8"#), "{limits}");
        let from_memory = limiter.stats().blocked_locally > before;
        assert_eq!(limits.contains("month") || limits.contains("minute"), !from_memory, "{limits}");
        from_memory
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_closed_limiter_answers_503_and_says_when_to_come_again() {
    let addr = limited(RateLimitLayer::new(away("api", OnOutage::Closed).build().unwrap(), peer())).await;
    let refused = get_root(addr).await;
    let expected = (503, r#""default";q=100;w=60"#, r#""default";r=0;t=1"#, "1");
    assert_eq!(told(&refused), expected);
    assert_eq!(
        refused.json(),
        json!({
            "type": REDUCED,
            "title": "Request cannot be satisfied due to temporary server capacity constraints",
            "status": 503,
            "violated-policies": ["default"],
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_an_open_limiter_makes_up_no_number_and_a_governed_one_tells_its_share() {
    let addr = limited(RateLimitLayer::new(away("open", OnOutage::Open).build().unwrap(), peer())).await;
    let open = get_root(addr).await;
    assert_eq!((told(&open), open.body.as_str()), ((200, r#""default";q=100;w=60"#, "", ""), "Open"));

    let governed = away("governed", OnOutage::Fallback).nodes(50).build().unwrap();
    let addr = limited(RateLimitLayer::new(governed, peer())).await;
    let first = get_root(addr).await;
    let expected = (200, r#""default";q=100;w=60"#, r#""default";r=1;t=30"#, "");
    assert_eq!((told(&first), first.body.as_str()), (expected, "Fallback"));
    assert_eq!(get_root(addr).await.status, 200);
    let refused = get_root(addr).await;
    let wait = refused.retry_after();
    assert_eq!(refused.status, 429);
    assert!((1..=30).contains(&wait), "{refused:?}");
    assert_eq!(refused.header("ratelimit"), format!(r#""default";r=0;t={wait}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_mode_all_go_on_and_the_headers_tell_what_would_be() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = still(patient(&pool, "api")).quota(Quota::per_hour(1)).shadow(true).build().unwrap();
    let addr = limited(RateLimitLayer::new(limiter.clone(), peer())).await;
    for _ in 0..3 {
        let response = get_root(addr).await;
        assert_eq!(told(&response), (200, r#""default";q=1;w=3600"#, r#""default";r=0;t=3600"#, ""));
        assert_eq!(response.body, "Redis");
    }
    assert_eq!(limiter.stats().shadowed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_layers_each_tell_their_own() {
    let server = Server::start();
    let pool = pool(server.url());
    let one = still(patient(&pool, "one")).policy("addr", Quota::per_minute(60)).build().unwrap();
    let other = still(patient(&pool, "other")).policy("user", Quota::per_minute(30)).build().unwrap();
    let user = Header::new("x-user".parse().unwrap());
    let routes = routes().layer(RateLimitLayer::new(other, user)).layer(RateLimitLayer::new(one, peer()));
    let addr = serve(routes).await;
    let response = get_from(addr, "/", &[("x-user", b"ada")]).await;
    assert_eq!(response.headers("ratelimit-policy"), [r#""user";q=30;w=60"#, r#""addr";q=60;w=60"#]);
    assert_eq!(response.headers("ratelimit"), [r#""user";r=29;t=2"#, r#""addr";r=59;t=1"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_limited_is_answered_with_500_and_logged_and_what_has_no_key_with_its_status() {
    let log = Log::capture();
    let server = Server::start();
    let pool = pool(server.url());
    let impossible = |policy: &str, _: &str| (policy == "default").then(|| Quota::per_second(0));
    let limiter = patient(&pool, "api").quota(Quota::per_hour(1)).resolver(impossible).build().unwrap();
    let server_error = json!({ "type": "about:blank", "title": "Internal Server Error", "status": 500 });

    let failed = get_root(limited(RateLimitLayer::new(limiter.clone(), peer())).await).await;
    assert_eq!((told(&failed), failed.json()), ((500, "", "", ""), server_error.clone()));
    assert!(log.text().contains("count and burst must be at least 1"), "{}", log.text());

    let unknown = from_fn(|_| async { Err(KeyError::setup("the table of tenants is empty")) });
    let failed = get_root(limited(RateLimitLayer::new(limiter.clone(), unknown)).await).await;
    assert_eq!((told(&failed), failed.json()), ((500, "", "", ""), server_error));
    assert!(log.text().contains("the table of tenants is empty"), "{}", log.text());

    let nobody = from_fn(|_| async { Err(KeyError::new(StatusCode::UNAUTHORIZED, "Log in \"first\".")) });
    let failed = get_root(limited(RateLimitLayer::new(limiter.clone(), nobody)).await).await;
    let unauthorized = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Log in \"first\".",
    });
    assert_eq!((failed.status, failed.json()), (401, unauthorized));

    let fine = from_fn(|_| async { Err(KeyError::new(StatusCode::OK, "that is no error")) });
    assert_eq!(get_root(limited(RateLimitLayer::new(limiter, fine)).await).await.status, 500);
    assert_eq!(server.observer().calls("evalsha"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_is_in_the_response_to_what_is_refused() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = limiter(&pool, "api", Quota::per_hour(1));
    let mark = |decision: Option<Extension<Decision>>, mut response: Answer| async move {
        assert!(decision.is_none(), "the request has been answered");
        if let Some(decision) = response.extensions().get::<Decision>() {
            let left = decision.remaining.to_string().parse().unwrap();
            response.headers_mut().insert("x-left", left);
        }
        response
    };
    let mark = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| async move {
            let before = request.extensions().get::<Decision>().cloned().map(Extension);
            mark(before, next.run(request).await).await
        },
    );
    let addr = serve(routes().layer(RateLimitLayer::new(limiter, peer())).layer(mark)).await;
    assert_eq!(get_root(addr).await.header("x-left"), "");
    assert_eq!(get_root(addr).await.header("x-left"), "0");
}
