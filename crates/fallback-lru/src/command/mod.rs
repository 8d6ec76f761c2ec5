//! The commands: a table that says what each is, and the context that each runs in.

mod counters;
mod expiry;
mod hashes;
mod keys;
mod lists;
mod server;
mod set_options;
mod sets;
mod strings;
mod table;

use redis::Value;

pub(crate) use table::TABLE;

use crate::reply::Refused;
use crate::store::{Data, Entry, Hashed, Kind, Locked, Now, Shard, Text};

pub(crate) type Reply = Result<Value, Refused>;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In upper case.
    pub(crate) name: &'static str,
    /// As in Redis: the number of words with the name, or the least number of them if negative.
    pub(crate) arity: i8,
    pub(crate) keys: Keys,
    run: fn(&mut Cx<'_, '_>) -> Reply,
}

/// Which of a command's words are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// The first one behind the name.
    First,
    /// The first two.
    FirstTwo,
    /// All behind the name.
    All,
    /// Every other one: keys and values in turn.
    Pairs,
    /// The whole store is looked at or changed.
    Whole,
}

impl Spec {
    /// Finds a command by its name in any case.
    pub(crate) fn find(name: &[u8]) -> Option<&'static Self> {
        let mut padded = [0; 16];
        padded.get_mut(..name.len())?.copy_from_slice(name);
        padded.make_ascii_uppercase();
        let found = table::NUMBERS.binary_search(&u128::from_be_bytes(padded)).ok()?;
        // A name that ends in zeros pads to the same number as one without them.
        TABLE.get(found).filter(|spec| spec.name.len() == name.len())
    }

    pub(crate) fn accepts(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// The keys among a command's words.
    pub(crate) fn keys<'a, 'w>(&self, args: &'w [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'w> {
        let (most, step) = match self.keys {
            Keys::None | Keys::Whole => (0, 1),
            Keys::First => (1, 1),
            Keys::FirstTwo => (2, 1),
            Keys::All => (usize::MAX, 1),
            Keys::Pairs => (usize::MAX, 2),
        };
        args.iter().skip(1).step_by(step).take(most).copied()
    }
}

/// What a running command sees: its words, its keys with their hashes, and the shards that hold them.
#[derive(Debug)]
pub(crate) struct Cx<'a, 's> {
    pub(crate) spec: &'static Spec,
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) keys: &'a [Hashed<'a>],
    pub(crate) locked: &'a mut Locked<'s>,
    pub(crate) now: &'a Now<'s>,
}

impl<'a> Cx<'a, '_> {
    /// Runs the command. Its arity was checked.
    pub(crate) fn run(mut self) -> Value {
        (self.spec.run)(&mut self).unwrap_or_else(Refused::into_value)
    }

    /// The word at `index`, the name being the first.
    fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index).copied().unwrap_or_default()
    }

    /// The words from `index` on.
    fn rest(&self, index: usize) -> &'a [&'a [u8]] {
        self.args.get(index..).unwrap_or_default()
    }

    fn wrong_arity(&self) -> Refused {
        Refused::arity(self.spec.name)
    }

    fn shard(&mut self, key: usize) -> (&mut Shard, Hashed<'a>, &'a Now<'a>) {
        let hashed = self.keys[key];
        (self.locked.of_mut(hashed), hashed, self.now)
    }

    /// Looks at any live value and makes it the most recently used.
    fn touch<R>(&mut self, key: usize, f: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (shard, key, now) = self.shard(key);
        shard.touch(key, now).map(f)
    }

    /// Whether the key is there; makes it the most recently used.
    fn found(&mut self, key: usize) -> bool {
        self.touch(key, |_| ()).is_some()
    }

    /// Looks at a live entry without a trace, as `TTL` and `EXISTS` do.
    fn peek(&self, key: usize) -> Option<&Entry> {
        let key = self.keys[key];
        self.locked.of(key).peek(key, self.now)
    }

    /// Reads a value of the kind asked for and makes it the most recently used.
    fn read<T: Kind, R>(&mut self, key: usize, f: impl FnOnce(&T) -> R) -> Result<Option<R>, Refused> {
        self.touch(key, |entry| T::of(&entry.data).map(f).ok_or(Refused::WRONG_TYPE)).transpose()
    }

    /// Changes a value, or makes one; `growth` tells beforehand by how many bytes it will grow.
    fn upsert<T: Kind, R: Default>(
        &mut self,
        key: usize,
        growth: impl FnOnce(&T) -> usize,
        change: impl FnOnce(&mut T) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let (shard, key, now) = self.shard(key);
        shard.modify(key, now, true, growth, change).map(Option::unwrap_or_default)
    }

    /// Changes a value if it is there.
    fn update<T: Kind, R>(
        &mut self,
        key: usize,
        growth: impl FnOnce(&T) -> usize,
        change: impl FnOnce(&mut T) -> Result<R, Refused>,
    ) -> Result<Option<R>, Refused> {
        let (shard, key, now) = self.shard(key);
        shard.modify(key, now, false, growth, change)
    }

    fn put_string(&mut self, key: usize, value: &[u8], expires_at: Option<i64>) -> Result<(), Refused> {
        self.put(key, Data::String(Text::new(self.keys[key], value)), expires_at)
    }

    /// Stores a value that is of this key.
    fn put(&mut self, key: usize, data: Data, expires_at: Option<i64>) -> Result<(), Refused> {
        let (shard, key, now) = self.shard(key);
        shard.put(key, data, expires_at, now)
    }

    fn remove(&mut self, key: usize) -> bool {
        let (shard, key, now) = self.shard(key);
        shard.remove(key, now)
    }

    fn set_expiry(&mut self, key: usize, expires_at: Option<i64>) {
        let (shard, key, _) = self.shard(key);
        shard.set_expiry(key, expires_at);
    }

    /// How many keys satisfy `f`, each counted as often as it is named.
    fn count(&mut self, f: impl Fn(&mut Self, usize) -> bool) -> Reply {
        let count = (0..self.keys.len()).filter(|key| f(self, *key)).count();
        Ok(crate::reply::int(count))
    }
}
