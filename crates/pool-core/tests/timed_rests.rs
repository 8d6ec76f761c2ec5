//! What a connection's timer was set for while it rested is no excuse: whoever calls next has its limit kept.

use std::time::{Duration, Instant};

use cenote_pool_core::{Conn, Dedicated, Pool};
use cenote_testkit::{Server, within};
use redis::aio::ConnectionLike;

const LIMIT: Duration = Duration::from_millis(200);
const INTERVAL: Duration = Duration::from_secs(1);
/// What a busy machine may add to any bound; the next PING is further away.
const NOISE: Duration = Duration::from_millis(250);

fn pool(server: &Server) -> Pool {
    let builder = Pool::builder().url(server.url()).shared_connections(1);
    builder.socket_timeout(LIMIT).health_check_interval(INTERVAL).build().unwrap()
}

async fn keeps(limit: Duration, server: &Server, conn: &mut impl ConnectionLike) {
    server.freeze();
    let began = Instant::now();
    let answer = within(Duration::from_secs(20), redis::cmd("GET").arg("k").exec_async(conn)).await;
    let took = began.elapsed();
    server.thaw();
    assert!(answer.is_err() && took < limit + NOISE, "{took:?}: {answer:?}");
}

#[tokio::test]
async fn a_call_after_the_ping_of_an_idle_connection() {
    let server = Server::start();
    let mut conn: Conn = pool(&server).conn();
    redis::cmd("PING").exec_async(&mut conn).await.unwrap();
    // The PING at 1 s set the timer for its own limit, which has passed too; the next one is due at 2 s.
    tokio::time::sleep(INTERVAL + 2 * LIMIT).await;
    keeps(LIMIT, &server, &mut conn).await;
}

#[tokio::test]
async fn a_call_with_a_short_limit_after_one_with_a_long_one() {
    let server = Server::start();
    let mut conn = pool(&server).conn().with_timeout(Duration::from_secs(30));
    for _ in 0..3 {
        redis::cmd("PING").exec_async(&mut conn).await.unwrap();
    }
    // The timer was set for the server's silence, and has moved on to the PING.
    tokio::time::sleep(2 * LIMIT).await;
    keeps(LIMIT / 2, &server, &mut conn.with_timeout(LIMIT / 2)).await;
}

#[tokio::test]
async fn a_call_on_an_exclusive_connection_that_its_holder_let_rest() {
    let server = Server::start();
    let pool = pool(&server);
    let mut held: Dedicated = pool.dedicated().await.unwrap();
    redis::cmd("PING").exec_async(&mut held).await.unwrap();
    drop(held);
    tokio::time::sleep(2 * LIMIT).await;
    let mut held = pool.dedicated().await.unwrap();
    // The timer was set for a PING, which is not sent on a connection in a holder's hands: nothing is due.
    tokio::time::sleep(INTERVAL).await;
    keeps(LIMIT, &server, &mut held).await;
}
