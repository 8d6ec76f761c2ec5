//! The machine against a made-up server, step by random step, with no socket.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use cenote_testkit::seed;
use redis::PushKind;
use tokio::sync::oneshot;

use super::event::{Event, Invalidation};
use super::fake::{FakeServer, drain, error, push, settle, topic};
use super::fault::Fault;
use super::machine::{BATCH, Machine, Protocol};
use super::queue::{Bounds, Queue, Wakes};
use super::topics::{Kind, Topic};
use crate::error::Error;

pub(super) const BOUNDS: Bounds = Bounds { events: 1_000_000, bytes: usize::MAX };

/// One subscriber, and what it may expect.
struct Reader {
    queue: Arc<Queue>,
    topics: HashMap<Topic, Option<oneshot::Receiver<Result<(), Error>>>>,
    /// By channel: the last number seen, and whether a gap was told since.
    last: HashMap<Vec<u8>, u64>,
}

/// Joins, leaves, messages and lost connections in any order: what was acknowledged is delivered whole, or a gap is
/// told, once for each loss; and whenever nothing is on its way the server has exactly what is wanted.
#[test]
fn whatever_comes_in_between_nothing_acknowledged_is_missed_unannounced() {
    let mut random = cenote_random(seed());
    for _ in 0..300 {
        one_life(&mut random);
    }
}

/// Numbers from a seed, which a failing test prints.
fn cenote_random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    }
}

fn one_life(random: &mut impl FnMut(usize) -> usize) {
    let (mut machine, mut server, mut wakes) = (Machine::default(), FakeServer::default(), Wakes::new());
    let pinned = topic(Kind::Channel, "probe");
    let now = Instant::now();
    let names: Vec<String> = (0..6).map(|n| format!("c{n}")).collect();
    let new_reader =
        || Reader { queue: Arc::new(Queue::new(BOUNDS)), topics: HashMap::new(), last: HashMap::new() };
    let mut readers: Vec<Reader> = (0..4).map(|_| new_reader()).collect();
    // What each reader is owed: the numbers published while its topic was acknowledged on a living connection.
    let mut numbers: HashMap<String, u64> = HashMap::new();
    let mut connected = false;
    for _ in 0..400 {
        let (reader, name) = (random(readers.len()), &names[random(names.len())]);
        let kind = if random(4) == 0 { Kind::Prefix } else { Kind::Channel };
        let topic = topic(kind, name);
        match random(12) {
            0 if !connected => {
                server = FakeServer::default();
                machine.opened(Protocol::Resp3, &pinned);
                connected = true;
            }
            1 if connected => {
                machine.lost();
                connected = false;
                server = FakeServer::default();
            }
            0..=3 => {
                if !readers[reader].topics.contains_key(&topic) {
                    let (ack, receiver) = oneshot::channel();
                    machine.join(&topic, &readers[reader].queue, Some(ack));
                    readers[reader].topics.insert(topic, Some(receiver));
                }
            }
            4 => {
                if readers[reader].topics.remove(&topic).is_some() {
                    machine.leave(&topic, &readers[reader].queue, &mut wakes);
                    readers[reader].last.remove(name.as_bytes());
                }
            }
            5 | 6 => {
                let mut out = Vec::new();
                machine.next_command(now, &mut out, &mut wakes);
                server.take(&out);
            }
            7 => machine.ping(),
            8 | 9 => {
                let n = numbers.entry(name.clone()).or_default();
                *n += 1;
                server.publish(name.as_bytes(), *n);
            }
            _ => {
                for _ in 0..random(4) {
                    let Some(value) = server.sent.pop_front() else { break };
                    machine.accept(value, &mut wakes).unwrap();
                }
            }
        }
        readers.iter_mut().for_each(look);
        for reader in &readers {
            let in_place = |(topic, ack): (&Topic, &Option<_>)| ack.is_some() || machine.has(topic);
            let whole = reader.topics.iter().all(in_place);
            assert_eq!(reader.queue.currency().get() % 2 == 1, whole, "{:?}", reader.topics);
        }
    }
    if !connected {
        server = FakeServer::default();
        machine.opened(Protocol::Resp3, &pinned);
    }
    settle(&mut machine, &mut server, &mut wakes);
    readers.iter_mut().for_each(look);
    let wanted = |kind: Kind| -> BTreeSet<Vec<u8>> {
        let all = readers.iter().flat_map(|reader| reader.topics.keys());
        all.filter(|topic| topic.kind == kind).map(|topic| topic.name.to_vec()).collect()
    };
    let mut channels = wanted(Kind::Channel);
    channels.insert(b"probe".to_vec());
    assert_eq!(server.channels, channels);
    let prefixes = wanted(Kind::Prefix);
    assert!(prefixes.iter().all(|prefix| server.prefixes.iter().any(|by| prefix.starts_with(by))));
    for reader in &mut readers {
        for (topic, ack) in &mut reader.topics {
            let acked = ack.as_mut().is_none_or(|ack| matches!(ack.try_recv(), Ok(Ok(()))));
            assert!(acked, "{topic:?} is never left waiting");
        }
        assert!(drain(&reader.queue).is_empty(), "a gap is told once");
    }
}

