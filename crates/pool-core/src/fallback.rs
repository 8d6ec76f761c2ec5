//! The seam to what answers when Redis does not.

use std::fmt;

use redis::{Cmd, Value};

/// A store that answers Redis commands from memory: what serves an embedded pool.
///
/// `cenote-fallback-lru` is the implementation that comes with the project; a test double or another store
/// only has to answer whole batches.
pub trait Fallback: Send + Sync + 'static {
    /// Runs `batch` and returns one value per command, in order.
    ///
    /// The whole batch is checked before its first command runs: [`NotDegradable`] means that nothing ran. A
    /// command that Redis would refuse (`WRONGTYPE`, a bad argument) is a [`Value::ServerError`] in its place.
    /// With `atomic` no other batch is seen in between, as in `MULTI`/`EXEC`, and the values are those of the
    /// `EXEC` reply: one per command of `batch`, without the `MULTI` and the `QUEUED`s.
    ///
    /// During an outage it is called under the lock of the outage journal: it must not block, nor call the pool
    /// that it serves.
    ///
    /// # Errors
    ///
    /// [`NotDegradable`] when the store does not serve one of the commands.
    fn execute(&self, batch: &[&Cmd], atomic: bool) -> Result<Vec<Value>, NotDegradable>;

    /// Forgets everything: an outage is over, and what was stored during it must not be seen in the next.
    fn clear(&self);

    /// How many live entries the store holds, for [`Status`](crate::Status).
    fn entries(&self) -> usize;
}

/// A command that the fallback does not serve, and why. Nothing of its batch was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDegradable {
    command: String,
    reason: &'static str,
}

impl NotDegradable {
    /// Names the command (never its arguments, which may be secret) and the reason.
    pub fn new(command: impl Into<String>, reason: &'static str) -> Self {
        Self { command: command.into(), reason }
    }

    /// The command's name in upper case.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Why it is not served.
    pub fn reason(&self) -> &str {
        self.reason
    }
}

impl fmt::Display for NotDegradable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not served without Redis: {}", self.command, self.reason)
    }
}

impl std::error::Error for NotDegradable {}
