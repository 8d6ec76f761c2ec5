//! One fault on its stage: a server, and each actor with a pool and a way to it of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_testkit::{Observer, Proxy, Server, eventually_async, within};

use crate::actors::{ACTORS, Actor};
use crate::reach::Road;
use crate::rows::Row;
use crate::{CONNECT_TIMEOUT, SOCKET_TIMEOUT, Seat, ms, verdict};

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How a pool reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Proxy,
    /// Connections through the second proxy stay on their way when the first is led past it.
    TwoProxies,
}

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) observer: Observer,
    pub(crate) seats: Vec<Arc<Seat>>,
    road: Road,
    ways: Vec<Vec<Proxy>>,
    row: Row,
    pub(crate) struck: Instant,
}

impl Stage {
    pub(crate) fn build(
        (server, road): (Server, Road),
        way: Way,
        row: &Row,
        seat: impl Fn(Pool) -> Seat,
    ) -> Self {
        let observer = server.observer();
        // Connected now: later the server may turn everybody away.
        observer.get::<()>(&["PING"]);
        let mut seats = Vec::new();
        let mut ways = Vec::new();
        for actor in ACTORS {
            let mut proxies = Vec::new();
            if way != Way::Direct {
                proxies.push(Proxy::start(road.port(&server)));
            }
            if way == Way::TwoProxies {
                proxies.insert(0, Proxy::start(proxies[0].addr()));
            }
            let port = proxies.first().map_or_else(|| road.port(&server), Proxy::addr);
            seats.push(Arc::new(seat(pool(actor, &road, port))));
            ways.push(proxies);
        }
        Self { server, observer, seats, road, ways, row: row.clone(), struck: Instant::now() }
    }

    /// The server's port that pools go to.
    pub(crate) fn port(&self) -> SocketAddr {
        self.road.port(&self.server)
    }

    /// Tells every pool's first proxy to do the same.
    pub(crate) fn proxies(&self, tell: impl Fn(&Proxy)) {
        self.ways.iter().filter_map(|way| way.first()).for_each(tell);
    }

    /// The same for the proxies behind the first ones.
    pub(crate) fn second_proxies(&self, tell: impl Fn(&Proxy)) {
        self.ways.iter().filter_map(|way| way.get(1)).for_each(tell);
    }

    /// Returns when every task of every actor waits for a reply that is held back.
    pub(crate) async fn all_stuck(&self) {
        eventually_async(SOON, "a call of every task is under way", || async {
            self.seats.iter().zip(ACTORS).all(|(seat, actor)| seat.stuck() == actor.tasks())
        })
        .await;
    }

    /// The same for writes, while other calls may be answered.
    pub(crate) async fn writes_stuck(&self) {
        eventually_async(SOON, "all writes are under way", || async {
            self.seats.iter().all(|seat| seat.stuck_writes() == 2)
        })
        .await;
    }

    /// Repeats a fault, some times and until every column has seen what it always sees. Whether that came to
    /// pass is told with the cells.
    pub(crate) async fn until_seen(&self, pause: Duration, mut strike: impl FnMut()) {
        let give_up = Instant::now() + SOON;
        let mut times = 0;
        while times < 12 || (!self.all_seen() && Instant::now() < give_up) {
            times += 1;
            strike();
            tokio::time::sleep(pause).await;
        }
    }

    fn all_seen(&self) -> bool {
        self.seats.iter().zip(&self.row.sees).all(|(seat, sees)| {
            let calls: Vec<_> = seat.calls().into_iter().filter(|call| call.ended() >= self.struck).collect();
            sees.is_seen(&calls)
        })
    }

    /// New pools for all, as at the start.
    pub(crate) fn renew_pools(&self) {
        for (actor, seat) in ACTORS.into_iter().zip(&self.seats) {
            seat.use_pool(pool(actor, &self.road, self.port()));
        }
    }

    /// Whether every actor soon had so many writes answered.
    pub(crate) async fn at_work_since(&self, since: Instant, writes: usize) -> bool {
        let give_up = Instant::now() + SOON;
        while Instant::now() < give_up {
            if self.seats.iter().all(|seat| verdict::answered_since(&seat.calls(), since) >= writes) {
                return true;
            }
            tokio::time::sleep(ms(2)).await;
        }
        false
    }

    pub(crate) async fn calm_since(&self, since: Instant, writes: usize) {
        assert!(self.at_work_since(since, writes).await, "before the fault not every actor is at work");
        for seat in &self.seats {
            let calls = seat.calls();
            let unwell = calls.iter().find(|call| call.class != crate::Class::Answered);
            assert!(unwell.is_none(), "before the fault: {unwell:?}");
        }
    }

    /// Nothing of ours is on its way any more.
    pub(crate) async fn close_all(&self) {
        for seat in &self.seats {
            within(SOON, seat.pool().close()).await;
        }
        eventually_async(SOON, "the server has let go of all", || async {
            self.observer.client_count() == 0
        })
        .await;
    }
}

fn pool(actor: &dyn Actor, road: &Road, port: SocketAddr) -> Pool {
    let builder =
        road.pool(port).socket_timeout(SOCKET_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).shared_connections(2);
    actor.configure(builder).build().expect("the settings are right")
}