/// Messages of a channel are dense but for gaps that were told.
fn look(reader: &mut Reader) {
    for ack in reader.topics.values_mut() {
        if let Some(receiver) = ack
            && receiver.try_recv().is_ok_and(|answer| answer.is_ok())
        {
            *ack = None;
        }
    }
    for event in drain(&reader.queue) {
        match event {
            Event::Gap => reader.last.clear(),
            Event::Message(message) => {
                let (channel, n) = (message.channel_bytes().to_vec(), message.get::<u64>().unwrap());
                let topic = Topic { kind: Kind::Channel, name: channel.as_slice().into() };
                assert!(matches!(reader.topics.get(&topic), Some(None)), "not before it was acknowledged");
                let last = reader.last.insert(channel, n);
                assert!(last.is_none_or(|last| n == last + 1), "{last:?} was followed by {n}");
            }
            Event::Invalidated(Invalidation::Everything) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn connected() -> (Machine, FakeServer, Wakes) {
    let mut machine = Machine::default();
    machine.opened(Protocol::Resp3, &topic(Kind::Channel, "probe"));
    (machine, FakeServer::default(), Wakes::new())
}

fn member(machine: &mut Machine, name: &str) -> (Arc<Queue>, oneshot::Receiver<Result<(), Error>>) {
    let (queue, (ack, receiver)) = (Arc::new(Queue::new(BOUNDS)), oneshot::channel());
    machine.join(&topic(Kind::Channel, name), &queue, Some(ack));
    (queue, receiver)
}

#[test]
fn thousands_are_taken_back_in_batches_of_512() {
    let (mut machine, mut server, mut wakes) = connected();
    let members: Vec<_> = (0..2_000).map(|n| member(&mut machine, &format!("c{n}"))).collect();
    settle(&mut machine, &mut server, &mut wakes);
    assert_eq!((server.largest, server.channels.len()), (BATCH, 2_001));
    drop(members);
}

#[test]
fn one_name_that_is_refused_does_not_take_others_with_it() {
    let (mut machine, mut server, mut wakes) = connected();
    server.barred = vec![b"barred".to_vec()];
    let (_a, mut good) = member(&mut machine, "good");
    let (_b, mut bad) = member(&mut machine, "barred");
    settle(&mut machine, &mut server, &mut wakes);
    assert_eq!(good.try_recv().unwrap().map_err(|error| error.to_string()), Ok(()));
    let refused = bad.try_recv().unwrap().unwrap_err();
    assert_eq!(refused.server_error().and_then(|error| error.code()), Some("NOPERM"));
}

#[test]
fn what_is_refused_after_a_reconnect_is_told_to_those_who_had_it_and_the_gap_is_not_lost() {
    let (mut machine, mut server, mut wakes) = connected();
    let (kept, _ack) = member(&mut machine, "kept");
    let (ack, _receiver) = oneshot::channel();
    machine.join(&topic(Kind::Channel, "taken"), &kept, Some(ack));
    settle(&mut machine, &mut server, &mut wakes);
    let currency = kept.currency();
    machine.lost();
    assert_eq!(currency.get(), 2);
    server = FakeServer { barred: vec![b"taken".to_vec()], ..FakeServer::default() };
    machine.opened(Protocol::Resp3, &topic(Kind::Channel, "probe"));
    settle(&mut machine, &mut server, &mut wakes);
    // In this order: after the gap nothing is missing that was not told.
    let events = drain(&kept);
    assert!(
        matches!(&events[..], [Event::Refused(refusal), Event::Gap] if refusal.name() == "taken"),
        "{events:?}"
    );
    assert_eq!(currency.get(), 5, "one for the loss, two for the refusal, one for the return");
}

#[test]
fn a_server_that_takes_a_subscription_away_unasked_is_asked_again_and_the_gap_told() {
    let (mut machine, mut server, mut wakes) = connected();
    let (queue, _ack) = member(&mut machine, "c");
    settle(&mut machine, &mut server, &mut wakes);
    server.channels.clear();
    machine.accept(push(PushKind::Unsubscribe, &[b"c", b"0"]), &mut wakes).unwrap();
    settle(&mut machine, &mut server, &mut wakes);
    assert!(server.channels.contains(&b"c"[..]));
    assert!(matches!(drain(&queue)[..], [Event::Gap]));
}

#[test]
fn a_server_that_is_busy_is_left_and_asked_anew_and_nobody_loses_a_subscription() {
    let (mut machine, mut server, mut wakes) = connected();
    let (queue, _ack) = member(&mut machine, "c");
    settle(&mut machine, &mut server, &mut wakes);
    machine.lost();
    machine.opened(Protocol::Resp3, &topic(Kind::Channel, "probe"));
    let busy = || error("BUSY Redis is busy running a script");
    let fault = (0..4).find_map(|_| {
        machine.next_command(Instant::now(), &mut Vec::new(), &mut wakes);
        machine.accept(busy(), &mut wakes).err()
    });
    assert!(matches!(fault, Some(Fault::Refused(_))), "{fault:?}");
    machine.lost();
    machine.opened(Protocol::Resp3, &topic(Kind::Channel, "probe"));
    server = FakeServer::default();
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(drain(&queue)[..], [Event::Gap]));
}

#[test]
fn whoever_left_what_it_missed_is_up_to_date_once_the_rest_is_back() {
    let (mut machine, mut server, mut wakes) = connected();
    let (queue, _ack) = member(&mut machine, "a");
    let (ack, _receiver) = oneshot::channel();
    machine.join(&topic(Kind::Channel, "b"), &queue, Some(ack));
    settle(&mut machine, &mut server, &mut wakes);
    machine.lost();
    machine.leave(&topic(Kind::Channel, "b"), &queue, &mut wakes);
    server = FakeServer::default();
    machine.opened(Protocol::Resp3, &topic(Kind::Channel, "probe"));
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(drain(&queue)[..], [Event::Gap]));
    server.publish(b"a", 1);
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(drain(&queue)[..], [Event::Message(_)]));
}

