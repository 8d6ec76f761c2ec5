//! Who still uses what, as seen at run time.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

static SITES: Mutex<Vec<Arc<Counted>>> = Mutex::new(Vec::new());

/// One place in the program that still uses a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What is used there, such as `deadpool_redis::Pool`.
    pub api: &'static str,
    /// What replaces it.
    pub replacement: &'static str,
    /// The user's own file, as the compiler saw it.
    pub file: &'static str,
    /// Counted from one.
    pub line: u32,
    /// Counted from one.
    pub column: u32,
    /// For pools: connections checked out of all that were built here. For everything else: calls.
    pub count: u64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, replacement, file, line, column, count } = self;
        write!(f, "{file}:{line}:{column}: {api}, {count} times: use {replacement}")
    }
}

/// Every place that used a shim in this process, the most used first.
///
/// Each is also told once in the log, as a warning of the target `cenote::compat`, when it is first used. A pool of
/// deadpool or bb8 cannot know who calls its `get`: its row is the place that built it.
pub fn report() -> Vec<Usage> {
    let mut rows: Vec<_> = SITES.lock().iter().map(|site| site.usage()).collect();
    rows.sort_by(|one, other| {
        other.count.cmp(&one.count).then((one.file, one.line).cmp(&(other.file, other.line)))
    });
    rows
}

struct Counted {
    api: &'static str,
    replacement: &'static str,
    location: &'static Location<'static>,
    count: AtomicU64,
}

impl Counted {
    fn usage(&self) -> Usage {
        Usage {
            api: self.api,
            replacement: self.replacement,
            file: self.location.file(),
            line: self.location.line(),
            column: self.location.column(),
            count: self.count.load(Ordering::Relaxed),
        }
    }
}

/// A place in the user's program.
#[derive(Clone)]
pub(crate) struct Site(Arc<Counted>);

impl Site {
    /// The row of this place: a new one, with a warning in the log, at its first use.
    pub(crate) fn of(
        api: &'static str,
        replacement: &'static str,
        location: &'static Location<'static>,
    ) -> Self {
        let mut sites = SITES.lock();
        if let Some(known) = sites.iter().find(|site| site.api == api && site.location == location) {
            return Self(known.clone());
        }
        let site = Arc::new(Counted { api, replacement, location, count: AtomicU64::new(0) });
        sites.push(site.clone());
        drop(sites);
        tracing::warn!(target: "cenote::compat", api, at = %location, "deprecated: use {replacement}");
        Self(site)
    }

    pub(crate) fn count(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.0.location
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.location)
    }
}
