//! Why a push connection is given up.

use crate::codec::ProtocolError;
use crate::error::Error;

/// Why a connection cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    Protocol(ProtocolError),
    /// The server would not take something back right now.
    Refused(Error),
}

/// Asking again would not help: this user may not, or this server cannot.
pub(super) fn is_final(error: &Error) -> bool {
    let code = error.server_error().and_then(redis::RedisError::code);
    matches!(code, None | Some("NOPERM" | "ERR"))
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
