//! Which benches there are, and with how many tasks each is run.

use std::fmt;
use std::time::Duration;

/// One thing that clients are measured at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bench {
    /// `GET` of 100 bytes over shared connections.
    PoolGet,
    /// Four `GET`s to one `SET`, values of 10 bytes to 10 KB.
    PoolMix,
    /// Pipelines of ten `GET`s.
    PoolPipeline,
    /// `GET`s of 100 bytes while one more task fetches 1 MB values.
    PoolNeighbour,
    /// An exclusive connection is acquired for each `GET`.
    Dedicated,
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Pool,
    Dedicated,
    Lru,
    Cache,
    Ratelimit,
    Progress,
}

/// A bench with a number of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) bench: Bench,
    pub(crate) tasks: usize,
}

/// How often and how long each client is measured in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    /// Of the run by itself that shows how much memory a client takes.
    pub(crate) memory_run: Duration,
    /// How often the load generator of Redis is run.
    pub(crate) gauge_runs: usize,
}

impl Bench {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PoolGet => "pool-get",
            Self::PoolMix => "pool-mix",
            Self::PoolPipeline => "pool-pipeline",
            Self::PoolNeighbour => "pool-neighbour",
            Self::Dedicated => "dedicated",
        }
    }

    /// The numbers of tasks of a full run.
    pub(crate) fn tasks(self) -> &'static [usize] {
        match self {
            Self::PoolGet | Self::PoolMix | Self::Dedicated => &[1, 16, 64, 256, 1024],
            Self::PoolPipeline => &[1, 64, 256],
            Self::PoolNeighbour => &[255],
        }
    }

    /// Those of them that a quick run has time for.
    pub(crate) fn quick_tasks(self) -> &'static [usize] {
        match self {
            Self::PoolMix | Self::PoolPipeline => &[64],
            _ => self.tasks(),
        }
    }
}

impl Family {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pool, Self::Dedicated, Self::Lru, Self::Cache, Self::Ratelimit, Self::Progress];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Dedicated => "dedicated",
            Self::Lru => "lru",
            Self::Cache => "cache",
            Self::Ratelimit => "ratelimit",
            Self::Progress => "progress",
        }
    }

    /// Its benches that can be run one by one, in which clients meet over a server.
    pub(crate) fn benches(self) -> &'static [Bench] {
        match self {
            Self::Pool => &[Bench::PoolGet, Bench::PoolMix, Bench::PoolPipeline, Bench::PoolNeighbour],
            Self::Dedicated => &[Bench::Dedicated],
            Self::Lru | Self::Cache | Self::Ratelimit | Self::Progress => &[],
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.tasks == 1 { "" } else { "s" };
        write!(f, "{}, {} task{plural}", self.bench.name(), self.tasks)
    }
}

impl Length {
    pub(crate) const FULL: Self = Self {
        rounds: 15,
        round: Duration::from_millis(250),
        memory_run: Duration::from_millis(500),
        gauge_runs: 5,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 7,
        round: Duration::from_millis(60),
        memory_run: Duration::from_millis(150),
        gauge_runs: 1,
    };
}
