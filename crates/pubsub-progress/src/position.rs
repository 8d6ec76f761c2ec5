//! Where in a job's life something was told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where in a job's life something was told: `run:v:l`.
///
/// The worker counts, so the numbers outlive a flush, a failover and an outage. A position says that the state up
/// to version `v` and the log up to line `l` of the attempt `run` were seen. [`Position::START`] is before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The attempt: the later one is larger. In microseconds since 1970, unless the worker chose its number.
    pub run: u64,
    /// The version of the state, from 1; it grows with each change, and not all versions are told.
    pub v: u64,
    /// How many lines the log had, dense from 1.
    pub l: u64,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { run: 0, v: 0, l: 0 };

    /// The position with these numbers.
    pub const fn new(run: u64, v: u64, l: u64) -> Self {
        Self { run, v, l }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.v, self.l)
    }
}

/// The text is no position: it has to be `run:v:l`, three whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is `run:v:l`, three whole numbers")]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.split(':').map(number);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(run)), Some(Some(v)), Some(Some(l)), None) => Ok(Self { run, v, l }),
            _ => Err(InvalidPosition),
        }
    }
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_is_written_and_nothing_else_is_one() {
        let position = Position::new(u64::MAX, 0, 7);
        assert_eq!(position.to_string().parse(), Ok(position));
        let wrong = [
            "",
            "1",
            "1:2",
            "1:2:3:4",
            "+1:2:3",
            "1:-2:3",
            "1: 2:3",
            "a:b:c",
            "::",
            "18446744073709551616:0:0",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }

    #[test]
    fn a_later_attempt_is_after_everything_of_an_earlier_one() {
        assert!(Position::new(2, 0, 0) > Position::new(1, 9, 9));
        assert!(Position::new(1, 2, 0) > Position::new(1, 1, 9));
    }
}
