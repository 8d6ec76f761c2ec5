use crate::codec::CodecError;
use crate::compress::CompressionError;

/// Why bytes in Redis are not taken for an entry. They count as a miss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// Something else wrote them: they do not begin as an entry.
    #[error("no entry of a cache: something else wrote this key")]
    Foreign,
    /// A newer release wrote them, in an envelope of this version.
    #[error("an entry in version {0} of the envelope, and this release reads version 1")]
    FutureVersion(u8),
    /// They end too early.
    #[error("an entry that is cut off")]
    Truncated,
    /// They are an entry that no release would write.
    #[error("an entry that no release would write: {0}")]
    Malformed(&'static str),
    /// They were changed on the way or where they lie.
    #[error("an entry that was changed: its checksum is another")]
    Checksum,
    /// The codec does not take them for a value.
    #[error("an entry whose value is {0}")]
    Codec(#[from] CodecError),
    /// The value cannot be made whole again.
    #[error("an entry whose value is {0}")]
    Compression(#[from] CompressionError),
}
