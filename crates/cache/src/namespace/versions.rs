//! The version of the namespace: what Redis has of it, and what this process knows of that.
//!
//! ```text
//! user:3:{:v}      <generation>-<removals>-<run id of the server it was made on>
//! user:3:{:v}:t    a hash: that generation and the count from which on it is complete, and for each tag that was removed
//!                  since the count at its last removal
//! ```
//!
//! A value says under which version its load began. It is valid in the same generation, if none of its tags was removed
//! at a later count. To clear the namespace its version is removed. A version that is gone (removed, evicted, flushed)
//! takes its generation with it, and so does a server that is not the one which made it: that may serve older data, in
//! which what was removed since is still there. A hash that is gone can vouch for nothing older than the present count, nor
//! can the one that is begun in its place.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use cenote_pool_core::redis::{self, Cmd, FromRedisValue, Value};
use parking_lot::Mutex;

use super::names::Names;
use super::version::MOST_REMOVALS;
use super::{Epochs, Place, Version};

/// Servers that came and went and may return.
const MOST_LEFT: usize = 16;
/// Removed tags that are remembered. With more of them a new generation is cheaper.
const MOST_TAGS: usize = 10_000;

/// Makes a generation unless there is one of this server's; returns what there is. Which server this is, it knows best:
/// its caller may not have heard from it yet, and must not replace what all others have. A generation that the caller has
/// left for another server is replaced, too: what happened there is unknown here.
const MAKE: &str = r"
local v = redis.call('GET', KEYS[1])
local g, made_on = string.match(v or '', '^(%x+)%-%d+%-(.*)$')
for i = 3, #ARGV do if g == ARGV[i] then made_on = nil end end
if made_on and made_on == ARGV[2] then return v end
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ARGV[2]
if made_on and made_on == run then return v end
v = ARGV[1] .. '-0-' .. run
redis.call('SET', KEYS[1], v)
return v
";

/// Notes the removal of a tag. Without a generation there is nothing to remove.
const REMOVE_TAG: &str = r"
local v = redis.call('GET', KEYS[1])
if not v then return 0 end
local g, r, run = string.match(v, '^(%x+)%-(%d+)%-(.*)$')
if not g or tonumber(r) >= tonumber(ARGV[2]) or redis.call('HLEN', KEYS[2]) > tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 0
end
local began = redis.call('HGET', KEYS[2], '')
if not began or string.match(began, '^(%x+)%-') ~= g then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], '', g .. '-' .. r)
end
r = tonumber(r) + 1
redis.call('HSET', KEYS[2], ARGV[1], r)
redis.call('SET', KEYS[1], g .. '-' .. string.format('%d', r) .. '-' .. run)
return r
";

#[derive(Debug)]
pub(crate) struct Versions {
    place: Place,
    /// What is known, or 0: a copy of what the lock guards.
    known: AtomicU64,
    /// The pool's count of servers at which it was last looked.
    server: AtomicU64,
    /// The generation that Redis last had, and those that were left when another server took its place.
    present: AtomicU64,
    left: Mutex<VecDeque<u64>>,
    /// Invariant: `known` is set under this lock, and only if the version was not touched since it was asked for; and it
    /// is forgotten under it, together with the touch. So it never outlives what it was read from.
    lock: Mutex<()>,
}

impl Versions {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            known: AtomicU64::new(0),
            server: AtomicU64::new(0),
            present: AtomicU64::new(0),
            left: Mutex::default(),
            lock: Mutex::new(()),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// What is known; true for as long as tracking is live.
    pub(crate) fn known(&self) -> Version {
        Version::from_bits(self.known.load(Ordering::Acquire))
    }

    pub(crate) fn learn(&self, epochs: &Epochs, version: Version, since: u64) {
        if self.known() == version {
            return;
        }
        let _lock = self.lock.lock();
        if epochs.holds(self.place, since) {
            self.known.store(version.bits(), Ordering::Release);
        }
    }

    pub(super) fn forget(&self, touch: impl FnOnce()) {
        let _lock = self.lock.lock();
        touch();
        self.known.store(0, Ordering::Release);
    }

    /// True until it is [noted](Self::note_server).
    pub(super) fn is_of_another_server(&self, now: u64) -> bool {
        self.server.load(Ordering::Acquire) < now
    }

