//! Where events wait for one subscriber. It is bounded: who does not read loses its own oldest messages, and is
//! told how many; nobody else waits.
//!
//! Invariants, all under the one lock:
//! * While `behind`, nothing is let in: the gap that is yet to be announced covers it. `missing` counts the
//!   subscriptions that are not back yet; the gap is announced by whoever brings the last one back, so once.
//! * While `moving`, the subscriber belongs to no connection: nothing is let in, and nothing announced.
//! * `currency` is odd exactly while it is neither behind nor moving nor at its end. It turns even in the step in
//!   which that begins, and odd before the gap is queued that ends it. Where something was dropped or refused and all
//!   that stays so, it skips two, before the event that tells it can be read. So it never has one value twice, and
//!   never one for the times before and after something that was missed.
//! * Gaps and refusals are never dropped for room; gaps that end up side by side become one, and so do
//!   invalidations of everything.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::currency::Currency;
use super::event::{Event, Invalidation, Refusal};
use super::topics::Topic;
use crate::telemetry::Meters;

/// How much may wait for one subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

pub(super) struct Queue(Mutex<State>);

struct State {
    bounds: Bounds,
    events: VecDeque<Event>,
    bytes: usize,
    lagged: u64,
    /// For the subscriber's own list, whether it has read so far or not.
    refused: Vec<Topic>,
    behind: bool,
    missing: usize,
    moving: bool,
    end: Option<End>,
    currency: Currency,
    waker: Option<Waker>,
    meters: Meters,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its connection's runtime has ended.
    Orphaned,
    Closed,
    /// It was told so.
    Over,
}

/// What a subscriber finds.
pub(super) enum Next {
    Event(Event),
    /// Nothing more comes from the connection it has.
    Orphaned,
    Over,
}

/// Wakers to be woken once no lock is held.
pub(super) type Wakes = Vec<Waker>;

impl Queue {
    #[cfg(any(test, fuzzing))]
    pub(super) fn new(bounds: Bounds) -> Self {
        Self::told_to(Meters::default(), bounds)
    }

    pub(super) fn told_to(meters: Meters, bounds: Bounds) -> Self {
        Self(Mutex::new(State {
            bounds,
            events: VecDeque::new(),
            bytes: 0,
            lagged: 0,
            refused: Vec::new(),
            behind: false,
            missing: 0,
            moving: false,
            end: None,
            currency: Currency::new(),
            waker: None,
            meters,
        }))
    }

    pub(super) fn set_bounds(&self, change: impl FnOnce(&mut Bounds)) {
        let mut state = self.0.lock();
        change(&mut state.bounds);
        state.make_room();
    }

    pub(super) fn currency(&self) -> Currency {
        self.0.lock().currency.clone()
    }

    pub(super) fn push(&self, event: Event, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        if state.is_current() {
            state.push(event);
            wakes.extend(state.waker.take());
        }
    }

    /// A subscription is no more. Told even while it is behind, as no gap covers that.
    pub(super) fn refuse(&self, refusal: Refusal, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        state.currency.skip();
        state.refused.push(refusal.topic.clone());
        state.push(Event::Refused(refusal));
        wakes.extend(state.waker.take());
    }

    /// What was refused since it was last asked.
    pub(super) fn take_refused(&self) -> Vec<Topic> {
        std::mem::take(&mut self.0.lock().refused)
    }

    /// One more subscription is to come back before the gap is announced.
    pub(super) fn fall_behind(&self) {
        let mut state = self.0.lock();
        state.behind = true;
        state.missing += 1;
        state.note_currency();
    }

    /// A subscription is back, or is not waited for any more.
    pub(super) fn catch_up(&self, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        state.missing = state.missing.saturating_sub(1);
        state.announce(wakes);
    }

    /// It is about to leave its connection, with `any` subscriptions, for another one.
    pub(super) fn set_out(&self, any: bool) {
        let mut state = self.0.lock();
        state.behind |= any;
        state.moving = any;
        state.note_currency();
    }

