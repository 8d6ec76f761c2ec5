//! Feature flags: a cache. Redis makes it quick, and its absence is nobody's error.
//!
//! They come from this process's memory, or from Redis, or are computed, once for all who ask meanwhile. The cache waits
//! for Redis no longer than the pool's `degrade_after`; while it is away what was computed is kept in this process, and
//! forgotten when Redis is back.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use cenote::{Cache, Pool, cache};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::loads::Loads;
use crate::origin::{Origin, Source};
use crate::problem::Problem;

const FRESH: Duration = Duration::from_secs(300);
const STALE: Duration = Duration::from_secs(600);
const LONGEST_USER: usize = 128;

/// The flags of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Flags {
    new_checkout: bool,
    quick_search: bool,
    weekly_report: bool,
    early_access: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    user: String,
    flags: Flags,
    #[serde(flatten)]
    origin: Origin,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    user: Option<String>,
}

pub(crate) fn cache(pool: &Pool) -> Result<Cache<String, Flags>, cache::Error> {
    Cache::builder(pool, "features").ttl(FRESH).stale(STALE).l1(10_000, 4 << 20).build()
}

/// Never a 5xx: what no cache answers is computed.
pub(crate) async fn me(
    State(app): State<App>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let user = user(&headers, asked)?;
    let (flags, origin) = flags(&app.features, &user, &app.loads).await;
    Ok(Json(Answer { user, flags, origin }))
}

async fn flags(cache: &Cache<String, Flags>, user: &str, loads: &Loads) -> (Flags, Origin) {
    let (whose, loads) = (user.to_owned(), loads.clone());
    let load = move |_| async move {
        loads.tell("features", &whose);
        Ok::<_, Infallible>(Some(Flags::of(&whose)))
    };
    let found = cache.lookup_or_load(user, load).await;
    if let Err(error) = &found {
        tracing::debug!(target: "service", %error, "flags are computed without a cache");
    }
    let cached = found.ok().and_then(|found| Some((**found.value()?, Origin::of(&found, Source::Computed))));
    cached.unwrap_or_else(|| (Flags::of(user), Origin::new(Source::Computed)))
}

fn user(headers: &HeaderMap, asked: Asked) -> Result<String, Problem> {
    let user = match headers.get("x-user") {
        Some(value) => value.to_str().map(str::to_owned).unwrap_or_default(),
        None => asked.user.unwrap_or_else(|| "demo".to_owned()),
    };
    if user.is_empty() || user.chars().count() > LONGEST_USER {
        return Err(Problem::bad_request(format!(
            "The user, in the header x-user or the query parameter user, must have 1 to {LONGEST_USER} characters."
        )));
    }
    Ok(user)
}

impl Flags {
    fn of(user: &str) -> Self {
        let on = |flag: &str, percent: u64| hash(&[flag, user]) % 100 < percent;
        Self {
            new_checkout: on("new-checkout", 50),
            quick_search: on("quick-search", 70),
            weekly_report: on("weekly-report", 30),
            early_access: on("early-access", 10),
        }
    }
}

/// FNV-1a with its bits mixed: the same in every process and every version, which the hashers of the standard
/// library do not promise.
fn hash(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_always_has_the_same_flags_and_users_differ() {
        assert_eq!(Flags::of("ada"), Flags::of("ada"));
        let on = (0..1000).filter(|n| Flags::of(&format!("user-{n}")).new_checkout).count();
        assert!((400..600).contains(&on), "{on} of 1000 have a flag meant for half");
    }
}
