//! What one call sends, and how many replies it waits for.

use redis::{Cmd, Pipeline};

use super::{encode, merely_reads};

/// One call's commands, borrowed from the caller so that a retry can encode them again.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    One(&'a Cmd),
    Batch(&'a Pipeline),
}

/// Where a payload came to lie in the buffer it was encoded into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded {
    /// Replies it will get.
    pub(crate) replies: usize,
    /// How many of its bytes the server must have for any of it to be executed.
    pub(crate) decisive: usize,
}

impl<'a> Payload<'a> {
    pub(crate) fn commands(self) -> impl Iterator<Item = &'a Cmd> {
        let (one, batch) = match self {
            Self::One(cmd) => (Some(cmd), None),
            Self::Batch(pipeline) => (None, Some(pipeline.cmd_iter())),
        };
        one.into_iter().chain(batch.into_iter().flatten())
    }

    /// Appends the bytes to `out`.
    pub(crate) fn encode(self, out: &mut Vec<u8>) -> Encoded {
        let start = out.len();
        match self {
            Self::One(cmd) => {
                encode::append(cmd, out);
                Encoded { replies: 1, decisive: out.len() - start }
            }
            // A transaction runs at its EXEC: all its bytes are decisive.
            Self::Batch(pipeline) if pipeline.is_transaction() => {
                out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
                for cmd in pipeline.cmd_iter() {
                    encode::append(cmd, out);
                }
                out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
                Encoded { replies: pipeline.len() + 2, decisive: out.len() - start }
            }
            // A plain pipeline begins to run with its first command.
            Self::Batch(pipeline) => {
                let mut decisive = 0;
                for cmd in pipeline.cmd_iter() {
                    encode::append(cmd, out);
                    if decisive == 0 {
                        decisive = out.len() - start;
                    }
                }
                Encoded { replies: pipeline.len(), decisive }
            }
        }
    }

    /// Sending it again, although it may have run, changes nothing.
    pub(crate) fn merely_reads(self) -> bool {
        self.commands().all(merely_reads)
    }
}