    /// Everything from before this server is forgotten, and its generation left for good: should the former server
    /// return, it does not know what was removed on this one.
    pub(super) fn note_server(&self, now: u64) {
        let present = self.present.swap(0, Ordering::AcqRel);
        if present != 0 {
            let mut left = self.left.lock();
            if left.len() == MOST_LEFT {
                left.pop_front();
            }
            left.push_back(present);
        }
        self.server.fetch_max(now, Ordering::AcqRel);
    }

    /// What a reply says, if it is no generation that was left.
    pub(super) fn accept(&self, version: Version) -> Version {
        if !version.is_known() {
            return version;
        }
        let generation = version.generation();
        if self.present.load(Ordering::Acquire) == generation {
            return version;
        }
        if self.left.lock().contains(&generation) {
            return Version::NONE;
        }
        self.present.store(generation, Ordering::Release);
        version
    }

    pub(super) fn left(&self) -> Vec<u64> {
        self.left.lock().iter().copied().collect()
    }
}

/// A version as Redis has it, if it was made on the server with this run id.
pub(crate) fn parse(reply: &Value, run_id: Option<&str>) -> Version {
    let parsed = || {
        let text = String::from_redis_value_ref(reply).ok()?;
        let mut parts = text.splitn(3, '-');
        let generation = u64::from_str_radix(parts.next()?, 16).ok()?;
        let removals: u64 = parts.next()?.parse().ok()?;
        let ours = parts.next()? == run_id.unwrap_or_default();
        let fits = (1..1 << 40).contains(&generation) && removals <= MOST_REMOVALS;
        (ours && fits).then(|| Version::new(generation, removals))
    };
    parsed().unwrap_or(Version::NONE)
}

/// Makes a generation, if there is none of this server's; the reply is for [`parse`].
pub(crate) fn make(names: &Names, run_id: Option<&str>, left: &[u64]) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(MAKE).arg(1).arg(&names.versions);
    cmd.arg(format!("{:x}", Version::random_generation())).arg(run_id.unwrap_or_default());
    for generation in left {
        cmd.arg(format!("{generation:x}"));
    }
    cmd
}

pub(crate) fn remove_tag(names: &Names, tag: &str) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(REMOVE_TAG).arg(2).arg(&names.versions).arg(&names.tags);
    cmd.arg(tag).arg(MOST_REMOVALS).arg(MOST_TAGS);
    cmd
}

/// When tags were removed, as far as it was asked.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    /// From which version on that is complete.
    began: Option<Version>,
    counts: HashMap<String, u64>,
}

