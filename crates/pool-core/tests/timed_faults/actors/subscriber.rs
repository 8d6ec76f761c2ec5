//! `pool.subscriber()`: two that listen to what is published past the pool, and two that subscribe and leave again.

use std::sync::Arc;
use std::thread;

use cenote_pool_core::Event;
use cenote_testkit::Observer;
use tokio::task::JoinHandle;

use super::Actor;
use crate::call::{heard_of, wrong};
use crate::{Call, Class, Fate, Heard, Kind, LIMIT, Seat, ms};

const NAME: &str = "subscriber";
const CHANNEL: &str = "subscriber:numbers";

pub(crate) struct Subscriber;

impl Actor for Subscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self, seat: &Arc<Seat>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for _ in 0..2 {
            tasks.push(tokio::spawn(listen(seat.clone())));
            tasks.push(tokio::spawn(come_and_go(seat.clone())));
        }
        tasks
    }

    fn work_beside(&self, seat: &Arc<Seat>, server: Observer) {
        let seat = seat.clone();
        thread::spawn(move || publish(&seat, &server));
    }

    /// Each listener has judged the order of what it was told as it came.
    fn audit(&self, _: &Observer, calls: &[Call], _: bool) {
        assert!(calls.iter().any(Call::is_write), "{NAME}: nothing was heard");
    }
}

/// Numbers, in order. One that may or may not have been published is not used again; then the publisher's connection
/// was lost, and with it those of the listeners.
fn publish(seat: &Seat, server: &Observer) {
    let mut n = 0u64;
    while !seat.is_over() {
        match server.command(&["PUBLISH", CHANNEL, &n.to_string()]) {
            Err(error) if !error.is_io_error() => {}
            _ => n += 1,
        }
        thread::sleep(ms(10));
    }
}

async fn listen(seat: Arc<Seat>) {
    let mut held = None;
    let mut order = Order::default();
    while seat.goes_on().await {
        if seat.is_lazy() {
            continue;
        }
        let mut subscriber = match held.take() {
            Some(subscriber) => subscriber,
            None => {
                let mut subscriber = seat.pool().subscriber().with_capacity(seat.queue).with_timeout(LIMIT);
                let call = async { heard(subscriber.subscribe(CHANNEL).await) };
                if seat.call(Kind::Checkout, 0, LIMIT, call).await != Class::Answered {
                    continue;
                }
                order = Order::default();
                subscriber
            }
        };
        // Made here: the runtime of the call may be ending.
        let patience = tokio::time::sleep(LIMIT);
        let call = async {
            tokio::select! {
                event = subscriber.next() => match event {
                    Some(event) => told(&event, &mut order),
                    None => (wrong(&"the end, after it was told"), Fate::DidNotRun),
                },
                () = patience => (Class::Silence, Fate::DidNotRun),
            }
        };
        let class = seat.call(Kind::Write, seat.new_id(), LIMIT, call).await;
        held = (class != Class::Closed).then_some(subscriber);
    }
}

/// What a listener may be told next.
#[derive(Debug, Default)]
struct Order {
    last: Option<u64>,
    missed: bool,
}

impl Order {
    /// Each number once, in order; one that is missing lies where that was told.
    fn is_kept_by(&mut self, n: u64) -> bool {
        let kept = self.last.is_none_or(|last| n == last + 1 || (n > last && self.missed));
        *self = Self { last: Some(n), missed: false };
        kept
    }
}

fn told(event: &Event, order: &mut Order) -> Heard {
    let class = match event {
        Event::Message(message) => {
            let n: u64 = message.get().unwrap_or_default();
            let before = order.last;
            if message.channel() == CHANNEL && order.is_kept_by(n) {
                Class::Answered
            } else {
                wrong(&format!("{n} after {before:?}"))
            }
        }
        Event::Gap => Class::Gap,
        Event::Lagged(_) => Class::Lagged,
        Event::Closed => Class::Closed,
        other => wrong(&format!("{other:?}")),
    };
    order.missed |= matches!(class, Class::Gap | Class::Lagged);
    (class, Fate::Ran)
}

async fn come_and_go(seat: Arc<Seat>) {
    while seat.goes_on().await {
        let id = seat.new_id();
        let mut subscriber = seat.pool().subscriber().with_timeout(LIMIT);
        let call = async { heard(subscriber.subscribe(format!("{NAME}:{id}")).await) };
        seat.call(Kind::Read, id, LIMIT, call).await;
    }
}

fn heard(result: Result<(), cenote_pool_core::Error>) -> Heard {
    match result {
        Ok(()) => (Class::Answered, Fate::Ran),
        Err(error) => heard_of(&error),
    }
}
