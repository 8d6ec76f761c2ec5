//! Tracking of keys: which prefixes the server is asked for, and what becomes of those who wait. It refuses prefixes
//! of which one begins with another, and cannot forget a single one.

use std::sync::Arc;

use redis::Cmd;

use super::fault::{Fault, is_final};
use super::machine::{Command, Machine, Protocol};
use super::queue::Wakes;
use super::topics::{Kind, Topic};
use crate::error::{Error, Kind as ErrorKind};

pub(super) type Prefix = Arc<[u8]>;

/// What brings the server's prefixes in line with those that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// All that is wanted is tracked.
    Nothing,
    /// These come on top of the others.
    Add(Vec<Prefix>),
    /// Everything is given up, and these are tracked.
    Redo(Vec<Prefix>),
    Stop,
}

pub(super) fn plan(wanted: &[Prefix], tracked: &[Prefix]) -> Plan {
    if wanted.is_empty() {
        return if tracked.is_empty() { Plan::Nothing } else { Plan::Stop };
    }
    let missing: Vec<_> = wanted.iter().filter(|prefix| !is_covered(prefix, tracked)).cloned().collect();
    if missing.is_empty() {
        return Plan::Nothing;
    }
    let widens = tracked.iter().any(|prefix| is_covered(prefix, &missing));
    if widens { Plan::Redo(cover(wanted)) } else { Plan::Add(cover(&missing)) }
}

/// Some of `by` is how `prefix` begins.
pub(super) fn is_covered(prefix: &[u8], by: &[Prefix]) -> bool {
    by.iter().any(|shorter| prefix.starts_with(shorter))
}

/// Without those that others cover.
fn cover(prefixes: &[Prefix]) -> Vec<Prefix> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    // In this order what begins with another comes right after it.
    let mut cover: Vec<Prefix> = Vec::new();
    for prefix in sorted {
        if !cover.last().is_some_and(|last| prefix.starts_with(last)) {
            cover.push(prefix);
        }
    }
    cover
}

impl Machine {
    /// All prefixes at once: the server cannot forget a single one.
    pub(super) fn track(
        &mut self,
        protocol: Protocol,
        out: &mut Vec<u8>,
        wakes: &mut Wakes,
    ) -> Option<Command> {
        let map = self.topics.map_mut(Kind::Prefix);
        map.retain(|_, entry| entry.is_wanted());
        let wanted: Vec<Prefix> = map.keys().cloned().collect();
        if protocol == Protocol::Resp2 && !wanted.is_empty() {
            let why =
                "tracking keys needs RESP3, which this server does not speak (or ?protocol=resp2 forbids)";
            self.revoke_prefixes(&wanted, &Error::not_sent(ErrorKind::Refused, why), wakes);
            return None;
        }
        let (prefixes, tracked, anew) = match plan(&wanted, &self.tracked) {
            Plan::Nothing => {
                self.confirm_prefixes(wakes);
                return None;
            }
            Plan::Add(more) => {
                let all = self.tracked.iter().chain(&more).cloned().collect();
                (more, all, false)
            }
            Plan::Redo(all) => (all.clone(), all, true),
            Plan::Stop => (Vec::new(), Vec::new(), true),
        };
        if anew {
            tracking_command("OFF").write_packed_command(out);
        }
        if !prefixes.is_empty() {
            let mut on = tracking_command("ON");
            on.arg("BCAST");
            for prefix in &prefixes {
                on.arg("PREFIX").arg(&**prefix);
            }
            on.write_packed_command(out);
        }
        let replies = usize::from(anew) + usize::from(!prefixes.is_empty());
        Some(Command::Track { tracked, replies, anew, failed: None })
    }

    pub(super) fn confirm_prefixes(&mut self, wakes: &mut Wakes) {
        let names: Vec<Prefix> = self.topics.map(Kind::Prefix).keys().cloned().collect();
        for name in names.into_iter().filter(|name| is_covered(name, &self.tracked)) {
            self.topics.confirm(&Topic { kind: Kind::Prefix, name }, wakes);
        }
    }

    pub(super) fn revoke_prefixes(&mut self, prefixes: &[Prefix], error: &Error, wakes: &mut Wakes) {
        for name in prefixes {
            self.topics.revoke(&Topic { kind: Kind::Prefix, name: name.clone() }, error, wakes);
        }
    }

    /// The server would not track what was asked. Whoever waited is told. Those who had it keep it if what there was
    /// `stands`; otherwise they lose it for good, or the connection with it, if the server may think better of it.
    pub(super) fn not_tracked(
        &mut self,
        stands: bool,
        asked: &[Prefix],
        error: &Error,
        wakes: &mut Wakes,
    ) -> Result<(), Fault> {
        if stands {
            // Some may be covered by what there is.
            self.confirm_prefixes(wakes);
        } else {
            self.tracked.clear();
        }
        // Those that came since the command was sent have their turn yet.
        let entries = self.topics.map(Kind::Prefix).iter();
        let failed = entries.filter(|(name, entry)| is_covered(name, asked) && !(stands && entry.confirmed));
        let names: Vec<Prefix> = failed.map(|(name, _)| name.clone()).collect();
        let mut others = false;
        for name in names {
            let topic = Topic { kind: Kind::Prefix, name };
            if self.topics.refuse(&topic, error) && is_final(error) {
                self.topics.revoke(&topic, error, wakes);
            } else {
                others |= self.topics.get_mut(&topic).is_some_and(|entry| entry.is_wanted());
                self.touch(&topic);
            }
        }
        if others { Err(Fault::Refused(error.clone())) } else { Ok(()) }
    }
}

fn tracking_command(switch: &str) -> Cmd {
    let mut cmd = redis::cmd("CLIENT");
    cmd.arg("TRACKING").arg(switch);
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(names: &[&str]) -> Vec<Prefix> {
        names.iter().map(|name| Arc::from(name.as_bytes())).collect()
    }

    #[test]
    fn the_server_is_asked_for_no_two_prefixes_of_which_one_begins_with_the_other() {
        let wanted = prefixes(&["user:", "flags:", "user:admin:", "u", "flags:"]);
        assert_eq!(plan(&wanted, &[]), Plan::Add(prefixes(&["flags:", "u"])));
        assert_eq!(plan(&prefixes(&["", "a"]), &[]), Plan::Add(prefixes(&[""])));
    }

    #[test]
    fn what_is_covered_costs_nothing_and_what_widens_is_done_anew() {
        let tracked = prefixes(&["user:"]);
        assert_eq!(plan(&prefixes(&["user:admin:"]), &tracked), Plan::Nothing);
        assert_eq!(plan(&prefixes(&["user:", "flags:"]), &tracked), Plan::Add(prefixes(&["flags:"])));
        assert_eq!(plan(&prefixes(&["user:", "us"]), &tracked), Plan::Redo(prefixes(&["us"])));
        assert_eq!(plan(&[], &tracked), Plan::Stop);
        assert_eq!(plan(&[], &[]), Plan::Nothing);
    }
}
