//! What a cache tells of that is nobody's error.

use crate::envelope::Corrupt;

/// Something that whoever runs the service may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What Redis had under a key could not be read, and counted as a miss.
    Corrupt {
        /// The key's name in Redis; bytes that are not UTF-8 are replaced.
        name: String,
        /// What was wrong with it.
        why: &'a Corrupt,
    },
    /// A value was loaded and could not be stored; its callers have it all the same.
    NotStored {
        /// The key's name in Redis.
        name: String,
        /// Why not.
        why: String,
        /// Somebody has to mend something: Redis refused it, the value cannot be encoded, or a tag is wrong. Otherwise it
        /// was written or removed meanwhile, or Redis went or came, which is all in order.
        is_fault: bool,
    },
    /// A load behind a stale value failed; the stale value is served on.
    RefreshFailed {
        /// The key's name in Redis.
        name: String,
        /// What became of it: `failed`, `timed out` or `panicked`.
        how: &'static str,
    },
}

pub(crate) type Listener = dyn Fn(&Event<'_>) + Send + Sync;
