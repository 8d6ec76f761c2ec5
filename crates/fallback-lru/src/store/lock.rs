//! One shard's lock, and how long a thread waits for it.

use std::hint::spin_loop;

use parking_lot::{Mutex, MutexGuard};

use super::Shard;

/// How often a thread looks whether the shard is free again before it sleeps. A call holds it for some 20 ns, and to
/// put a thread to sleep and wake it takes a hundred times that.
const LOOKS: usize = 16;

/// How many pauses it makes before the first look; before each further one twice as many, up to the second number.
///
/// The longer one is about a microsecond (all of them together some 30), in which whoever has the shard makes dozens of calls more. If it changed hands at each
/// of them, so would the cache lines of all that they touch, and two threads together would do half of what one does
/// alone.
const PAUSES: (usize, usize) = (32, 128);

/// Neighbours on one cache line would slow each other down; processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct ShardLock(Mutex<Shard>);

impl ShardLock {
    pub(super) fn new(shard: Shard) -> Self {
        Self(Mutex::new(shard))
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.try_lock().unwrap_or_else(|| self.wait())
    }

    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.lock();
        let result = f(&mut shard);
        release(shard);
        result
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, Shard> {
        let (first, most) = PAUSES;
        for look in 0..LOOKS {
            (0..most.min(first << look)).for_each(|_| spin_loop());
            if let Some(shard) = self.0.try_lock() {
                return shard;
            }
        }
        self.0.lock()
    }
}

/// Unlocks first and frees afterwards.
#[inline]
pub(super) fn release(mut shard: MutexGuard<'_, Shard>) {
    if shard.has_trash() {
        let trash = shard.take_trash();
        drop(shard);
        drop(trash);
    }
}