#[test]
fn what_still_comes_by_an_ended_subscription_is_not_for_the_next_one() {
    let (mut machine, mut server, mut wakes) = connected();
    let (first, _ack) = member(&mut machine, "a");
    settle(&mut machine, &mut server, &mut wakes);
    machine.leave(&topic(Kind::Channel, "a"), &first, &mut wakes);
    let mut out = Vec::new();
    machine.next_command(Instant::now(), &mut out, &mut wakes);
    let (second, mut acked) = member(&mut machine, "a");
    machine.accept(push(PushKind::Message, &[b"a", b"1"]), &mut wakes).unwrap();
    assert!(drain(&second).is_empty() && acked.try_recv().is_err());
    server.take(&out);
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(acked.try_recv(), Ok(Ok(()))));
    assert!(server.channels.contains(&b"a"[..]));
}

#[test]
fn small_changes_do_not_wait_for_each_other() {
    let (mut machine, mut server, mut wakes) = connected();
    let (queue, _ack) = member(&mut machine, "a");
    settle(&mut machine, &mut server, &mut wakes);
    let mut out = Vec::new();
    machine.leave(&topic(Kind::Channel, "a"), &queue, &mut wakes);
    machine.next_command(Instant::now(), &mut out, &mut wakes);
    let (_b, mut acked) = member(&mut machine, "b");
    machine.next_command(Instant::now(), &mut out, &mut wakes);
    server.take(&out);
    assert_eq!(server.sent.len(), 2, "both are on their way");
    settle(&mut machine, &mut server, &mut wakes);
    assert!(matches!(acked.try_recv(), Ok(Ok(()))));
}

