use rmp_serde::{Deserializer, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError};

/// As deep as JSON.
const MAX_DEPTH: usize = 128;

/// Values as MessagePack, structs as maps by field name: smaller than JSON and as forgiving of new optional fields, and
/// readable by other languages. With the feature `msgpack`.
///
/// Nests up to 128 levels. A `Vec<u8>` is an array of numbers, unless its field says `serde_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsgPack;

impl<V: Serialize + DeserializeOwned> Codec<V> for MsgPack {
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode::write_named(out, value).map_err(|error| {
            let why = match error {
                encode::Error::UnknownLength => "the length of a sequence is not known beforehand",
                encode::Error::InvalidDataModel(why) => why,
                encode::Error::DepthLimitExceeded => "it nests too deep",
                encode::Error::InvalidValueWrite(_) | encode::Error::Syntax(_) => "it refuses",
            };
            CodecError::new(format!("the value cannot be written as MessagePack: {why}"))
        })
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        let mut rest = bytes;
        let mut deserializer = Deserializer::new(&mut rest);
        deserializer.set_max_depth(MAX_DEPTH);
        let value = V::deserialize(&mut deserializer);
        let at = bytes.len() - rest.len();
        let what = match value {
            Ok(value) if rest.is_empty() => return Ok(value),
            Ok(_) => "MessagePack that ends early",
            Err(decode::Error::InvalidMarkerRead(_) | decode::Error::InvalidDataRead(_)) => {
                "MessagePack that is cut off"
            }
            Err(decode::Error::Utf8Error(_)) => "MessagePack whose text is no UTF-8",
            Err(decode::Error::DepthLimitExceeded) => "MessagePack that nests too deep",
            Err(_) => "no MessagePack of this type",
        };
        Err(CodecError::new(format!("{what}, at byte {at}")))
    }
}
