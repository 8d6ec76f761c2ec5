//! The bookkeeping under random use, against the one rule it exists for.

use std::task::Waker;
use std::time::{Duration, Instant};

use redis::Value;

use super::machine::{Filled, Machine, Window};
use super::slot::{Answer, Spare};
use crate::command::Payload;
use crate::error::Kind;

/// Random submissions, deliveries, expiries and drops against the one rule: replies come in the order of the
/// calls, each to its own caller.
#[test]
fn whatever_happens_to_callers_replies_keep_to_their_own() {
    let seed = cenote_testkit::seed();
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let start = Instant::now();
    let mut machine = Machine::new(Window { commands: 8, bytes: 400 }, start);
    machine.open(start);
    let (mut waiting, mut output, mut on_the_wire) = (Vec::new(), Vec::new(), Vec::new());
    let (mut answered, mut spare) = (0, Spare::default());
    for step in 0..200_000u64 {
        let now = start + Duration::from_micros(step);
        match next(10) {
            0..=4 => {
                let mut cmd = redis::cmd("ECHO");
                cmd.arg(step);
                let (slot, reply) = spare.slot(Waker::noop());
                let deadline = now + Duration::from_micros(next(200));
                machine.submit(Payload::One(&cmd), Some(slot), Some(deadline), now).unwrap();
                waiting.push((step, reply));
            }
            5..=7 => {
                // The wire: what goes out comes back, some of it now.
                machine.take_output(&mut output);
                let text = String::from_utf8(std::mem::take(&mut output)).unwrap();
                on_the_wire.extend(text.split("\r\n").skip(4).step_by(5).map(str::to_owned));
                let count = next(on_the_wire.len() as u64 + 1) as usize;
                let mut values: Vec<Value> = on_the_wire
                    .drain(..count)
                    .map(|payload| Value::BulkString(payload.into_bytes()))
                    .collect();
                let mut filled = Filled::new();
                machine.deliver(&mut values, &mut filled, now).unwrap();
                for (slot, answer) in filled {
                    slot.fill(answer);
                }
            }
            8 => {
                let mut filled = Filled::new();
                machine.expire(now, &mut filled);
                for (slot, answer) in filled {
                    slot.fill(answer);
                }
            }
            _ if waiting.is_empty() => {}
            _ => drop(waiting.swap_remove(next(waiting.len() as u64) as usize)),
        }
        waiting.retain_mut(|(payload, reply)| {
            let mut cx = std::task::Context::from_waker(Waker::noop());
            match reply.poll(&mut cx, &mut spare) {
                std::task::Poll::Pending => true,
                std::task::Poll::Ready(Ok(answer)) => {
                    assert_eq!(text(answer), payload.to_string(), "seed {seed}");
                    answered += 1;
                    false
                }
                std::task::Poll::Ready(Err(error)) => {
                    assert_eq!(error.kind(), Kind::Timeout, "seed {seed}");
                    false
                }
            }
        });
    }
    assert!(answered > 10_000, "{answered} answered");
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::One(Value::BulkString(bytes)) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}
