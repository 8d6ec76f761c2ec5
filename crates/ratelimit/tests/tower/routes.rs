//! Quotas and costs by route.

use axum::extract::MatchedPath;
use cenote_ratelimit::tower::RateLimitLayer;
use cenote_ratelimit::{Charge, Quota};
use cenote_testkit::{Log, Server};

use crate::common::{patient, pool};
use crate::http::{get_from, limited, peer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_has_its_charges_and_one_without_any_is_not_counted() {
    let server = Server::start();
    let limiter = patient(&pool(server.url()), "api")
        .policy("all", Quota::per_hour(10))
        .policy("search", Quota::per_hour(2))
        .build()
        .unwrap();
    let layer = RateLimitLayer::new(limiter, peer()).charges(|request, key| {
        let path = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        match path {
            Some("/health") => vec![],
            Some("/search") => vec![Charge::new("all", key).cost(4), Charge::new("search", key)],
            // By route, and a quota of its own.
            Some(path @ "/items/{id}") => {
                vec![Charge::new("all", &format!("{path} {key}")).quota(Quota::per_hour(3))]
            }
            _ => vec![Charge::new("all", key)],
        }
    });
    let addr = limited(layer).await;
    let ask = |path: &'static str| get_from(addr, path, &[]);

    let uncounted = ask("/health").await;
    assert_eq!(
        (uncounted.status, uncounted.body.as_str(), uncounted.header("ratelimit")),
        (200, "nobody", "")
    );
    assert_eq!(server.observer().calls("evalsha"), 0);

    let limit = |text: &str| {
        text.split(", ").map(|item| item.split(";t=").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let search = ask("/search").await;
    assert_eq!(limit(search.header("ratelimit")), [r#""all";r=6"#, r#""search";r=1"#]);
    assert_eq!(search.header("ratelimit-policy"), r#""all";q=10;w=3600, "search";q=2;w=3600"#);
    assert_eq!(limit(ask("/").await.header("ratelimit")), [r#""all";r=5"#]);
    for left in ["2", "1", "0"] {
        let item = ask(if left == "1" { "/items/1" } else { "/items/2" }).await;
        assert_eq!(limit(item.header("ratelimit")), [format!(r#""all";r={left}"#)], "a subject of its own");
        assert_eq!(item.header("ratelimit-policy"), r#""all";q=3;w=3600"#);
    }
    assert_eq!(ask("/items/3").await.status, 429);
    assert_eq!(limit(ask("/search").await.header("ratelimit")), [r#""all";r=1"#, r#""search";r=0"#]);
    let refused = ask("/search").await;
    assert_eq!(
        (refused.status, &refused.json()["violated-policies"]),
        (429, &serde_json::json!(["all", "search"]))
    );
    assert_eq!(limit(ask("/").await.header("ratelimit")), [r#""all";r=0"#], "the refusal took nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_charged_for_two_subjects_is_told_of_where_it_is_tightest() {
    let server = Server::start();
    let limiter = patient(&pool(server.url()), "api").policy("p", Quota::per_hour(10)).build().unwrap();
    let layer = RateLimitLayer::new(limiter, peer()).charges(|request, key| {
        let path = request.uri.path();
        let both = vec![
            Charge::new("p", key).cost(3),
            Charge::new("p", "everybody").cost(if path == "/" { 1 } else { 5 }),
        ];
        both
    });
    let addr = limited(layer).await;
    let policy = r#""p";q=10;w=3600"#;
    for (path, status, limit) in
        [("/", 200, r#""p";r=7;t=360"#), ("/search", 200, r#""p";r=4;t="#), ("/search", 429, r#""p";r=4;t="#)]
    {
        let response = get_from(addr, path, &[]).await;
        assert_eq!((response.status, response.header("ratelimit-policy")), (status, policy));
        assert!(response.header("ratelimit").starts_with(limit), "{response:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_that_cannot_be_are_answered_with_500_and_logged() {
    let log = Log::capture();
    let server = Server::start();
    let limiter = patient(&pool(server.url()), "api").policy("p", Quota::per_hour(10)).build().unwrap();
    let layer = RateLimitLayer::new(limiter, peer()).charges(|request, key| match request.uri.path() {
        "/" => vec![Charge::new("nope", key)],
        "/search" => vec![Charge::new("p", key).cost(11)],
        _ => vec![Charge::new("p", key), Charge::new("p", key)],
    });
    let addr = limited(layer).await;
    for (path, logged) in [
        ("/", "the limiter has no policy \"nope\""),
        ("/search", "a cost of 11 is more than policy \"p\""),
        ("/health", "two charges of one subject"),
    ] {
        let failed = get_from(addr, path, &[]).await;
        assert_eq!((failed.status, failed.header("ratelimit")), (500, ""));
        assert_eq!(failed.json()["type"], "about:blank");
        assert!(log.text().contains(logged), "{}", log.text());
        assert!(!failed.body.contains("nope"), "{failed:?}");
    }
}
