//! A value of one of four kinds, and its key.

use super::key::Hashed;
use super::text::Text;
use super::value::{HashValue, ListValue, SetValue};

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