    /// Its subscriptions, if it has `any`, begin anew on another connection.
    pub(super) fn begin_move(&self, any: bool) {
        let mut state = self.0.lock();
        (state.behind, state.missing, state.moving) = (any, 0, any);
        if state.end == Some(End::Orphaned) {
            state.end = None;
        }
        state.note_currency();
    }

    pub(super) fn end_move(&self, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        state.moving = false;
        state.announce(wakes);
    }

    pub(super) fn orphan(&self, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        state.end.get_or_insert(End::Orphaned);
        state.note_currency();
        wakes.extend(state.waker.take());
    }

    pub(super) fn close(&self, wakes: &mut Wakes) {
        let mut state = self.0.lock();
        if state.end != Some(End::Over) {
            state.end = Some(End::Closed);
        }
        state.note_currency();
        wakes.extend(state.waker.take());
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.0.lock();
        // Dropped after the lock is released: what a waker drops is not ours.
        let mut _old = None;
        if state.lagged > 0 {
            return Poll::Ready(Next::Event(Event::Lagged(std::mem::take(&mut state.lagged))));
        }
        if let Some(event) = state.events.pop_front() {
            state.bytes -= cost(&event);
            return Poll::Ready(Next::Event(event));
        }
        match state.end {
            Some(End::Orphaned) => {
                // Where it cannot move, it waits for the end.
                _old = state.waker.replace(cx.waker().clone());
                drop(state);
                Poll::Ready(Next::Orphaned)
            }
            Some(End::Closed) => {
                state.end = Some(End::Over);
                Poll::Ready(Next::Event(Event::Closed))
            }
            Some(End::Over) => Poll::Ready(Next::Over),
            None => {
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    _old = state.waker.replace(cx.waker().clone());
                }
                drop(state);
                Poll::Pending
            }
        }
    }
}

impl State {
    /// Nothing is missed at this moment.
    fn is_current(&self) -> bool {
        !self.behind && !self.moving && self.end.is_none()
    }

    fn note_currency(&self) {
        self.currency.set_current(self.is_current());
    }

    fn announce(&mut self, wakes: &mut Wakes) {
        if self.behind && self.missing == 0 && !self.moving {
            self.behind = false;
            self.note_currency();
            self.push(Event::Gap);
            self.meters.gap();
            wakes.extend(self.waker.take());
        }
    }

    fn push(&mut self, event: Event) {
        if matches!((self.events.back(), &event), (Some(last), event) if says_it_all(last, event)) {
            return;
        }
        self.bytes += cost(&event);
        self.events.push_back(event);
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.events.len() > self.bounds.events || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.events.iter().position(may_be_dropped) else { return };
            // The newest always stays, however large it is.
            if oldest + 1 == self.events.len() {
                return;
            }
            if let Some(event) = self.events.remove(oldest) {
                self.bytes -= cost(&event);
                self.lagged += 1;
                self.meters.lagged(1);
                self.currency.skip();
            }
            let before = oldest.checked_sub(1).and_then(|before| self.events.get(before));
            if let (Some(before), Some(after)) = (before, self.events.get(oldest))
                && says_it_all(before, after)
            {
                self.events.remove(oldest);
            }
        }
    }
}

fn may_be_dropped(event: &Event) -> bool {
    matches!(event, Event::Message(_) | Event::Invalidated(_))
}

