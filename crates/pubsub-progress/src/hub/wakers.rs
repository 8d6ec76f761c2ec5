//! Who waits for news of a job. Each has one place for as long as it watches, so that news costs a wake each and no more.

use std::task::Waker;

use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct Wakers(Mutex<Places>);

#[derive(Default)]
struct Places {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    pub(super) fn enter(&self) -> usize {
        let mut places = self.0.lock();
        places.free.pop().unwrap_or_else(|| {
            places.wakers.push(None);
            places.wakers.len() - 1
        })
    }

    pub(super) fn leave(&self, place: usize) {
        let mut places = self.0.lock();
        let waker = places.wakers.get_mut(place).and_then(Option::take);
        places.free.push(place);
        drop(places);
        // What a waker drops is not ours.
        drop(waker);
    }

    pub(super) fn set(&self, place: usize, waker: &Waker) {
        let mut places = self.0.lock();
        let Some(had) = places.wakers.get_mut(place) else { return };
        let old = had.replace(waker.clone());
        drop(places);
        drop(old);
    }

    /// Under the lock: a waker puts a task into a queue, and runs none.
    pub(super) fn wake(&self) {
        let places = self.0.lock();
        places.wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }
}
