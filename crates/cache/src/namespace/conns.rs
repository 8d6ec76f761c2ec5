//! Connections at rest. One that was used knows its shared connection and has a slot to use again, which a new one
//! would have to look for. A call that is dropped keeps its own; the next makes another.

use std::fmt;

use cenote_pool_core::DegradableConn;
use parking_lot::Mutex;

/// Few callers meet at one shelf.
const SHELVES: usize = 8;
/// More than this at rest on one shelf are let go.
const MOST: usize = 256;

#[derive(Default)]
pub(crate) struct Conns([Mutex<Vec<DegradableConn>>; SHELVES]);

impl Conns {
    pub(super) fn take(&self) -> Option<DegradableConn> {
        self.0[fastrand::usize(..SHELVES)].lock().pop()
    }

    pub(crate) fn rest(&self, conn: DegradableConn) {
        let mut shelf = self.0[fastrand::usize(..SHELVES)].lock();
        if shelf.len() < MOST {
            shelf.push(conn);
        }
    }
}

impl fmt::Debug for Conns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conns")
    }
}
