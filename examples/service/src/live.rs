//! The pool's status and the caches' as they change, for the page.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use cenote::Status;
use cenote::cache::Stats;
use futures_util::stream::{Stream, unfold};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::demo::Wish;

/// How often what has no event of its own is told: counters, latency, the journal.
const TICK: Duration = Duration::from_millis(500);

/// The pool's status, what the caches and the limit of searches did, and whether Redis was taken away by the page; `null` where it cannot be.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    #[serde(flatten)]
    status: Status,
    caches: Caches,
    search: cenote::ratelimit::Stats,
    demo: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Caches {
    features: Stats,
    subscriptions: Stats,
}

impl Live {
    fn of(app: &App) -> Self {
        let caches =
            Caches { features: app.features.stats(), subscriptions: app.subscriptions.cache.stats() };
        let demo = app.demo.as_ref().map(|demo| demo.wishes().borrow().word());
        Self { status: app.pool.status(), caches, search: app.search.stats(), demo }
    }
}

/// One look.
pub(crate) async fn once(State(app): State<App>) -> Json<Live> {
    Json(Live::of(&app))
}

/// Server-sent events: one at once, one at each change of the state, and one each half second. It ends with the
/// service.
pub(crate) async fn stream(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        states: app.pool.state_changes(),
        wishes: app.demo.as_ref().map(|demo| demo.wishes()),
        stopping: app.stopping.clone(),
        app,
        tick,
    };
    Sse::new(unfold(feed, Feed::next))
}

struct Feed {
    app: App,
    states: watch::Receiver<cenote::State>,
    wishes: Option<watch::Receiver<Wish>>,
    stopping: CancellationToken,
    tick: Interval,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => return None,
            () = changed(Some(&mut self.states)) => {}
            () = changed(self.wishes.as_mut()) => {}
            _ = self.tick.tick() => {}
        }
        let event = Event::default().json_data(Live::of(&self.app)).ok()?;
        Some((Ok(event), self))
    }
}

/// Never, if nobody can change it any more.
async fn changed<T>(receiver: Option<&mut watch::Receiver<T>>) {
    if let Some(receiver) = receiver
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
