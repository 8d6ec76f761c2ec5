//! A webhook that is handled once, however often and wherever it is delivered.
//!
//! A delivery claims its event in Redis for a minute, handles it, and marks it done for a day. What cannot be
//! decided without Redis is refused, and the sender tries again: the connection is strict. An embedded pool
//! cannot serve this, as a claim in the memory of one process protects nothing in another.
//!
//! The effect here lives in Redis, so one script makes it and the mark together, and only while the claim still
//! holds. An effect in a database belongs in a transaction there, keyed by the event's id. A real endpoint also
//! verifies the sender's signature first.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use cenote::redis::{AsyncCommands, ExistenceCheck, RedisError, RedisResult, SetExpiry, SetOptions, pipe};
use cenote::{Conn, Error, Outcome, Pool};
use redis::Script;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(2);
const CLAIM_SECONDS: u64 = 60;
const DONE_SECONDS: u64 = 86_400;
const DONE: &str = "done";
/// How many events were handled, as proof.
const HANDLED: &str = "webhook:handled";
const LONGEST: usize = 255;

/// If the claim still holds: the effect and the mark, in one step.
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         redis.call('INCR', KEYS[2])
         redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
         return 1",
    )
});

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    r#type: String,
}

pub(crate) async fn stripe(
    State(pool): State<Pool>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let event = Event::read(body)?;
    if pool.state() == cenote::State::Embedded {
        return Err(unavailable(
            "This service runs without Redis, and a webhook needs it: a claim in the memory of one process protects \
             nothing in another.",
        ));
    }
    let mut conn = pool.conn().with_timeout(PATIENCE);
    let key = format!("webhook:{}", event.id);
    let token = token();
    if !claim(&mut conn, &key, &token).await.map_err(|error| not_claimed(&error))? {
        return taken(&mut conn, &key).await;
    }
    let mut finish = FINISH.key(&key);
    finish.key(HANDLED).arg(&token).arg(DONE).arg(DONE_SECONDS);
    match finish.invoke_async::<bool>(&mut conn).await {
        Ok(true) => {
            tracing::info!(target: "service", id = %event.id, kind = %event.r#type, "webhook handled");
            Ok(Json(json!({ "status": "handled", "id": event.id })))
        }
        Ok(false) => Err(in_progress(1)),
        Err(error) => Err(not_finished(&error)),
    }
}

async fn claim(conn: &mut Conn, key: &str, token: &str) -> RedisResult<bool> {
    let options = SetOptions::default()
        .conditional_set(ExistenceCheck::NX)
        .with_expiration(SetExpiry::EX(CLAIM_SECONDS));
    let set: Option<String> = conn.set_options(key, token, options).await?;
    Ok(set.is_some())
}

/// Another delivery has the event, or has handled it.
async fn taken(conn: &mut Conn, key: &str) -> Result<Json<Value>, Problem> {
    let seen: RedisResult<(Option<String>, i64)> = pipe().get(key).ttl(key).query_async(conn).await;
    match seen {
        Ok((Some(value), _)) if value == DONE => Ok(Json(json!({ "status": "duplicate" }))),
        Ok((_, seconds)) => Err(in_progress(seconds.clamp(1, CLAIM_SECONDS as i64).unsigned_abs())),
        Err(error) => {
            tracing::warn!(target: "service", %error, "a webhook's claim could not be read");
            Err(unavailable("Redis went away: nothing was done for this delivery.").retry_after(1))
        }
    }
}

fn in_progress(seconds: u64) -> Problem {
    let detail = "Another delivery of this event is being handled.";
    Problem::new(StatusCode::CONFLICT, "In progress", detail).retry_after(seconds)
}

fn unavailable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Redis is needed and away", detail)
}

fn not_claimed(error: &RedisError) -> Problem {
    tracing::warn!(target: "service", %error, "a webhook was not claimed");
    let detail = match outcome(error) {
        Outcome::MayHaveExecuted => format!(
            "Redis did not say whether the event was claimed. If it was, the claim runs out within \
             {CLAIM_SECONDS} s; nothing was handled."
        ),
        Outcome::Answered => "Redis refused the claim; nothing was handled.".to_owned(),
        _ => "Redis is away: nothing was claimed and nothing was handled.".to_owned(),
    };
    unavailable(detail).retry_after(1)
}

fn not_finished(error: &RedisError) -> Problem {
    tracing::warn!(target: "service", %error, "a webhook was claimed but perhaps not handled");
    let detail = match outcome(error) {
        Outcome::MayHaveExecuted => format!(
            "Redis did not say whether the event was handled. If it was, the next delivery is a duplicate; if \
             not, the claim runs out within {CLAIM_SECONDS} s."
        ),
        _ => format!("The event was claimed and not handled: the claim runs out within {CLAIM_SECONDS} s."),
    };
    unavailable(detail).retry_after(1)
}

fn outcome(error: &RedisError) -> Outcome {
    Error::from_redis(error).map_or(Outcome::Answered, Error::outcome)
}

/// Unlike any other claim's, in this process or another.
fn token() -> String {
    static CLAIMS: AtomicU64 = AtomicU64::new(0);
    let count = CLAIMS.fetch_add(1, Ordering::Relaxed);
    let random = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(count);
        hasher.finish()
    };
    format!("{:016x}{:016x}", random(), random())
}

impl Event {
    fn read(body: Result<Bytes, BytesRejection>) -> Result<Self, Problem> {
        let body = body.map_err(|rejection| {
            Problem::new(rejection.status(), "Unreadable body", "The body must be JSON of at most 64 KiB.")
        })?;
        let event: Self = serde_json::from_slice(&body).map_err(|error| {
            Problem::bad_request(format!(
                "The body must be JSON such as {{\"id\": \"evt_1\", \"type\": \"charge.succeeded\"}}: {error}."
            ))
        })?;
        let plain = event.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !event.id.starts_with("evt_") || event.id.len() > LONGEST || !plain {
            return Err(Problem::bad_request(format!(
                "The id must begin with evt_ and have at most {LONGEST} letters, digits and underscores."
            )));
        }
        if event.r#type.is_empty() || event.r#type.len() > LONGEST {
            return Err(Problem::bad_request(format!("The type must have 1 to {LONGEST} bytes.")));
        }
        Ok(event)
    }
}
