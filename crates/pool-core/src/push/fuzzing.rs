//! What must hold whatever a server pushes, in any order with joins, leaves and lost connections.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use redis::PushKind;

use super::event::Event;
use super::fake::{FakeServer, drain, push, settle, topic};
use super::machine::{Machine, Protocol};
use super::queue::{Bounds, Queue, Wakes};
use super::topics::{Kind, Topic};
use crate::codec::{Decoder, Limits};

const BOUNDS: Bounds = Bounds { events: 4, bytes: 64 };
const NAMES: [&str; 4] = ["a", "ab", "b", ""];

struct Bench {
    machine: Machine,
    decoder: Decoder,
    readers: Vec<(Arc<Queue>, HashSet<Topic>)>,
    wakes: Wakes,
}

/// Each byte is a step, and most take their arguments from those that follow. However the server lies, nobody is
/// told what it did not ask for and no queue grows; and an honest server is brought in line afterwards.
pub(crate) fn run(input: &[u8]) {
    let readers = (0..3).map(|_| (Arc::new(Queue::new(BOUNDS)), HashSet::new())).collect();
    let mut bench = Bench { machine: Machine::default(), decoder: decoder(), readers, wakes: Wakes::new() };
    bench.open(Protocol::Resp3);
    let mut rest = input;
    while let Some((&step, after)) = rest.split_first() {
        rest = bench.step(step, after);
        bench.look();
    }
    bench.machine.lost();
    bench.open(Protocol::Resp3);
    let mut server = FakeServer::default();
    settle(&mut bench.machine, &mut server, &mut bench.wakes);
    bench.look();
    let topics = bench.readers.iter().flat_map(|(_, topics)| topics);
    let channels = topics.filter(|topic| topic.kind == Kind::Channel).map(|topic| topic.name.to_vec());
    let wanted: BTreeSet<Vec<u8>> = channels.chain([b"probe".to_vec()]).collect();
    assert_eq!(server.channels, wanted);
}

fn decoder() -> Decoder {
    Decoder::new(Limits { bulk: 1 << 10, depth: 4, elements: 64, line: 256 })
}

impl Bench {
    fn open(&mut self, protocol: Protocol) {
        self.machine.opened(protocol, &topic(Kind::Channel, "probe"));
        self.decoder = decoder();
    }

    fn step<'a>(&mut self, step: u8, rest: &'a [u8]) -> &'a [u8] {
        let argument = usize::from(rest.first().copied().unwrap_or_default());
        let (reader, name) = (argument % self.readers.len(), NAMES[argument / 3 % NAMES.len()]);
        let kind = if argument & 0x80 == 0 { Kind::Channel } else { Kind::Prefix };
        let tail = rest.get(1..).unwrap_or_default();
        match step % 8 {
            0 => self.join(reader, &topic(kind, name)),
            1 => self.leave(reader, &topic(kind, name)),
            2 => {
                self.machine.next_command(Instant::now(), &mut Vec::new(), &mut self.wakes);
                return rest;
            }
            3 => {
                self.machine.lost();
                let protocol = if argument % 4 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
                self.open(protocol);
            }
            4 => self.accept(push(PushKind::Subscribe, &[name.as_bytes(), b"1"])),
            5 => self.accept(push(PushKind::Message, &[name.as_bytes(), b"payload"])),
            6 => {
                self.machine.ping();
                return rest;
            }
            _ => {
                let (bytes, tail) = tail.split_at(argument.min(tail.len()));
                let mut values = Vec::new();
                let decoded = self.decoder.feed(bytes, &mut values);
                values.into_iter().for_each(|value| self.accept(value));
                if decoded.is_err() {
                    self.machine.lost();
                    self.open(Protocol::Resp3);
                }
                return tail;
            }
        }
        tail
    }

    fn accept(&mut self, value: redis::Value) {
        if self.machine.accept(value, &mut self.wakes).is_err() {
            self.machine.lost();
            self.open(Protocol::Resp3);
        }
    }

    fn join(&mut self, reader: usize, topic: &Topic) {
        let (queue, topics) = &mut self.readers[reader];
        if topics.insert(topic.clone()) {
            self.machine.join(topic, queue, None);
        }
    }

    fn leave(&mut self, reader: usize, topic: &Topic) {
        let (queue, topics) = &mut self.readers[reader];
        if topics.remove(topic) {
            self.machine.leave(topic, queue, &mut self.wakes);
        }
    }

    fn look(&mut self) {
        for (queue, topics) in &mut self.readers {
            let events = drain(queue);
            assert!(events.len() <= 2 * BOUNDS.events + NAMES.len(), "{events:?}");
            for event in events {
                match event {
                    Event::Message(message) => {
                        let name = message.channel_bytes().into();
                        assert!(topics.contains(&Topic { kind: Kind::Channel, name }), "{message:?}");
                    }
                    Event::Invalidated(_) => {
                        assert!(topics.iter().any(|topic| topic.kind == Kind::Prefix));
                    }
                    Event::Refused(refusal) => assert!(topics.remove(&refusal.topic), "{refusal:?}"),
                    _ => {}
                }
            }
            let whole = topics.iter().all(|topic| self.machine.has(topic));
            assert!(queue.currency().get() % 2 == 0 || whole, "{topics:?}");
        }
    }
}
