//! The fault matrix: every fault against every kind of connection, all kinds at once.
//!
//! Each cell asserts the same: no call outlives its own limit; what a caller was told of a write is what became
//! of it, and none ran twice; replies are right; callers see what the table in `docs/faults.md` says, and nothing
//! else; and once the fault is gone calls succeed again, soon and for good. Each of it however the server is reached.
//!
//! `CENOTE_WRITE_FAULTS=1` writes what was measured into that table.

mod actors;
mod call;
mod faults;
mod pulse;
#[path = "../reach/mod.rs"]
mod reach;
mod rows;
mod scene;
mod seat;
mod sees;
mod stage;
mod table;
mod verdict;

use std::time::Duration;

use call::{Call, Class, Fate, Heard, Kind};
use seat::Seat;

/// What every call of the matrix may take: by `with_timeout`, and by `degrade_after`.
const LIMIT: Duration = Duration::from_millis(600);
/// What getting a dedicated connection may take, and how long a connection that owes a reply may be silent.
const SOCKET_TIMEOUT: Duration = Duration::from_millis(1_500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(750);
/// What a busy machine may add to a limit.
const NOISE: Duration = Duration::from_millis(250);
/// How soon after an outage the first call succeeds.
const RECOVERY: Duration = Duration::from_millis(300);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
