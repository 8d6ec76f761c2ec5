//! Who wants what, and who is told when something comes.
//!
//! Invariant, under the lock this is kept in: a member waits (`waiting`) until its topic is confirmed for the
//! first time; a member that does not wait, of a topic that is not confirmed, is counted in its queue's `missing`.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::event::{Body, Event, Invalidation, Message, Refusal};
use super::glob;
use super::queue::{Queue, Wakes};
use crate::error::Error;

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A channel.
    Channel,
    /// A pattern of channels' names.
    Pattern,
    /// A sharded channel.
    Shard,
    /// A prefix of keys that are tracked.
    Prefix,
}

const KINDS: [Kind; 4] = [Kind::Channel, Kind::Pattern, Kind::Shard, Kind::Prefix];

impl Kind {
    /// What subscribes to it, or ends that.
    pub(super) fn command(self, subscribe: bool) -> &'static str {
        match (self, subscribe) {
            (Self::Pattern, true) => "PSUBSCRIBE",
            (Self::Pattern, false) => "PUNSUBSCRIBE",
            (Self::Shard, true) => "SSUBSCRIBE",
            (Self::Shard, false) => "SUNSUBSCRIBE",
            (_, true) => "SUBSCRIBE",
            (_, false) => "UNSUBSCRIBE",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    pub(super) kind: Kind,
    pub(super) name: Arc<[u8]>,
}

pub(super) type Ack = oneshot::Sender<Result<(), Error>>;

#[derive(Default)]
pub(super) struct Topics {
    maps: [HashMap<Arc<[u8]>, Entry>; 4],
    /// Subscriptions of all members.
    members: usize,
}

#[derive(Default)]
pub(super) struct Entry {
    members: Vec<Member>,
    /// The server said so, on the connection there is now.
    pub(super) confirmed: bool,
    /// Wanted by ourselves.
    pub(super) pinned: bool,
    /// A command in flight asks for it, or lets it go.
    pub(super) asked: bool,
    /// To be asked for by itself, because a batch with it was refused.
    pub(super) alone: bool,
    /// It waits to be brought in line with the server.
    pub(super) dirty: bool,
}

struct Member {
    queue: Arc<Queue>,
    waiting: Option<Ack>,
}

impl Topics {
    pub(super) fn map(&self, kind: Kind) -> &HashMap<Arc<[u8]>, Entry> {
        &self.maps[kind as usize]
    }

    pub(super) fn map_mut(&mut self, kind: Kind) -> &mut HashMap<Arc<[u8]>, Entry> {
        &mut self.maps[kind as usize]
    }

