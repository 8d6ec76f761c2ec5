//! How the command ends, as a shell sees it.

use std::io;
use std::process::ExitCode;

/// The exit codes, which `--help` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every job finished; all is well.
    Finished,
    /// A job failed.
    Failed,
    /// Arguments or settings that cannot be.
    Usage,
    /// A job is lost.
    Lost,
    /// A job was abandoned.
    Abandoned,
    /// A job was cancelled.
    Cancelled,
    /// Redis was not reached.
    Unreachable,
    /// Redis lets nobody in by this name, or has no such database.
    TurnedAway,
    /// What answers is no Redis.
    NotRedis,
    /// Redis serves, and something about it does harm.
    Unwell,
    /// There are more places than the baseline has.
    Risen,
    /// A comment that allows a place says not why.
    Unexplained,
    /// The time was over.
    TimedOut,
    /// SIGINT.
    Interrupted,
    /// SIGPIPE: nobody reads any more.
    Unread,
    /// SIGTERM.
    Terminated,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Finished => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Lost => 3,
            Self::Abandoned => 4,
            Self::Cancelled => 5,
            Self::Unreachable => 6,
            Self::TurnedAway => 7,
            Self::NotRedis => 8,
            Self::Unwell => 9,
            Self::Risen => 10,
            Self::Unexplained => 11,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Unread => 141,
            Self::Terminated => 143,
        }
    }

    /// Of several the worst, which has the smallest code above 0.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.code(), other.code()) {
            (0, _) => other,
            (_, 0) => self,
            (one, another) => {
                if one <= another {
                    self
                } else {
                    other
                }
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the command cannot go on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is wrong, where it came from and what would be right; nothing if nobody reads it.
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Some(message.into()) }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Unread, message: None };
        }
        Self::new(Exit::Failed, format!("standard output cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_jobs_the_worst_counts_and_a_failed_one_is_the_worst() {
        let worst = |exits: &[Exit]| exits.iter().copied().fold(Exit::Finished, Exit::and);
        assert_eq!(worst(&[]), Exit::Finished);
        assert_eq!(worst(&[Exit::Finished, Exit::Cancelled, Exit::Finished]), Exit::Cancelled);
        assert_eq!(worst(&[Exit::Cancelled, Exit::Abandoned, Exit::Lost]), Exit::Lost);
        assert_eq!(worst(&[Exit::Lost, Exit::Failed, Exit::Cancelled]), Exit::Failed);
    }
}
