//! A dial that fails asks the open connections whether Redis is there: those of runtimes that rest meanwhile are none the
//! worse for it.

use std::thread;
use std::time::Duration;

use cenote_pool_core::{Pool, PoolBuilder, State};
use cenote_testkit::{Proxy, Server, dead_port, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(10);
/// After so long a reply speaks for Redis no more.
const STALE: Duration = Duration::from_millis(1_200);
const LIMIT: Duration = Duration::from_secs(2);

/// Runs when it is told to, and rests in between.
fn resting() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn busy() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

struct Scene {
    server: Server,
    proxy: Proxy,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start();
        Self { proxy: Proxy::to(&server), server }
    }

    fn pool(&self) -> PoolBuilder {
        Pool::builder().url(self.proxy.url()).shared_connections(1).max_retries(0).socket_timeout(LIMIT)
    }

    /// A dial of this runtime's is refused, long after the last reply, and the pool finds that Redis is there.
    fn refuse_a_dial(&self, pool: &Pool, runtime: &Runtime) {
        thread::sleep(STALE);
        self.proxy.set_upstream(dead_port());
        runtime.block_on(within(SOON, pool.conn().get::<_, i64>("n"))).unwrap_err();
        self.proxy.set_upstream(self.server.addr());
        let mut states = pool.state_changes();
        let ready = states.wait_for(|state| matches!(state, State::Ready));
        runtime.block_on(within(SOON, ready)).unwrap();
    }
}

#[test]
fn a_connection_that_was_asked_while_its_runtime_rested_owes_nothing_until_it_runs() {
    let scene = Scene::new();
    let pool = scene.pool().build().unwrap();
    let (own, other) = (resting(), busy());
    let mut conn = pool.conn();
    let () = own.block_on(conn.set("n", 1)).unwrap();
    scene.refuse_a_dial(&pool, &other);
    thread::sleep(LIMIT);
    scene.proxy.delay_replies(Duration::from_millis(20));
    let states = pool.state_changes();
    assert_eq!(own.block_on(within(SOON, conn.incr::<_, _, i64>("n", 1))).unwrap(), 2);
    assert!(!states.has_changed().unwrap(), "{:?}", pool.status());
}

#[test]
fn an_idle_exclusive_connection_that_was_asked_while_its_runtime_rested_gives_its_place_to_who_needs_it() {
    let scene = Scene::new();
    let pool = scene.pool().max_connections(3).build().unwrap();
    let (own, other) = (resting(), busy());
    own.block_on(async {
        let (mut one, mut another) = (pool.dedicated().await.unwrap(), pool.dedicated().await.unwrap());
        let () = one.set("n", 1).await.unwrap();
        let () = another.set("n", 2).await.unwrap();
    });
    scene.refuse_a_dial(&pool, &other);
    other.block_on(async {
        let mut conn = pool.conn();
        assert_eq!(within(SOON, conn.get::<_, i64>("n")).await.unwrap(), 2);
        let _first = within(SOON, pool.dedicated()).await.unwrap();
        let _second = within(SOON, pool.dedicated()).await.unwrap();
        assert_eq!(within(SOON, conn.get::<_, i64>("n")).await.unwrap(), 2);
    });
}

#[test]
fn a_pool_closes_at_once_though_a_connection_was_asked_while_its_runtime_rested() {
    let scene = Scene::new();
    let pool = scene.pool().build().unwrap();
    let (own, other) = (resting(), busy());
    let () = own.block_on(pool.conn().set("n", 1)).unwrap();
    scene.refuse_a_dial(&pool, &other);
    let report = other.block_on(within(SOON, pool.close()));
    assert!(report.waited < LIMIT && report.cut_calls == 0, "{report:?}");
}
