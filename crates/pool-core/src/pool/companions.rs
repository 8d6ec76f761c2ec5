//! What other crates keep for each pool: one of a kind and name, for as long as somebody holds it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

type Anything = dyn Any + Send + Sync;

#[derive(Default)]
pub(crate) struct Companions(Mutex<HashMap<(TypeId, String), Weak<Anything>>>);

impl Companions {
    /// The one there is, or the one that `make` makes, under the lock. Those that nobody holds any more are forgotten.
    pub(crate) fn get<T: Any + Send + Sync>(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut map = self.0.lock();
        map.retain(|_, companion| companion.strong_count() > 0);
        let key = (TypeId::of::<T>(), name.to_owned());
        let found = map.get(&key).and_then(Weak::upgrade);
        if let Some(Ok(companion)) = found.map(Arc::downcast) {
            return companion;
        }
        let companion = Arc::new(make());
        let anything: Arc<Anything> = companion.clone();
        map.insert(key, Arc::downgrade(&anything));
        companion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_a_kind_and_name_while_somebody_holds_it_and_nothing_is_kept_of_it_afterwards() {
        let companions = Companions::default();
        let first = companions.get("a", || 1_u32);
        assert!(Arc::ptr_eq(&first, &companions.get("a", || 2_u32)), "the same");
        assert_eq!(*companions.get("b", || 3_u32), 3, "another name");
        assert_eq!(*companions.get("a", || 4_u64), 4, "another type");
        assert_eq!(*first, 1);
        drop(first);
        assert_eq!(*companions.get("a", || 5_u32), 5, "nobody held it");
        assert_eq!(companions.0.lock().len(), 1, "the dead are pruned");
    }
}
