//! A made-up server for tests: does what a real one would do with our commands.

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redis::{PushKind, Value};

use super::event::Event;
use super::machine::Machine;
use super::queue::{Next, Queue, Wakes};
use super::topics::{Kind, Topic};
use crate::codec::{Decoder, Limits};

pub(super) fn topic(kind: Kind, name: &str) -> Topic {
    Topic { kind, name: name.as_bytes().into() }
}

fn bulk(bytes: &[u8]) -> Value {
    Value::BulkString(bytes.to_vec())
}

pub(super) fn push(kind: PushKind, data: &[&[u8]]) -> Value {
    Value::Push { kind, data: data.iter().map(|word| bulk(word)).collect() }
}

pub(super) fn error(line: &str) -> Value {
    redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
}

fn words(value: Value) -> Vec<Vec<u8>> {
    redis::from_redis_value(value).unwrap()
}

/// Every event that is there by now.
pub(super) fn drain(queue: &Queue) -> Vec<Event> {
    let mut cx = Context::from_waker(Waker::noop());
    std::iter::from_fn(|| match queue.poll(&mut cx) {
        Poll::Ready(Next::Event(event)) => Some(event),
        _ => None,
    })
    .collect()
}

/// What a server would do with our commands, and what it has on its way to us.
#[derive(Default)]
pub(super) struct FakeServer {
    pub(super) channels: BTreeSet<Vec<u8>>,
    pub(super) prefixes: BTreeSet<Vec<u8>>,
    pub(super) barred: Vec<Vec<u8>>,
    pub(super) sent: VecDeque<Value>,
    pub(super) largest: usize,
}

impl FakeServer {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let (mut decoder, mut commands) = (Decoder::new(Limits::default()), Vec::new());
        decoder.feed(bytes, &mut commands).unwrap();
        for command in commands {
            let words = words(command);
            let names = &words[1..];
            self.largest = self.largest.max(names.len());
            match &words[0][..] {
                b"SUBSCRIBE" if names.iter().any(|name| self.barred.contains(name)) => {
                    self.sent.push_back(error("NOPERM no such channel for you"));
                }
                b"SUBSCRIBE" => names.iter().for_each(|name| {
                    self.channels.insert(name.clone());
                    self.sent.push_back(push(PushKind::Subscribe, &[name, b"1"]));
                }),
                b"UNSUBSCRIBE" => names.iter().for_each(|name| {
                    assert!(self.channels.remove(name), "never without need");
                    self.sent.push_back(push(PushKind::Unsubscribe, &[name, b"0"]));
                }),
                b"PING" => self.sent.push_back(Value::SimpleString("PONG".to_owned())),
                b"CLIENT" if words[2] == b"OFF" => {
                    self.prefixes.clear();
                    self.sent.push_back(Value::Okay);
                }
                b"CLIENT" => {
                    for prefix in words[4..].iter().skip(1).step_by(2) {
                        let collides =
                            |other: &Vec<u8>| other.starts_with(prefix) || prefix.starts_with(other);
                        assert!(!self.prefixes.iter().any(collides), "the server would refuse {prefix:?}");
                        self.prefixes.insert(prefix.clone());
                    }
                    self.sent.push_back(Value::Okay);
                }
                other => panic!("{}", String::from_utf8_lossy(other)),
            }
        }
    }

    pub(super) fn publish(&mut self, channel: &[u8], n: u64) {
        if self.channels.contains(channel) {
            self.sent.push_back(push(PushKind::Message, &[channel, n.to_string().as_bytes()]));
        }
    }
}

/// Lets both talk until neither has anything to say.
pub(super) fn settle(machine: &mut Machine, server: &mut FakeServer, wakes: &mut Wakes) {
    for _ in 0..100_000 {
        let mut out = Vec::new();
        machine.next_command(Instant::now(), &mut out, wakes);
        server.take(&out);
        let Some(value) = server.sent.pop_front() else { return };
        machine.accept(value, wakes).unwrap();
    }
    panic!("it never comes to rest");
}
