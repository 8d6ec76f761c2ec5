//! `pool.dedicated()`: taken, used a few times, given back; after a failure another one is taken.

use std::sync::Arc;

use cenote_testkit::Observer;
use redis::{Cmd, Value};
use tokio::task::JoinHandle;

use super::{Actor, answered_with, audit_increments, increment, number, read};
use crate::call::{heard_of, heard_of_redis};
use crate::{Call, Class, Fate, Heard, Kind, LIMIT, SOCKET_TIMEOUT, Seat};

const NAME: &str = "dedicated";
/// Calls on one connection before it is given back.
const TURNS: u64 = 5;

pub(crate) struct Dedicated;

impl Actor for Dedicated {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self, seat: &Arc<Seat>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for _ in 0..2 {
            tasks.push(tokio::spawn(work(seat.clone(), true)));
            tasks.push(tokio::spawn(work(seat.clone(), false)));
        }
        tasks
    }

    fn audit(&self, server: &Observer, calls: &[Call], data_was_destroyed: bool) {
        audit_increments(server, NAME, calls.iter().filter(|call| call.is_write()), data_was_destroyed);
    }
}

async fn work(seat: Arc<Seat>, writes: bool) {
    let mut held = None;
    let mut turn = 0u64;
    while seat.goes_on().await {
        turn += 1;
        let taken = match held.take() {
            Some(conn) => Some(conn),
            None => check_out(&seat).await,
        };
        let Some(mut conn) = taken else { continue };
        let id = seat.new_id();
        let class = if writes {
            let call = ask(&mut conn, increment(NAME, id), vec![number(id)]);
            seat.call(Kind::Write, id, LIMIT, call).await
        } else {
            let (cmd, expected) = read(&seat, NAME, id);
            seat.call(Kind::Read, id, LIMIT, ask(&mut conn, cmd, expected)).await
        };
        let is_usable = matches!(class, Class::Answered | Class::Said(_));
        held = (is_usable && !turn.is_multiple_of(TURNS)).then_some(conn);
    }
}

async fn check_out(seat: &Seat) -> Option<cenote_pool_core::Dedicated> {
    let mut taken = None;
    let call = async {
        match seat.pool().dedicated().await {
            Ok(conn) => {
                taken = Some(conn.with_timeout(LIMIT));
                (Class::Answered, Fate::Ran)
            }
            Err(error) => heard_of(&error),
        }
    };
    seat.call(Kind::Checkout, 0, SOCKET_TIMEOUT, call).await;
    taken
}

async fn ask(conn: &mut cenote_pool_core::Dedicated, cmd: Cmd, expected: Vec<Value>) -> Heard {
    match cmd.query_async::<Value>(conn).await {
        Ok(value) => answered_with(&value, &expected),
        Err(error) => heard_of_redis(&error),
    }
}