    pub(super) fn get_mut(&mut self, topic: &Topic) -> Option<&mut Entry> {
        self.maps[topic.kind as usize].get_mut(&topic.name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Topic, &Entry)> {
        KINDS.into_iter().flat_map(|kind| {
            self.map(kind).iter().map(move |(name, entry)| (Topic { kind, name: name.clone() }, entry))
        })
    }

    pub(super) fn members(&self) -> usize {
        self.members
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Adds a member: one that waits for the confirmation, or, without an `ack`, one that has had it before and
    /// comes from another connection.
    pub(super) fn join(&mut self, topic: &Topic, queue: &Arc<Queue>, ack: Option<Ack>) {
        self.members += 1;
        let entry = self.maps[topic.kind as usize].entry(topic.name.clone()).or_default();
        let waiting = match (entry.confirmed, ack) {
            (true, Some(ack)) => {
                let _ = ack.send(Ok(()));
                None
            }
            (false, None) => {
                queue.fall_behind();
                None
            }
            (_, ack) => ack,
        };
        entry.members.push(Member { queue: queue.clone(), waiting });
    }

    pub(super) fn leave(&mut self, topic: &Topic, queue: &Arc<Queue>, wakes: &mut Wakes) {
        let Some(entry) = self.maps[topic.kind as usize].get_mut(&topic.name) else { return };
        let is_it = |member: &Member| Arc::ptr_eq(&member.queue, queue);
        let Some(index) = entry.members.iter().position(is_it) else { return };
        let member = entry.members.swap_remove(index);
        self.members -= 1;
        if !entry.confirmed && member.waiting.is_none() {
            member.queue.catch_up(wakes);
        }
    }

    /// The server has it. Whoever waited is told, whoever missed it is one closer to being up to date.
    pub(super) fn confirm(&mut self, topic: &Topic, wakes: &mut Wakes) {
        let Some(entry) = self.get_mut(topic) else { return };
        if std::mem::replace(&mut entry.confirmed, true) {
            return;
        }
        entry.alone = false;
        for member in &mut entry.members {
            match member.waiting.take() {
                // Whoever gave up waiting withdraws by itself.
                Some(ack) => drop(ack.send(Ok(()))),
                None => member.queue.catch_up(wakes),
            }
        }
    }

    /// Whoever waits for it is told why not, and is no member any more. True if others remain.
    pub(super) fn refuse(&mut self, topic: &Topic, error: &Error) -> bool {
        let Some(entry) = self.maps[topic.kind as usize].get_mut(&topic.name) else { return false };
        let before = entry.members.len();
        entry.members.retain_mut(|member| match member.waiting.take() {
            Some(ack) => {
                let _ = ack.send(Err(error.clone()));
                false
            }
            None => true,
        });
        self.members -= before - entry.members.len();
        !entry.members.is_empty()
    }

    /// The server took it back from those who had it.
    pub(super) fn revoke(&mut self, topic: &Topic, error: &Error, wakes: &mut Wakes) {
        self.refuse(topic, error);
        let Some(entry) = self.maps[topic.kind as usize].remove(&topic.name) else { return };
        self.members -= entry.members.len();
        for member in entry.members {
            // Before a gap that says that all is well again.
            let refusal = Refusal { topic: topic.clone(), error: error.clone() };
            member.queue.refuse(refusal, wakes);
            if !entry.confirmed {
                member.queue.catch_up(wakes);
            }
        }
    }

    /// What was confirmed no longer is: those who had it miss it from here on.
    pub(super) fn lose(&mut self, topic: &Topic) {
        if let Some(entry) = self.get_mut(topic)
            && std::mem::take(&mut entry.confirmed)
        {
            entry.members.iter().for_each(|member| member.queue.fall_behind());
        }
    }

    /// Everybody leaves. Each queue is handed to `tell` once per subscription.
    pub(super) fn clear(&mut self, error: &Error, mut tell: impl FnMut(&Queue)) {
        for entry in self.maps.iter_mut().flat_map(|map| map.drain()).map(|(_, entry)| entry) {
            for member in entry.members {
                match member.waiting {
                    Some(ack) => drop(ack.send(Err(error.clone()))),
                    None => tell(&member.queue),
                }
            }
        }
        self.members = 0;
    }

    /// Hands a message to all members of one topic; returns how many there were.
    pub(super) fn deliver(
        &self,
        kind: Kind,
        topic: &[u8],
        body: impl FnOnce(&Arc<[u8]>) -> Body,
        wakes: &mut Wakes,
    ) -> usize {
        let found = self.map(kind).get_key_value(topic).filter(|(_, entry)| entry.confirmed);
        let Some((name, entry)) = found else { return 0 };
        let message = Message::new(body(name));
        for member in &entry.members {
            member.queue.push(Event::Message(message.clone()), wakes);
        }
        entry.members.len()
    }

    /// Hands a message to all whose channel or pattern it fits, as Redis would; returns how many that were.
    pub(super) fn publish(&self, kind: Kind, channel: &[u8], payload: &[u8], wakes: &mut Wakes) -> usize {
        let plain =
            |name: &Arc<[u8]>| Body { pattern: None, channel: name.clone(), payload: payload.to_vec() };
        let mut told = self.deliver(kind, channel, plain, wakes);
        if kind == Kind::Channel {
            for pattern in self.map(Kind::Pattern).keys().filter(|pattern| glob::matches(pattern, channel)) {
                let matched = |name: &Arc<[u8]>| Body {
                    pattern: Some(name.clone()),
                    channel: channel.into(),
                    payload: payload.to_vec(),
                };
                told += self.deliver(Kind::Pattern, pattern, matched, wakes);
            }
        }
        told
    }

    /// Tells whoever tracks them of keys that changed: all there are, if `None`.
    pub(super) fn invalidate(&self, keys: Option<&Arc<[Vec<u8>]>>, wakes: &mut Wakes) {
        for (prefix, entry) in self.map(Kind::Prefix) {
            let invalidation = match keys {
                None => Invalidation::Everything,
                Some(keys) if keys.iter().all(|key| key.starts_with(prefix)) => {
                    Invalidation::Keys(keys.clone())
                }
                Some(keys) => {
                    let ours: Arc<[_]> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
                    if ours.is_empty() {
                        continue;
                    }
                    Invalidation::Keys(ours)
                }
            };
            for member in entry.members.iter().filter(|member| member.waiting.is_none()) {
                member.queue.push(Event::Invalidated(invalidation.clone()), wakes);
            }
        }
    }
}

impl Entry {
    pub(super) fn is_wanted(&self) -> bool {
        self.pinned || !self.members.is_empty()
    }

    /// Somebody waits for its first confirmation.
    pub(super) fn is_awaited(&self) -> bool {
        self.members.iter().any(|member| member.waiting.is_some())
    }
}
