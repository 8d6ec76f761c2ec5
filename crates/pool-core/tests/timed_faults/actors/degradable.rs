//! `pool.degradable()`.

use std::sync::Arc;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{PoolBuilder, Source};
use cenote_testkit::Observer;
use redis::{Cmd, Value};
use tokio::task::JoinHandle;

use super::{Actor, answered_with, audit_increments, increment, is_echo, key, number, read};
use crate::call::heard_of;
use crate::{Call, Class, Fate, Heard, Kind, LIMIT, Seat};

const NAME: &str = "degradable";
const INCREMENTS: &str = "degradable:n";

pub(crate) struct Degradable;

impl Actor for Degradable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn configure(&self, builder: PoolBuilder) -> PoolBuilder {
        builder.fallback(FallbackLru::default()).degrade_after(LIMIT).degrade_after_first(LIMIT)
    }

    fn tasks(&self) -> usize {
        5
    }

    fn start(&self, seat: &Arc<Seat>) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![tokio::spawn(counts(seat.clone()))];
        for _ in 0..2 {
            tasks.push(tokio::spawn(writes(seat.clone())));
            tasks.push(tokio::spawn(reads(seat.clone())));
        }
        tasks
    }

    fn audit(&self, server: &Observer, calls: &[Call], data_was_destroyed: bool) {
        for call in calls.iter().filter(|call| call.is_write()) {
            let there: Option<u64> = server.get(&["GET", &key(NAME, call.id)]);
            let holds = match call.fate {
                Fate::Ran if !data_was_destroyed => there == Some(call.id),
                Fate::Ran | Fate::MayHaveRun => there.is_none_or(|there| there == call.id),
                Fate::Forgotten | Fate::DidNotRun => there.is_none(),
            };
            assert!(holds, "{NAME}: {call:?}, but the server has {there:?}");
        }
        let increments = calls.iter().filter(|call| call.kind == Kind::Increment);
        audit_increments(server, INCREMENTS, increments, data_was_destroyed);
    }
}

async fn writes(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let cmd = redis::cmd("SET").arg(key(NAME, id)).arg(id).clone();
        let call = ask(&seat, cmd, vec![Value::Okay], vec![Value::Okay]);
        seat.call(Kind::Write, id, LIMIT, call).await;
    }
}

/// What the fallback must not answer.
async fn counts(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let call = ask(&seat, increment(INCREMENTS, id), vec![number(id)], Vec::new());
        seat.call(Kind::Increment, id, LIMIT, call).await;
    }
}

async fn reads(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let (cmd, by_redis) = read(&seat, NAME, id);
        // What Redis took is not in the fallback.
        let by_fallback = if is_echo(&cmd) { by_redis.clone() } else { vec![Value::Nil] };
        seat.call(Kind::Read, id, LIMIT, ask(&seat, cmd, by_redis, by_fallback)).await;
    }
}

async fn ask(seat: &Seat, cmd: Cmd, by_redis: Vec<Value>, by_fallback: Vec<Value>) -> Heard {
    let mut conn = match seat.pool().degradable() {
        Ok(conn) => conn,
        Err(error) => return heard_of(&error),
    };
    match conn.query(&cmd).await {
        // One that is pending although Redis took it is forgotten like those of the fallback.
        Ok(answer) if answer.source == Source::Redis && !answer.pending => {
            answered_with(&answer.value, &by_redis)
        }
        Ok(answer) => {
            let expected = if answer.source == Source::Redis { &by_redis } else { &by_fallback };
            match answered_with(&answer.value, expected) {
                (Class::Answered, _) => (Class::Fallback, Fate::Forgotten),
                wrong => wrong,
            }
        }
        Err(error) => heard_of(&error),
    }
}
