//! Keeps the server's subscriptions in line with what subscribers want; no I/O in it.
//!
//! Invariants, all under the one lock that the hub keeps this in:
//! * Replies come in the order of the commands, so a reply or an error is always that of the front one.
//! * A topic is in one command in flight at most (`asked`). What changes meanwhile is brought in line afterwards, as
//!   it is by then: no order of joins and leaves can confuse it.
//! * A topic that is wanted and not confirmed, or confirmed and not wanted, is dirty or asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Value};

use super::event::Body;
use super::fault::{Fault, is_final};
use super::frame::{self, Frame};
use super::queue::{Queue, Wakes};
use super::topics::{Ack, Kind, Topic, Topics};
use super::tracking::Prefix;
use crate::codec::ProtocolError;
use crate::error::Error;

/// The most names in one command: a server that takes back thousands of subscriptions serves others in between.
pub(super) const BATCH: usize = 512;

#[derive(Default)]
pub(super) struct Machine {
    pub(super) topics: Topics,
    dirty: VecDeque<Topic>,
    /// Prefixes are all treated together.
    prefixes_dirty: bool,
    in_flight: VecDeque<(Command, Instant)>,
    /// What the server tracks for this connection.
    pub(super) tracked: Vec<Prefix>,
    protocol: Option<Protocol>,
    ping: bool,
    /// An `AUTH` to be sent, and the reply to one that was.
    auth: Option<Vec<u8>>,
    login: Option<Value>,
    /// What this connection has for itself.
    pinned: Option<Topic>,
    /// Replies and acknowledgements on this connection.
    pub(super) replies: u64,
    /// Messages on it, the probe's included.
    pub(super) messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp2,
    Resp3,
}

pub(super) enum Command {
    Subscribe(Kind, VecDeque<Arc<[u8]>>),
    Unsubscribe(Kind, VecDeque<Arc<[u8]>>),
    /// With `anew`, the first of two replies is that to `OFF`; `failed` has its error.
    Track {
        tracked: Vec<Prefix>,
        replies: usize,
        anew: bool,
        failed: Option<Error>,
    },
    Ping,
    Auth,
}

impl Command {
    fn names(&self) -> usize {
        match self {
            Self::Subscribe(_, names) | Self::Unsubscribe(_, names) => names.len(),
            Self::Track { .. } | Self::Ping | Self::Auth => 0,
        }
    }
}

impl Machine {
    pub(super) fn join(&mut self, topic: &Topic, queue: &Arc<Queue>, ack: Option<Ack>) {
        self.topics.join(topic, queue, ack);
        self.touch(topic);
    }

    pub(super) fn leave(&mut self, topic: &Topic, queue: &Arc<Queue>, wakes: &mut Wakes) {
        self.topics.leave(topic, queue, wakes);
        self.touch(topic);
    }

    pub(super) fn touch(&mut self, topic: &Topic) {
        if topic.kind == Kind::Prefix {
            self.prefixes_dirty = true;
        } else if let Some(entry) = self.topics.get_mut(topic)
            && !std::mem::replace(&mut entry.dirty, true)
        {
            self.dirty.push_back(topic.clone());
        }
    }

    /// A connection is there: all that is wanted is asked for, and `pinned` for ourselves.
    pub(super) fn opened(&mut self, protocol: Protocol, pinned: &Topic) {
        self.topics.map_mut(pinned.kind).entry(pinned.name.clone()).or_default().pinned = true;
        self.pinned = Some(pinned.clone());
        self.protocol = Some(protocol);
        (self.replies, self.messages) = (0, 0);
        let all: Vec<_> = self.topics.all().map(|(topic, _)| topic).collect();
        all.iter().for_each(|topic| self.touch(topic));
    }

    /// The connection is gone: whoever had something confirmed on it misses what comes now.
    pub(super) fn lost(&mut self) {
        (self.protocol, self.ping) = (None, false);
        (self.auth, self.login) = (None, None);
        self.in_flight.clear();
        self.tracked.clear();
        let all: Vec<_> = self.topics.all().map(|(topic, _)| topic).collect();
        for topic in &all {
            self.topics.lose(topic);
            self.no_longer_asked(topic);
        }
        if let Some(topic) = self.pinned.take()
            && let Some(entry) = self.topics.get_mut(&topic)
        {
            entry.pinned = false;
        }
    }

    /// There is no connection for whoever waits for one.
    pub(super) fn fail_waiting(&mut self, error: &Error) {
        // It is asked again and again in an outage: those who have what they want are left alone.
        let awaited = self.topics.all().filter(|(_, entry)| entry.is_awaited());
        let awaited: Vec<_> = awaited.map(|(topic, _)| topic).collect();
        for topic in &awaited {
            self.topics.refuse(topic, error);
            self.touch(topic);
        }
    }

    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// Logs in anew; the reply is [taken](Self::take_login).
    pub(super) fn log_in(&mut self, auth: &Cmd) {
        self.auth = Some(auth.get_packed_command());
    }

