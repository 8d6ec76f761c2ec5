//! `pool.conn()`.

use std::sync::Arc;

use cenote_testkit::Observer;
use redis::{Cmd, Value};
use tokio::task::JoinHandle;

use super::{Actor, answered_with, audit_increments, increment, number, read};
use crate::call::heard_of_redis;
use crate::{Call, Heard, Kind, LIMIT, Seat};

const NAME: &str = "strict";

pub(crate) struct Strict;

impl Actor for Strict {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self, seat: &Arc<Seat>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for _ in 0..2 {
            tasks.push(tokio::spawn(writes(seat.clone())));
            tasks.push(tokio::spawn(reads(seat.clone())));
        }
        tasks
    }

    fn audit(&self, server: &Observer, calls: &[Call], data_was_destroyed: bool) {
        audit_increments(server, NAME, calls.iter().filter(|call| call.is_write()), data_was_destroyed);
    }
}

async fn writes(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let cmd = increment(NAME, id);
        seat.call(Kind::Write, id, LIMIT, ask(&seat, cmd, vec![number(id)])).await;
    }
}

async fn reads(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let (cmd, expected) = read(&seat, NAME, id);
        seat.call(Kind::Read, id, LIMIT, ask(&seat, cmd, expected)).await;
    }
}

async fn ask(seat: &Seat, cmd: Cmd, expected: Vec<Value>) -> Heard {
    let mut conn = seat.pool().conn().with_timeout(LIMIT);
    match cmd.query_async::<Value>(&mut conn).await {
        Ok(value) => answered_with(&value, &expected),
        Err(error) => heard_of_redis(&error),
    }
}
