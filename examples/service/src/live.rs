//! The pool's status as it changes, for the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use cenote::{Pool, Status};
use futures_util::stream::{Stream, unfold};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::app::{App, Stopping};
use crate::demo::{Demo, Wish};

/// How often what has no event of its own is told: counters, latency, the journal.
const TICK: Duration = Duration::from_millis(500);

/// The pool's status, and whether Redis was taken away by the page; `null` where it cannot be.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    #[serde(flatten)]
    status: Status,
    demo: Option<&'static str>,
}

impl Live {
    fn of(pool: &Pool, demo: Option<&Demo>) -> Self {
        Self { status: pool.status(), demo: demo.map(|demo| demo.wishes().borrow().word()) }
    }
}

/// One look.
pub(crate) async fn once(State(app): State<App>) -> Json<Live> {
    Json(Live::of(&app.pool, app.demo.as_deref()))
}

/// Server-sent events: one at once, one at each change of the state, and one each half second. It ends with the
/// service.
pub(crate) async fn stream(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        states: app.pool.state_changes(),
        wishes: app.demo.as_ref().map(|demo| demo.wishes()),
        pool: app.pool,
        demo: app.demo,
        stopping: app.stopping,
        tick,
    };
    Sse::new(unfold(feed, Feed::next))
}

struct Feed {
    pool: Pool,
    states: watch::Receiver<cenote::State>,
    demo: Option<Arc<Demo>>,
    wishes: Option<watch::Receiver<Wish>>,
    stopping: Stopping,
    tick: Interval,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => return None,
            () = changed(Some(&mut self.states)) => {}
            () = changed(self.wishes.as_mut()) => {}
            _ = self.tick.tick() => {}
        }
        let live = Live::of(&self.pool, self.demo.as_deref());
        let event = Event::default().json_data(live).ok()?;
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

async fn stopped(stopping: &mut Stopping) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}
