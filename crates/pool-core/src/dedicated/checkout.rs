//! Getting an exclusive connection, under one limit.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::bench::{Entry, Place, Unserved};
use super::connection::Dedicated;
use crate::error::{Error, Kind, Outcome};
use crate::lane::{Lane, Use, launch};
use crate::pool::{Context, Shared, current_runtime};
use crate::turn;

pub(crate) async fn check_out(
    shared: Arc<Shared>,
    at: &'static Location<'static>,
) -> Result<Dedicated, Error> {
    let limit = shared.context.config.socket_timeout;
    let began = Instant::now();
    let handle = current_runtime()?;
    // As in a call that is refused at once.
    turn::give_way().await;
    shared.admit(&handle)?;
    let found = wait_for_place(&shared, &handle, began, limit).await;
    shared.context.meters.dedicated_waited(began.elapsed());
    let (place, lane) = found?;
    // The pool may have been closed while this call waited.
    shared.admit(&handle)?;
    let fresh = lane.is_none();
    if fresh && let Some(refusal) = shared.sets.refusal(handle.id()) {
        return Err(refusal);
    }
    let held = shared.bench.hold(at);
    let lane = lane.unwrap_or_else(|| new_lane(&shared, &handle));
    let mut dedicated = Dedicated::new(shared, lane, place, held);
    let ready = if fresh {
        dedicated.greet(began + limit).await
    } else {
        dedicated.make_clean(&handle, began + limit).await
    };
    ready.map_err(|error| match error.kind() {
        Kind::Timeout => out_of_time(&dedicated.shared.context, limit, &error),
        // What may have been executed was ours, and nothing of the caller's.
        _ => error.with_outcome(Outcome::NotSent),
    })?;
    Ok(dedicated)
}

/// Where to, by which limit, and what has come to be known of Redis meanwhile.
fn out_of_time(context: &Context, limit: Duration, error: &Error) -> Error {
    let waited = format!(
        "an exclusive connection to Redis at {} reached its limit of {limit:?} (REDIS_SOCKET_TIMEOUT): {}",
        context.target,
        error.message()
    );
    match context.breaker.admit() {
        Err(known) if known.kind() == Kind::Away => {
            known.retold(Kind::Timeout, format!("{waited}; {}", known.message()))
        }
        _ => Error::not_sent(Kind::Timeout, waited),
    }
}

pub(super) fn new_lane(shared: &Arc<Shared>, handle: &Handle) -> Arc<Lane> {
    let lane = Lane::new(handle.id(), Use::Exclusive, shared.context.window());
    shared.context.budget.register(lane.tenant());
    launch(handle, lane.clone(), shared, None, true);
    lane
}

/// Waits its turn.
pub(crate) async fn wait_for_place(
    shared: &Arc<Shared>,
    handle: &Handle,
    began: Instant,
    limit: Duration,
) -> Result<(Place, Option<Arc<Lane>>), Error> {
    if shared.embedded {
        return Err(Error::not_sent(
            Kind::Refused,
            "exclusive connections and transactions need a Redis, and this pool is embedded",
        ));
    }
    may_be_exclusive(shared)?;
    let receiver = match shared.bench.enter(handle, began + limit) {
        Entry::Granted(grant) => return grant.accept().ok_or_else(Error::closed),
        Entry::Wait(receiver) => receiver,
    };
    shared.hubs.end_deserted();
    match receiver.await.map_err(|_| Error::closed())? {
        Ok(grant) => grant.accept().ok_or_else(Error::closed),
        Err(Unserved::TimeIsUp) => {
            Err(Error::not_sent(Kind::Timeout, shared.bench.describe(began.elapsed(), 0)))
        }
        Err(Unserved::RuntimeEnded) => {
            Err(Error::not_sent(Kind::Runtime, "the tokio runtime of this call has ended"))
        }
    }
}

/// Whether this configuration has any exclusive connection at all.
pub(crate) fn may_be_exclusive(shared: &Shared) -> Result<(), Error> {
    if shared.context.config.max_connections == 1 {
        return Err(Error::config(
            "REDIS_MAX_CONNECTIONS is 1, which leaves none for dedicated() or subscriber(): it must be 2 or more",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PoolConfig;

    #[test]
    fn whoever_waits_in_vain_is_told_what_is_known_of_redis_meanwhile() {
        let context = Context::nowhere(PoolConfig::default());
        let late = Error::not_sent(Kind::Timeout, "waiting for a connection");
        let (address, limit) = (context.target.to_string(), Duration::from_millis(700));
        let told = out_of_time(&context, limit, &late);
        assert!(told.is_timeout() && told.message().contains(&address), "{told}");
        assert!(told.message().ends_with("700ms (REDIS_SOCKET_TIMEOUT): waiting for a connection"), "{told}");
        let why = "the credentials provider gave none within 250ms";
        context.breaker.trip(&Error::not_sent(Kind::Away, why), Instant::now());
        let told = out_of_time(&context, limit, &late);
        assert!(told.is_timeout() && told.message().contains(&format!("a connection; {why}")), "{told}");
    }
}
