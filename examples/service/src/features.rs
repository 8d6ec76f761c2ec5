//! Feature flags: a cache. Redis makes it quick, and its absence is nobody's error.
//!
//! The connection is degradable: what is cached may be forgotten. It waits for Redis no longer than the pool's
//! `degrade_after`; then this process's memory answers, and what is cached in it is forgotten when Redis is back.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use cenote::redis::{RedisError, RedisResult, cmd, from_redis_value};
use cenote::{DegradableConn, Pool};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

const FIVE_MINUTES: u64 = 300;
const LONGEST_USER: usize = 128;

/// The flags of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Flags {
    new_checkout: bool,
    quick_search: bool,
    weekly_report: bool,
    early_access: bool,
}

/// Where the answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Redis,
    /// This process's memory, as Redis is away, or as there is none.
    Fallback,
    /// Neither had it, or neither could be asked.
    Computed,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    user: String,
    flags: Flags,
    source: Source,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    user: Option<String>,
}

/// Never a 5xx: what no cache answers is computed.
pub(crate) async fn me(
    State(pool): State<Pool>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let user = user(&headers, asked)?;
    let (flags, source) = flags(&pool, &user).await.unwrap_or_else(|error| {
        tracing::debug!(target: "service", %error, "flags are computed without a cache");
        (Flags::of(&user), Source::Computed)
    });
    Ok(Json(Answer { user, flags, source }))
}

async fn flags(pool: &Pool, user: &str) -> RedisResult<(Flags, Source)> {
    let key = format!("features:{user}");
    let mut conn = pool.degradable().map_err(RedisError::from)?;
    let (cached, source) = cached(&mut conn, &key).await?;
    if let Some(flags) = cached {
        return Ok((flags, source));
    }
    if source == Source::Fallback {
        // Redis was waited for once already.
        conn = conn.with_timeout(Duration::ZERO);
    }
    let flags = Flags::of(user);
    if let Err(error) = keep(&mut conn, &key, flags).await {
        tracing::debug!(target: "service", %error, "flags were not cached");
    }
    Ok((flags, Source::Computed))
}

/// What is cached but cannot be read (an older version's, or somebody else's) counts as absent.
async fn cached(conn: &mut DegradableConn, key: &str) -> RedisResult<(Option<Flags>, Source)> {
    let answer = conn.query(cmd("GET").arg(key)).await?;
    let source = match answer.source {
        cenote::Source::Redis => Source::Redis,
        _ => Source::Fallback,
    };
    let text: Option<Vec<u8>> = from_redis_value(answer.value)?;
    Ok((text.and_then(|text| serde_json::from_slice(&text).ok()), source))
}

async fn keep(conn: &mut DegradableConn, key: &str, flags: Flags) -> RedisResult<()> {
    let text = serde_json::to_string(&flags).unwrap_or_default();
    cmd("SET").arg(key).arg(text).arg("EX").arg(FIVE_MINUTES).exec_async(conn).await
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
