//! A fault to be shown, and how: all columns at once, then the verdict on each cell.

use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Server, ServerBuilder, Watchdog, is_long, within};
use tokio::runtime::Handle;

use crate::actors::ACTORS;
use crate::pulse::Pulse;
use crate::reach::{Reach, Road};
use crate::rows::{Row, row};
use crate::stage::{SOON, Stage, Way};
use crate::verdict::{self, Times};
use crate::{RECOVERY, Seat, ms, table};

/// Answered writes of every actor before the fault, and after it.
const WARM: usize = 10;
const CALM: usize = 30;

/// A fault to be shown.
pub(crate) struct Scene {
    row: Row,
    reach: Reach,
    way: Way,
    server: ServerBuilder,
    absent: bool,
    data_is_destroyed: bool,
    recovery: Duration,
    pause: Duration,
    queue: usize,
    runtime: Handle,
}

impl Scene {
    pub(crate) fn of(name: &str, reach: Reach) -> Self {
        Self {
            row: row(name).reached(reach),
            reach,
            way: Way::Direct,
            server: Server::builder(),
            absent: false,
            data_is_destroyed: false,
            recovery: if is_long() { ms(1_000) } else { RECOVERY },
            pause: ms(5),
            queue: 1024,
            runtime: Handle::current(),
        }
    }

    pub(crate) fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    pub(crate) fn server(mut self, server: ServerBuilder) -> Self {
        self.server = server;
        self
    }

    /// Nobody listens when the first call is made.
    pub(crate) fn before_the_server(mut self) -> Self {
        self.absent = true;
        self
    }

    pub(crate) fn destroying_data(mut self) -> Self {
        self.data_is_destroyed = true;
        self
    }

    /// All is well so much later than after other faults.
    pub(crate) fn recovering_later_by(mut self, more: Duration) -> Self {
        self.recovery += more;
        self
    }

    /// With so much time between two calls of a task.
    pub(crate) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// With so many events that may wait for a subscriber.
    pub(crate) fn queueing(mut self, events: usize) -> Self {
        self.queue = events;
        self
    }

    /// Makes all calls in this runtime.
    pub(crate) fn calling_in(mut self, runtime: &Handle) -> Self {
        self.runtime = runtime.clone();
        self
    }

    /// Shows the fault: `strike` begins it, lets it last, ends it, and says when it was over.
    pub(crate) async fn play(self, strike: impl AsyncFnOnce(&Stage) -> Instant) {
        let _watchdog = Watchdog::new(Duration::from_secs(60));
        let seat =
            |pool| Seat::new((pool, self.runtime.clone()), self.pause, self.data_is_destroyed, self.queue);
        let road = Road::new(self.reach);
        let mut stage = Stage::build((road.start(self.server), road), self.way, &self.row, seat);
        if self.absent {
            stage.server.kill();
        }
        let pulse = Pulse::start();
        let mut tasks = Vec::new();
        for (actor, seat) in ACTORS.iter().zip(&stage.seats) {
            tasks.extend(actor.start(seat));
            actor.work_beside(seat, stage.server.observer());
        }
        let born = Instant::now();
        if !self.absent {
            stage.calm_since(born, WARM).await;
        }
        stage.struck = if self.absent { born } else { Instant::now() };
        let over = strike(&stage).await;
        let settled = stage.at_work_since(over, CALM).await;
        let all_is_well = settled && stage.seats.iter().all(|seat| is_well(&seat.pool()));
        stage.seats.iter().for_each(|seat| seat.stop());
        for task in tasks {
            within(SOON, task).await.expect("an actor's task");
        }
        stage.close_all().await;

        for (actor, seat) in ACTORS.iter().zip(&stage.seats) {
            actor.audit(&stage.observer, &seat.calls(), self.data_is_destroyed);
        }
        let times = Times { struck: stage.struck, over, recovery: self.recovery, pulse: &pulse };
        let cells = ACTORS.iter().zip(&stage.seats).zip(&self.row.sees);
        let figures = cells.map(|((actor, seat), sees)| {
            let name = format!("{} ({:?}) × {}", self.row.name, self.reach, actor.name());
            verdict::judge(&name, &seat.calls(), sees, &times)
        });
        let figures: Vec<_> = figures.collect();
        assert!(all_is_well, "{}: not every actor is at work again, on a pool that is ready", self.row.name);
        if self.reach == Reach::Plain {
            table::record(&self.row, &figures);
        }
    }
}

fn is_well(pool: &Pool) -> bool {
    pool.state() == State::Ready && !pool.status().journal.local
}

/// How long a fault lasts that lasts: longer than five seconds when there is time.
pub(crate) async fn last(short: Duration) {
    tokio::time::sleep(if is_long() { Duration::from_secs(6) } else { short }).await;
}