impl Removals {
    /// Asks when these tags were removed.
    pub(crate) fn ask(names: &Names, tags: &[&str]) -> Cmd {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&names.tags).arg("").arg(tags);
        cmd
    }

    /// The reply to [`ask`](Self::ask).
    pub(crate) fn read(reply: &Value, tags: &[&str]) -> Self {
        let fields = Vec::<Option<String>>::from_redis_value_ref(reply).unwrap_or_default();
        let mut fields = fields.into_iter();
        let began = fields.next().flatten().and_then(|text| {
            let (generation, removals) = text.split_once('-')?;
            Some(Version::new(u64::from_str_radix(generation, 16).ok()?, removals.parse().ok()?))
        });
        // A count that cannot be read is a removal that cannot be ruled out.
        let count = |text: Option<String>| text.map_or(0, |text| text.parse().unwrap_or(u64::MAX));
        let counts = tags.iter().zip(fields).map(|(tag, text)| ((*tag).to_owned(), count(text))).collect();
        Self { began, counts }
    }

    /// None of these tags was removed since `loaded`.
    pub(crate) fn vouch_for<'a>(&self, loaded: Version, mut tags: impl Iterator<Item = &'a str>) -> bool {
        let covers =
            self.began.is_some_and(|began| loaded.is_of(began) && began.removals() <= loaded.removals());
        covers && tags.all(|tag| self.counts.get(tag).is_some_and(|count| *count <= loaded.removals()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_version_of_another_server_or_none_at_all_is_unknown() {
        assert_eq!(parse(&text("ff-7-run"), Some("run")), Version::new(0xff, 7));
        assert_eq!(parse(&text("ff-7-"), None), Version::new(0xff, 7));
        for (other, run_id) in [
            ("ff-7-run", Some("other")),
            ("ff-7-run", None),
            ("0-7-run", Some("run")),
            ("ff-99999999-run", Some("run")),
            ("fffffffffff-7-run", Some("run")),
            ("what", Some("run")),
            ("", Some("run")),
        ] {
            assert!(!parse(&text(other), run_id).is_known(), "{other}");
        }
        assert!(!parse(&Value::Nil, Some("run")).is_known());
    }

    #[test]
    fn a_tag_removed_later_or_a_hash_that_is_gone_vouches_for_nothing() {
        let loaded = Version::new(0xff, 7);
        let reply = |fields: &[Option<&str>]| {
            Value::Array(fields.iter().map(|field| field.map_or(Value::Nil, text)).collect())
        };
        let vouches = |fields: &[Option<&str>]| {
            let tags = &["a", "b"][..fields.len().saturating_sub(1).min(2)];
            Removals::read(&reply(fields), tags).vouch_for(loaded, tags.iter().copied())
        };
        assert!(vouches(&[Some("ff-0"), None, Some("7")]));
        assert!(vouches(&[Some("ff-7"), None]));
        assert!(!vouches(&[Some("ff-8"), None]));
        assert!(!vouches(&[Some("ff-0"), None, Some("8")]));
        assert!(!vouches(&[Some("fe-0"), None, Some("7")]));
        assert!(!vouches(&[Some("ff"), None]));
        assert!(!vouches(&[None, None]));
        assert!(!vouches(&[Some("ff-0"), Some("x")]));
        assert!(!Removals::read(&Value::Nil, &["a"]).vouch_for(loaded, ["a"].into_iter()));
        let others = Removals::read(&reply(&[Some("ff-0"), None]), &["a"]);
        assert!(!others.vouch_for(loaded, ["b"].into_iter()), "it was not asked for");
    }

    #[test]
    fn a_generation_that_was_left_for_another_server_is_not_believed_when_that_is_back() {
        let versions = Versions::new(Epochs::new(64).place(b"v"));
        let (first, second) = (Version::new(1, 5), Version::new(2, 0));
        versions.note_server(1);
        assert_eq!(versions.accept(first), first);
        versions.note_server(2);
        assert_eq!(versions.accept(second), second);
        assert_eq!(versions.accept(first), Version::NONE);
        versions.note_server(3);
        assert_eq!(versions.accept(second), Version::NONE);
        assert_eq!(versions.left(), [1, 2]);
    }

    #[test]
    fn what_is_learned_from_before_a_touch_is_not_kept() {
        let epochs = Epochs::new(64);
        let versions = Versions::new(epochs.place(b"v"));
        let before = epochs.now();
        versions.forget(|| epochs.touch(versions.place()));
        versions.learn(&epochs, Version::new(1, 0), before);
        assert!(!versions.known().is_known());
        versions.learn(&epochs, Version::new(1, 0), epochs.now());
        assert!(versions.known().is_known());
    }

    /// One thread is Redis and tells of its changes; some ask it, and some use what is known.
    #[test]
    fn whatever_threads_do_meanwhile_nothing_older_than_what_was_told_is_known_or_holds() {
        const CHANGES: u64 = 20_000;
        let epochs = Epochs::new(64);
        let versions = Versions::new(epochs.place(b"v"));
        let (redis, told) = (AtomicU64::new(1), AtomicU64::new(1));
        let ask = || {
            while told.load(Ordering::SeqCst) < CHANGES {
                let since = epochs.now();
                let version = redis.load(Ordering::SeqCst);
                if version % 3 == 0 {
                    std::thread::yield_now();
                }
                versions.learn(&epochs, Version::new(version, 0), since);
                let by_now = told.load(Ordering::SeqCst);
                assert!(version >= by_now || !epochs.holds(versions.place(), since));
                let by_now = told.load(Ordering::SeqCst);
                let known = versions.known().bits() >> 24;
                assert!(known == 0 || known >= by_now, "{known} is known, and {by_now} was told");
            }
        };
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(ask)));
            for change in 2..=CHANGES {
                redis.store(change, Ordering::SeqCst);
                match change % 5 {
                    0 => versions.forget(|| epochs.touch_all()),
                    _ => versions.forget(|| epochs.touch(versions.place())),
                }
                told.store(change, Ordering::SeqCst);
                if change % 7 == 0 {
                    std::thread::yield_now();
                }
            }
        });
    }
}
