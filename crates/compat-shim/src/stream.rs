//! redis-rs' own connection on a stream of the shared pool.

use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult};
use tokio::runtime::Handle;

use crate::report::Site;

/// What redis-rs takes when nothing is set.
const CONNECT: Duration = Duration::from_secs(1);
/// In place of no limit at all.
const LONGEST: Duration = Duration::from_secs(30);
/// A clock has no time that is further away than it can count.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// However long the place took, the dial has this.
const LEAST: Duration = Duration::from_millis(100);

/// Waits for a place in the pool's budget, dials and greets, all within the connection timeout.
pub(crate) async fn connect(
    pool: &Pool,
    info: &RedisConnectionInfo,
    config: AsyncConnectionConfig,
    site: &Site,
) -> RedisResult<MultiplexedConnection> {
    let limit = connection_timeout(&config).unwrap_or(LONGEST).min(FOR_EVER);
    let began = Instant::now();
    let place = pool.reserve_io(site.location(), limit).await?;
    let dial = async {
        let stream = place.dial().await?;
        MultiplexedConnection::new_with_config(info, stream, config).await
    };
    let left = limit.saturating_sub(began.elapsed()).max(LEAST);
    let (connection, driver) =
        tokio::time::timeout(left, dial).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // It ends with the connection's last clone, or with the stream.
    tokio::spawn(driver);
    Ok(connection)
}

/// The setting has no getter; the way it prints is held by a test.
fn connection_timeout(config: &AsyncConnectionConfig) -> Option<Duration> {
    let text = format!("{config:?}");
    let Some((_, rest)) = text.split_once("connection_timeout: ") else { return Some(CONNECT) };
    let text = rest.strip_prefix("Some(")?.split(')').next()?;
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..at].parse().ok()?;
    let unit = match &text[at..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        _ => 1e-9,
    };
    // The longest of all is rounded to more than there is.
    Some(Duration::try_from_secs_f64(number * unit).unwrap_or(FOR_EVER))
}

/// Tells the pool that its user has let the connection go: from then on others may have its place.
///
/// Nothing waits for the answer, and where the command cannot be sent at once it is not sent: then the place can be
/// had a little later.
pub(crate) fn let_go(connection: &mut MultiplexedConnection) {
    if Handle::try_current().is_err() {
        return;
    }
    let mut unwatch = redis::cmd("UNWATCH");
    unwatch.set_no_response(true);
    let send = pin!(connection.send_packed_command(&unwatch));
    let _ = send.poll(&mut Context::from_waker(Waker::noop()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_timeout_is_read_whatever_it_is() {
        let with =
            |timeout| connection_timeout(&AsyncConnectionConfig::new().set_connection_timeout(timeout));
        assert_eq!(connection_timeout(&AsyncConnectionConfig::new()), Some(CONNECT));
        assert_eq!(with(None), None);
        for millis in [1, 250, 999, 1000, 1500, 60_000, 61_001] {
            let timeout = Some(Duration::from_millis(millis));
            assert_eq!(with(timeout), timeout);
        }
        assert_eq!(with(Some(Duration::from_micros(250))), Some(Duration::from_micros(250)));
        assert_eq!(with(Some(Duration::MAX)), Some(FOR_EVER));
    }
}
