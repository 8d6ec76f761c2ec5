//! From values to bytes and back.

#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "postcard")]
mod postcard;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

#[cfg(feature = "msgpack")]
pub use msgpack::MsgPack;
#[cfg(feature = "postcard")]
pub use postcard::Postcard;

/// How a cache writes its values as bytes.
///
/// [`Json`] is the default. What one process wrote another decodes, perhaps with a newer type: give a cache another
/// schema number whenever the new code would misread the old bytes.
///
/// Implementations must not panic, whatever the bytes are.
pub trait Codec<V>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `out`.
    ///
    /// # Errors
    ///
    /// The value has no such bytes. What `out` then holds after its earlier content is of no use.
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The value that these bytes, all of them, are.
    ///
    /// # Errors
    ///
    /// The bytes are no such value.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;
}

/// A value has no bytes, or bytes are no value. It says why without showing either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(Cow<'static, str>);

impl CodecError {
    /// For codecs of your own. Errors are logged: `what` must not hold a part of the value.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

/// Values as JSON, by `serde_json`: readable by people and other languages, and forgiving of new optional fields.
///
/// Its limits are those of JSON: the keys of maps are text, and a float that is no number becomes `null`. Nests up to
/// 128 levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(|error| {
            // The only two of its messages that hold nothing of the value; all others are the value's own.
            let why = match error.to_string().as_str() {
                "key must be a string" => "a key of a map is no text",
                "float key must be finite (got NaN or +/-inf)" => "a key of a map is no finite number",
                _ => "it refuses",
            };
            CodecError::new(format!("the value cannot be written as JSON: {why}"))
        })
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| {
            let what = match error.classify() {
                Category::Eof => "JSON that ends early",
                Category::Data => "JSON of another type",
                Category::Syntax | Category::Io => "no JSON",
            };
            CodecError::new(format!("{what}, at line {} column {}", error.line(), error.column()))
        })
    }
}

/// Bytes and text as they are: [`Vec<u8>`] and [`String`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw;

impl Codec<Vec<u8>> for Raw {
    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

impl Codec<String> for Raw {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|error| CodecError::new(format!("no UTF-8 from byte {} on", error.valid_up_to())))
    }
}

#[cfg(test)]
mod tests;
