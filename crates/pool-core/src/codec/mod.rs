//! RESP2 and RESP3 replies, decoded incrementally from bytes alone: no socket, no clock, no task.

mod decode;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use decode::Decoder;

/// What one reply may claim. A reply past a bound ends the connection, not the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one bulk string.
    pub(crate) bulk: usize,
    /// Levels of nesting.
    pub(crate) depth: usize,
    /// Elements of one array, map, set or push.
    pub(crate) elements: usize,
    /// Bytes of one line: a header, a number, a simple string or an error.
    pub(crate) line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bulk: 512 << 20, depth: 100, elements: 128 << 20, line: 1 << 20 }
    }
}

fn guess(first: u8) -> &'static str {
    // An alert, or a handshake.
    if matches!(first, 0x15 | 0x16) {
        "that is TLS, for which the URL is a rediss:// one"
    } else {
        "is this a Redis server?"
    }
}

/// The peer does not speak the protocol, or claims more than [`Limits`] allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("a reply began with {0:#04x}, which the Redis protocol does not know: {guess}", guess = guess(*.0))]
    NotRedis(u8),
    #[error("a reply's {0} is malformed")]
    Malformed(&'static str),
    #[error("a reply claims {claimed} {what}, more than the {limit} allowed")]
    TooLarge { what: &'static str, claimed: u64, limit: usize },
    #[error("a reply arrived that no command was waiting for")]
    Unexpected,
}