    pub(super) fn take_login(&mut self) -> Option<Value> {
        self.login.take()
    }

    /// Since when a reply is due.
    pub(super) fn due_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|(_, since)| *since)
    }

    /// Whether the server has confirmed it on this connection.
    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.topics.map(topic.kind).get(&topic.name).is_some_and(|entry| entry.confirmed)
    }

    /// Appends what is to be sent next, if there is room for it.
    pub(super) fn next_command(&mut self, now: Instant, out: &mut Vec<u8>, wakes: &mut Wakes) {
        let Some(protocol) = self.protocol else { return };
        loop {
            let command = if std::mem::take(&mut self.ping) {
                redis::cmd("PING").write_packed_command(out);
                Some(Command::Ping)
            } else if let Some(auth) = self.auth.take() {
                out.extend_from_slice(&auth);
                Some(Command::Auth)
            } else if self.prefixes_dirty && !self.is_tracking() {
                self.prefixes_dirty = false;
                self.track(protocol, out, wakes)
            } else {
                let room = self.room();
                if room == 0 {
                    return;
                }
                let Some(first) = self.dirty.pop_front() else { return };
                self.batch(first, room, out)
            };
            self.in_flight.extend(command.map(|command| (command, now)));
        }
    }

    fn is_tracking(&self) -> bool {
        self.in_flight.iter().any(|(command, _)| matches!(command, Command::Track { .. }))
    }

    /// How many names the next command may have. Small batches follow each other without waiting; a large one waits
    /// until most before it are answered, or it would go out in crumbs.
    fn room(&self) -> usize {
        let asked: usize = self.in_flight.iter().map(|(command, _)| command.names()).sum();
        let room = BATCH.saturating_sub(asked);
        if self.dirty.len() <= room || asked < BATCH / 2 { room } else { 0 }
    }

    /// Whether the server is to be asked for it, or to let it go; `None` if there is nothing to do, or something is
    /// being done already.
    fn judge(&mut self, topic: &Topic) -> Option<bool> {
        let entry = self.topics.get_mut(topic)?;
        entry.dirty = false;
        if entry.asked {
            return None;
        }
        match (entry.is_wanted(), entry.confirmed) {
            (true, true) => return None,
            (true, false) => {}
            (false, true) => entry.confirmed = false,
            (false, false) => {
                self.topics.map_mut(topic.kind).remove(&topic.name);
                return None;
            }
        }
        entry.asked = true;
        Some(entry.is_wanted())
    }

    fn no_longer_asked(&mut self, topic: &Topic) {
        if let Some(entry) = self.topics.get_mut(topic) {
            entry.asked = false;
        }
    }

    /// One command for as many topics as are to be treated alike.
    fn batch(&mut self, first: Topic, most: usize, out: &mut Vec<u8>) -> Option<Command> {
        let kind = first.kind;
        let subscribe = self.judge(&first)?;
        let alone = self.topics.get_mut(&first).is_some_and(|entry| entry.alone);
        let mut names = VecDeque::from([first.name]);
        while !alone
            && names.len() < most
            && let Some(next) = self.dirty.front().filter(|next| next.kind == kind).cloned()
        {
            let same = self.topics.map(kind).get(&next.name).is_none_or(|entry| {
                entry.asked
                    || (!entry.alone && (entry.is_wanted(), entry.confirmed) == (subscribe, !subscribe))
            });
            if !same {
                break;
            }
            self.dirty.pop_front();
            if self.judge(&next).is_some() {
                names.push_back(next.name);
            }
        }
        let mut cmd = redis::cmd(kind.command(subscribe));
        for name in &names {
            cmd.arg(&**name);
        }
        cmd.write_packed_command(out);
        Some(if subscribe { Command::Subscribe(kind, names) } else { Command::Unsubscribe(kind, names) })
    }

    /// Takes what the server sent.
    pub(super) fn accept(&mut self, value: Value, wakes: &mut Wakes) -> Result<(), Fault> {
        match frame::read(value)? {
            Frame::Message { kind, topic, channel, payload } => {
                self.messages += 1;
                let body = |name: &Arc<[u8]>| match channel {
                    Some(channel) => Body { pattern: Some(name.clone()), channel: channel.into(), payload },
                    None => Body { pattern: None, channel: name.clone(), payload },
                };
                self.topics.deliver(kind, &topic, body, wakes);
            }
            Frame::Invalidated(keys) => {
                self.messages += 1;
                self.topics.invalidate(keys.as_ref(), wakes);
            }
            Frame::Subscribed(kind, name) => {
                let Some((Command::Subscribe(asked, names), _)) = self.in_flight.front_mut() else {
                    return Err(ProtocolError::Unexpected.into());
                };
                let name = names.pop_front().filter(|next| *asked == kind && **next == *name);
                let name = name.ok_or(ProtocolError::Unexpected)?;
                let done = names.is_empty();
                let topic = Topic { kind, name };
                self.no_longer_asked(&topic);
                self.topics.confirm(&topic, wakes);
                if !self.topics.get_mut(&topic).is_some_and(|entry| entry.is_wanted()) {
                    self.touch(&topic);
                }
                self.answered(done);
            }
            Frame::Unsubscribed(kind, name) => self.unsubscribed(kind, &name),
            Frame::Reply(value) => self.reply(value, wakes)?,
            Frame::Other => {}
        }
        Ok(())
    }

    fn answered(&mut self, done: bool) {
        self.replies += 1;
        if done {
            self.in_flight.pop_front();
        }
    }

    fn unsubscribed(&mut self, kind: Kind, name: &[u8]) {
        let topic = Topic { kind, name: name.into() };
        if let Some((Command::Unsubscribe(asked, names), _)) = self.in_flight.front_mut()
            && *asked == kind
            && names.front().is_some_and(|next| **next == *name)
        {
            names.pop_front();
            let done = names.is_empty();
            self.answered(done);
            self.no_longer_asked(&topic);
            self.touch(&topic);
            return;
        }
        // The server lets go unasked when a slot moves away, or when it was told to.
        self.topics.lose(&topic);
        self.touch(&topic);
    }

    fn reply(&mut self, value: Value, wakes: &mut Wakes) -> Result<(), Fault> {
        let Some((command, since)) = self.in_flight.pop_front() else {
            return Err(ProtocolError::Unexpected.into());
        };
        self.replies += 1;
        if matches!(command, Command::Auth) {
            self.login = Some(value);
            return Ok(());
        }
        let error = value.extract_error().err().map(Error::answered);
        match (command, error) {
            (Command::Ping | Command::Auth, _) => Ok(()),
            (Command::Track { tracked, replies, anew, failed }, error) if replies > 1 => {
                let failed = failed.or(error);
                let rest = Command::Track { tracked, replies: replies - 1, anew, failed };
                self.in_flight.push_front((rest, since));
                Ok(())
            }
            (Command::Track { tracked, anew, failed: None, .. }, None) => {
                if anew {
                    // Between the two commands nothing was tracked.
                    self.topics.invalidate(None, wakes);
                }
                self.tracked = tracked;
                self.confirm_prefixes(wakes);
                Ok(())
            }
            (Command::Track { tracked, anew, failed, .. }, error) => {
                // Where `OFF` failed, everything is as it was; and so it is where only more was asked for.
                let stands = !anew || failed.is_some() || tracked.is_empty();
                match failed.or(error) {
                    Some(error) => self.not_tracked(stands, &tracked, &error, wakes),
                    None => Ok(()),
                }
            }
            (Command::Subscribe(kind, names), Some(error)) => self.refused(kind, names, &error, wakes),
            // Busy, or not allowed: the server keeps them, and so do we, until somebody wants them or the connection ends.
            (Command::Unsubscribe(kind, names), Some(_)) => {
                for name in names {
                    let topic = Topic { kind, name };
                    self.no_longer_asked(&topic);
                    self.topics.confirm(&topic, wakes);
                }
                Ok(())
            }
            // Its reply would have been pushed.
            (Command::Subscribe(..) | Command::Unsubscribe(..), _) => Err(ProtocolError::Unexpected.into()),
        }
    }

    /// The server refuses a command as a whole, for one name in it: each is asked for by itself then.
    fn refused(
        &mut self,
        kind: Kind,
        names: VecDeque<Arc<[u8]>>,
        error: &Error,
        wakes: &mut Wakes,
    ) -> Result<(), Fault> {
        let several = names.len() > 1;
        for name in names {
            let topic = Topic { kind, name };
            self.no_longer_asked(&topic);
            if several {
                if let Some(entry) = self.topics.get_mut(&topic) {
                    entry.alone = true;
                }
                self.touch(&topic);
                continue;
            }
            if self.topics.refuse(&topic, error) {
                if !is_final(error) {
                    return Err(Fault::Refused(error.clone()));
                }
                self.topics.revoke(&topic, error, wakes);
            } else if self.pinned.as_ref() == Some(&topic) && !is_final(error) {
                // Without it the connection could not be probed.
                return Err(Fault::Refused(error.clone()));
            } else {
                self.topics.map_mut(kind).remove(&topic.name);
            }
        }
        Ok(())
    }
}
