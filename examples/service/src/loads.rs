//! Who wants to know of each time that a source is asked because no cache had the answer.

use std::fmt;
use std::sync::Arc;

type Listener = dyn Fn(&str, &str) + Send + Sync;

/// Tells of loads: the log, and a listener if there is one.
#[derive(Clone, Default)]
pub(crate) struct Loads(Option<Arc<Listener>>);

impl Loads {
    pub(crate) fn told_to(listener: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, cache: &str, key: &str) {
        tracing::debug!(target: "service", cache, key, "asked the source");
        if let Some(listener) = &self.0 {
            listener(cache, key);
        }
    }
}

impl fmt::Debug for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loads").field(&self.0.is_some()).finish()
    }
}
