//! What is stored under a key: a value of one of four kinds and perhaps a date on which it ends.

use super::value::{HashValue, ListValue, SetValue};

/// Bytes that an entry is charged beside its key and its value: list node, map slot, deadline, allocator.
pub(crate) const ENTRY_OVERHEAD: usize = 160;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) data: Data,
    /// Milliseconds since the Unix epoch; the entry is still there in that very millisecond, as in Redis.
    pub(crate) expires_at: Option<i64>,
}

impl Entry {
    pub(crate) fn expired(&self, now: &Now<'_>) -> bool {
        self.expires_at.is_some_and(|at| now.ms() > at)
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

#[derive(Debug)]
pub(crate) enum Data {
    String(Vec<u8>),
    Hash(Box<HashValue>),
    Set(Box<SetValue>),
    List(Box<ListValue>),
}

impl Data {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::List(_) => "list",
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::String(value) => value.bytes(),
            Self::Hash(value) => value.bytes(),
            Self::Set(value) => value.bytes(),
            Self::List(value) => value.bytes(),
        }
    }
}

/// One of the four kinds, so that commands say which they mean and get `WRONGTYPE` for the others.
pub(crate) trait Kind: Default {
    fn of(data: &Data) -> Option<&Self>;
    fn of_mut(data: &mut Data) -> Option<&mut Self>;
    fn into_data(self) -> Data;
    /// What the value is charged.
    fn bytes(&self) -> usize;
    /// Whether Redis would remove the key: a collection without elements.
    fn vacant(&self) -> bool;
}

impl Kind for Vec<u8> {
    fn of(data: &Data) -> Option<&Self> {
        if let Data::String(value) = data { Some(value) } else { None }
    }

    fn of_mut(data: &mut Data) -> Option<&mut Self> {
        if let Data::String(value) = data { Some(value) } else { None }
    }

    fn into_data(self) -> Data {
        Data::String(self)
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
        impl Kind for $kind {
            fn of(data: &Data) -> Option<&Self> {
                if let Data::$variant(value) = data { Some(value) } else { None }
            }

            fn of_mut(data: &mut Data) -> Option<&mut Self> {
                if let Data::$variant(value) = data { Some(value) } else { None }
            }

            fn into_data(self) -> Data {
                Data::$variant(Box::new(self))
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
