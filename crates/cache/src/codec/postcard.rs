use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError};

/// Values in the format of `postcard`: small, fast, and without names. With the feature `postcard`.
///
/// A field that was added, removed or moved makes the old bytes another value, which is not always noticed: give the
/// cache another schema number with every change of the type. Attributes like `skip_serializing_if`, `untagged` and
/// `flatten` do not work with it. How deep a type that contains itself nests is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Postcard;

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        // Its messages are fixed texts.
        postcard::to_io(value, out)
            .map(drop)
            .map_err(|error| CodecError::new(format!("the value cannot be written by postcard: {error}")))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => {
                Err(CodecError::new(format!("postcard of another type: {} bytes too many", rest.len())))
            }
            Err(error) => Err(CodecError::new(format!("no postcard of this type: {error}"))),
        }
    }
}