/// With the first event, the second tells nothing new.
fn says_it_all(first: &Event, second: &Event) -> bool {
    let everything = |event: &Event| matches!(event, Event::Invalidated(Invalidation::Everything));
    matches!((first, second), (Event::Gap, Event::Gap)) || (everything(first) && everything(second))
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.bytes(),
        Event::Invalidated(Invalidation::Keys(keys)) => keys.iter().map(Vec::len).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::drain;
    use super::*;

    #[test]
    fn what_overflows_are_the_oldest_messages_and_never_a_gap() {
        let queue = Queue::new(Bounds { events: 3, bytes: 100 });
        let mut wakes = Wakes::new();
        let keys = |n: usize| Event::Invalidated(Invalidation::Keys(vec![vec![b'k'; n]].into()));
        let gap = |wakes: &mut Wakes| {
            queue.fall_behind();
            queue.catch_up(wakes);
        };
        queue.push(keys(1), &mut wakes);
        gap(&mut wakes);
        queue.push(keys(2), &mut wakes);
        gap(&mut wakes);
        queue.push(keys(3), &mut wakes);
        queue.push(keys(99), &mut wakes);
        let shown: Vec<_> = drain(&queue)
            .iter()
            .map(|event| match event {
                Event::Lagged(n) => format!("lagged {n}"),
                Event::Gap => "gap".to_owned(),
                Event::Invalidated(Invalidation::Keys(keys)) => keys[0].len().to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, ["lagged 3", "gap", "99"]);
        queue.push(keys(1_000), &mut wakes);
        assert_eq!(drain(&queue).len(), 1, "the newest stays, however large");
    }

    fn message() -> Event {
        Event::Invalidated(Invalidation::Keys(vec![b"k".to_vec()].into()))
    }

    #[test]
    fn the_currency_never_has_one_value_before_and_after_something_that_was_missed() {
        let queue = Queue::new(Bounds { events: 1, bytes: 100 });
        let (mut wakes, currency) = (Wakes::new(), queue.currency());
        let lose = |times: usize| (0..times).for_each(|_| queue.fall_behind());
        queue.push(message(), &mut wakes);
        assert_eq!(currency.get(), 1);
        queue.push(message(), &mut wakes);
        assert_eq!(currency.get(), 3, "dropped");
        lose(2);
        assert_eq!(currency.get(), 4, "one loss, however many subscriptions");
        queue.catch_up(&mut wakes);
        assert_eq!(currency.get(), 4, "one is still missing");
        queue.set_bounds(|bounds| bounds.bytes = 0);
        assert_eq!(currency.get(), 4, "the newest stays");
        queue.catch_up(&mut wakes);
        // The gap pushes out the last message.
        assert_eq!(currency.get(), 7);
        // The first gap is not read yet, so it stands for the second one too.
        lose(1);
        queue.catch_up(&mut wakes);
        assert_eq!(currency.get(), 9);
        assert!(matches!(drain(&queue)[..], [Event::Lagged(2), Event::Gap]));
        assert_eq!(currency.get(), 9, "reading changes nothing");
        queue.close(&mut wakes);
        queue.close(&mut wakes);
        assert_eq!(currency.get(), 10);
        queue.catch_up(&mut wakes);
        assert_eq!(currency.get(), 10, "for ever");
    }

    #[test]
    fn on_the_move_nothing_is_let_in_or_announced_and_the_currency_is_even() {
        let queue = Queue::new(Bounds { events: 9, bytes: 100 });
        let (mut wakes, currency) = (Wakes::new(), queue.currency());
        queue.begin_move(false);
        queue.end_move(&mut wakes);
        assert_eq!(currency.get(), 1, "a first connection, with nothing subscribed to yet");
        queue.fall_behind();
        queue.set_out(true);
        // The old connection lets go of what was missing.
        queue.catch_up(&mut wakes);
        queue.push(message(), &mut wakes);
        assert_eq!((currency.get(), drain(&queue).len()), (2, 0));
        queue.begin_move(true);
        queue.fall_behind();
        queue.end_move(&mut wakes);
        assert_eq!((currency.get(), drain(&queue).len()), (2, 0));
        queue.catch_up(&mut wakes);
        assert_eq!(currency.get(), 3);
        assert!(matches!(drain(&queue)[..], [Event::Gap]));
        queue.orphan(&mut wakes);
        assert_eq!(currency.get(), 4);
        queue.begin_move(false);
        assert_eq!(currency.get(), 5, "everything was ended meanwhile");
    }
}