#[test]
fn a_connection_leaves_nothing_of_its_own_behind() {
    let (mut machine, mut server, mut wakes) = connected();
    let _member = member(&mut machine, "a");
    for n in 0..5 {
        machine.lost();
        server = FakeServer::default();
        machine.opened(Protocol::Resp3, &topic(Kind::Channel, &format!("probe {n}")));
        settle(&mut machine, &mut server, &mut wakes);
    }
    assert_eq!(server.channels.len(), 2, "{:?}", server.channels);
}

/// One answer of the server's own to each of our next commands.
pub(super) fn answered(
    machine: &mut Machine,
    values: Vec<redis::Value>,
    wakes: &mut Wakes,
) -> Result<(), Fault> {
    machine.next_command(Instant::now(), &mut Vec::new(), wakes);
    values.into_iter().try_for_each(|value| machine.accept(value, wakes))
}

#[test]
fn an_unsubscribe_that_is_refused_costs_nobody_anything() {
    let (mut machine, mut server, mut wakes) = connected();
    let (kept, _ack) = member(&mut machine, "kept");
    let (left, _ack) = member(&mut machine, "left");
    settle(&mut machine, &mut server, &mut wakes);
    machine.leave(&topic(Kind::Channel, "left"), &left, &mut wakes);
    answered(&mut machine, vec![error("BUSY script")], &mut wakes).unwrap();
    assert!(drain(&kept).is_empty());
    let (_back, mut acked) = member(&mut machine, "left");
    assert!(matches!(acked.try_recv(), Ok(Ok(()))), "the server has it still");
}

#[test]
fn a_server_too_busy_for_the_probe_is_left_for_a_connection_that_can_be_probed() {
    let (mut machine, _, mut wakes) = connected();
    let outcome = answered(&mut machine, vec![error("BUSY script")], &mut wakes);
    assert!(matches!(outcome, Err(Fault::Refused(_))), "{outcome:?}");
}

/// Everything that is sent is answered, again and again; returns how often.
fn round_trips(machine: &mut Machine, server: &mut FakeServer, wakes: &mut Wakes) -> usize {
    for rounds in 0.. {
        let mut out = Vec::new();
        machine.next_command(Instant::now(), &mut out, wakes);
        server.take(&out);
        assert!(server.sent.len() <= BATCH, "{} names at once", server.sent.len());
        if server.sent.is_empty() {
            return rounds;
        }
        for value in server.sent.drain(..) {
            machine.accept(value, wakes).unwrap();
        }
    }
    unreachable!("it comes to rest")
}

#[test]
fn thousands_of_changes_and_some_refusals_take_few_round_trips() {
    let (mut machine, mut server, mut wakes) = connected();
    server.barred = (0..2_000).step_by(500).map(|n| format!("c{n}").into_bytes()).collect();
    let members: Vec<_> = (0..2_000).map(|n| member(&mut machine, &format!("c{n}"))).collect();
    let rounds = round_trips(&mut machine, &mut server, &mut wakes);
    assert!(rounds < 100, "{rounds} to subscribe");
    let mut more = Vec::new();
    for (n, (queue, _)) in members.iter().enumerate().filter(|(n, _)| n % 500 != 0) {
        machine.leave(&topic(Kind::Channel, &format!("c{n}")), queue, &mut wakes);
        more.push(member(&mut machine, &format!("d{n}")));
    }
    let rounds = round_trips(&mut machine, &mut server, &mut wakes);
    assert!(rounds < 100, "{rounds} to change");
}
