//! A search that costs something: each user may ask so often, by a limit that all processes share.
//!
//! Redis decides, or, while it is away, this process at its share. The answer says who it was, and its headers what is left.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::{Json, Router};
use cenote::ratelimit::tower::{KeyError, KeyExtractor, RateLimitLayer, from_fn};
use cenote::ratelimit::{self, Source};
use cenote::{Decision, Pool, Quota, RateLimiter};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::problem::Problem;

const LONGEST: usize = 128;
const THINGS: [&str; 8] = ["cenote", "pool", "lane", "cache", "fence", "journal", "limit", "progress"];

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Found {
    found: Vec<&'static str>,
    /// Who let it through, and how many more it would now.
    source: &'static str,
    remaining: u64,
    limit: u64,
}

/// One a second for each user, five at once after a rest.
pub(crate) fn limiter(pool: &Pool) -> Result<RateLimiter, ratelimit::Error> {
    RateLimiter::builder(pool, "search").policy("search", Quota::per_minute(60).burst(5)).nodes(2).build()
}

/// The route, behind its limit.
pub(crate) fn limited(limiter: &RateLimiter) -> Router<App> {
    Router::new()
        .route("/api/search", axum::routing::get(search))
        .layer(RateLimitLayer::new(limiter.clone(), by_user()))
}

async fn search(
    Extension(decision): Extension<Decision>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Found>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let words = asked.q.unwrap_or_default();
    if words.chars().count() > LONGEST {
        return Err(Problem::bad_request(format!("q must have at most {LONGEST} characters.")));
    }
    let found = THINGS.into_iter().filter(|thing| thing.contains(&words)).collect();
    let (source, remaining, limit) = (name(decision.source), decision.remaining, decision.limit);
    Ok(Json(Found { found, source, remaining, limit }))
}

/// As the answers and the page call them.
fn name(source: Source) -> &'static str {
    match source {
        Source::Redis => "redis",
        Source::Fallback => "fallback",
        Source::Lease => "lease",
        Source::BlockedLocally => "blocked",
        Source::Open => "open",
        _ => "closed",
    }
}

/// Who asks says so in the header `x-user` or the parameter `user`, as there is no login here.
fn by_user() -> impl KeyExtractor {
    from_fn(|request: &Parts| {
        let header = request.headers.get("x-user").and_then(|value| value.to_str().ok());
        let user = header.map(str::to_owned).or_else(|| parameter(&request.uri));
        let user = user.unwrap_or_else(|| "demo".to_owned());
        let known = (1..=LONGEST).contains(&user.chars().count());
        std::future::ready(
            known
                .then_some(user)
                .ok_or_else(|| KeyError::missing(format!("The user must have 1 to {LONGEST} characters."))),
        )
    })
}

fn parameter(uri: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct User {
        user: Option<String>,
    }
    Query::<User>::try_from_uri(uri).ok().and_then(|query| query.0.user)
}
