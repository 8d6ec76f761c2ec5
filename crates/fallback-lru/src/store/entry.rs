//! What is stored under a key: a value of one of four kinds and perhaps a date on which it ends.

use std::num::NonZero;

use super::key::Hashed;
use super::text::Text;
use super::value::{HashValue, ListValue, SetValue};

/// Bytes that an entry is charged beside its key and its value: list node, map slot, deadline, allocator.
pub(crate) const ENTRY_OVERHEAD: usize = 160;

/// Half a cache line, and never across two.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(crate) struct Entry {
    pub(crate) data: Data,
    /// Without a date none. It is in the future when it is stored, so never zero.
    expires_at: Option<NonZero<i64>>,
}

impl Entry {
    pub(crate) fn new(data: Data, expires_at: Option<i64>) -> Self {
        let mut entry = Self { data, expires_at: None };
        entry.set_expires_at(expires_at);
        entry
    }

    /// Milliseconds since the Unix epoch; the entry is still there in that very millisecond, as in Redis.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        self.expires_at.map(NonZero::get)
    }

    pub(crate) fn set_expires_at(&mut self, at: Option<i64>) {
        self.expires_at = at.map(|at| NonZero::new(at).unwrap_or(NonZero::<i64>::MIN));
    }

    #[inline]
    pub(crate) fn expired(&self, now: &Now<'_>) -> bool {
        self.expires_at.is_some_and(|at| now.ms() > at.get())
    }
}

/// The time of one command, read at most once and only when an expiry has to be judged.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    clock: &'a dyn cenote_pool_core::Clock,
    ms: std::cell::OnceCell<i64>,
}

impl<'a> Now<'a> {
    pub(crate) fn new(clock: &'a dyn cenote_pool_core::Clock) -> Self {
        Self { clock, ms: std::cell::OnceCell::new() }
    }

    pub(crate) fn ms(&self) -> i64 {
        *self.ms.get_or_init(|| i64::try_from(self.clock.unix_time().as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn unix_time(&self) -> std::time::Duration {
        self.clock.unix_time()
    }
}

/// A value and its key.
#[derive(Debug)]
pub(crate) enum Data {
    String(Text),
    Collection(Box<Keyed>),
}

/// A collection and its key.
#[derive(Debug)]
pub(crate) struct Keyed {
    key: Box<[u8]>,
    hash: u32,
    value: Collection,
}

#[derive(Debug)]
enum Collection {
    Hash(HashValue),
    Set(SetValue),
    List(ListValue),
}

impl Keyed {
    fn new(key: Hashed<'_>, value: Collection) -> Box<Self> {
        Box::new(Self { key: key.bytes.into(), hash: key.short_hash(), value })
    }
}

impl Default for Data {
    /// Takes no memory.
    fn default() -> Self {
        Self::String(Text::default())
    }
}

impl Data {
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::String(text) => text.key(),
            Self::Collection(keyed) => &keyed.key,
        }
    }

    #[inline]
    pub(crate) fn short_hash(&self) -> u32 {
        match self {
            Self::String(text) => text.short_hash(),
            Self::Collection(keyed) => keyed.hash,
        }
    }

    /// The same value under another key.
    pub(crate) fn under(self, key: Hashed<'_>) -> Self {
        match self {
            Self::String(text) => Self::String(Text::new(key, text.value())),
            Self::Collection(keyed) => Self::Collection(Keyed::new(key, keyed.value)),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Collection(keyed) => match keyed.value {
                Collection::Hash(_) => "hash",
                Collection::Set(_) => "set",
                Collection::List(_) => "list",
            },
        }
    }

    /// What the value is charged.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Collection(keyed) => match &keyed.value {
                Collection::Hash(hash) => hash.charged(),
                Collection::Set(set) => set.charged(),
                Collection::List(list) => list.charged(),
            },
        }
    }
}

/// One of the four kinds, so that commands say which they mean and get `WRONGTYPE` for the others.
pub(crate) trait Kind: Sized {
    /// What a key holds that was not there, before anything is done to it.
    fn fresh(key: Hashed<'_>) -> Data;
    fn of(data: &Data) -> Option<&Self>;
    fn of_mut(data: &mut Data) -> Option<&mut Self>;
    /// What the value is charged.
    fn bytes(&self) -> usize;
    /// Whether Redis would remove the key: a collection without elements.
    fn vacant(&self) -> bool;
}

impl Kind for Text {
    fn fresh(key: Hashed<'_>) -> Data {
        Data::String(Self::new(key, b""))
    }

    fn of(data: &Data) -> Option<&Self> {
        if let Data::String(text) = data { Some(text) } else { None }
    }

    fn of_mut(data: &mut Data) -> Option<&mut Self> {
        if let Data::String(text) = data { Some(text) } else { None }
    }

    fn bytes(&self) -> usize {
        self.len()
    }

    fn vacant(&self) -> bool {
        false
    }
}

macro_rules! collection {
    ($kind:ty, $variant:ident) => {
        impl $kind {
            pub(crate) fn under(self, key: Hashed<'_>) -> Data {
                Data::Collection(Keyed::new(key, Collection::$variant(self)))
            }
        }

        impl Kind for $kind {
            fn fresh(key: Hashed<'_>) -> Data {
                Self::default().under(key)
            }

            fn of(data: &Data) -> Option<&Self> {
                match data {
                    Data::Collection(keyed) => match &keyed.value {
                        Collection::$variant(value) => Some(value),
                        _ => None,
                    },
                    Data::String(_) => None,
                }
            }

            fn of_mut(data: &mut Data) -> Option<&mut Self> {
                match data {
                    Data::Collection(keyed) => match &mut keyed.value {
                        Collection::$variant(value) => Some(value),
                        _ => None,
                    },
                    Data::String(_) => None,
                }
            }

            fn bytes(&self) -> usize {
                self.charged()
            }

            fn vacant(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

collection!(HashValue, Hash);
collection!(SetValue, Set);
collection!(ListValue, List);
