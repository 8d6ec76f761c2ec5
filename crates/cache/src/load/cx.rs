//! What a loader is given, and what it may say of its value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::millis;

/// Given to a loader: what was there before, and a way to say more of what it loads than the value itself.
///
/// ```
/// # async fn example(users: cenote_cache::Cache<u64, String>) {
/// use std::time::Duration;
///
/// let user = users.get_or_load(&7, |cx| async move {
///     cx.ttl(Duration::from_secs(10));
///     cx.tag("team:3");
///     Ok::<_, std::io::Error>(Some("ada".to_owned()))
/// });
/// # }
/// ```
pub struct Cx<V> {
    stale: Option<Arc<V>>,
    said: Arc<Mutex<Said>>,
}

/// What the loader said.
#[derive(Debug, Default, Clone)]
pub(crate) struct Said {
    pub(crate) ttl: Option<u64>,
    pub(crate) tags: Vec<String>,
    pub(crate) not_modified: bool,
}

impl<V> Cx<V> {
    pub(crate) fn new(stale: Option<Arc<V>>) -> (Self, Arc<Mutex<Said>>) {
        let said = Arc::<Mutex<Said>>::default();
        (Self { stale, said: said.clone() }, said)
    }

    /// The value that is past its ttl or about to be, if there is one: as it is when the loader begins.
    pub fn stale(&self) -> Option<&Arc<V>> {
        self.stale.as_ref()
    }

    /// Another ttl for this value.
    pub fn ttl(&self, ttl: Duration) {
        self.said.lock().ttl = Some(millis(ttl).max(1));
    }

    /// One more tag by which this value can be removed: 1 to 256 bytes, 64 of them at most. What is beyond that keeps
    /// the value from being stored.
    pub fn tag(&self, tag: impl Into<String>) {
        self.said.lock().tags.push(tag.into());
    }

    /// The [stale](Self::stale) value is as good as new, and keeps its tags beside those that are said now: what the
    /// loader returns is not looked at, unless there is no stale value.
    pub fn not_modified(&self) {
        self.said.lock().not_modified = true;
    }
}

impl<V> fmt::Debug for Cx<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("stale", &self.stale.is_some()).finish_non_exhaustive()
    }
}
