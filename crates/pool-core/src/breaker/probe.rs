//! The holder of the lease: tries Redis until it answers.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Lease;
use crate::pool::Context;
use crate::pool::Shared;
use crate::timer;

/// Runs until Redis is back, the lease has gone to another, or the pool has gone. The connection that got
/// through becomes a lane.
pub(crate) async fn probe(lease: Lease, context: Arc<Context>, home: Weak<Shared>) {
    let breaker = &context.breaker;
    while let Some(due) = breaker.due(lease) {
        let pause = due.saturating_duration_since(Instant::now());
        if !pause.is_zero() {
            timer::sleep(pause).await;
        }
        if home.strong_count() == 0 || !breaker.begin(lease, Instant::now()) {
            return;
        }
        match context.try_connect(breaker.probe_limit(), true).await {
            Ok(connection) => {
                context.recovered(lease, &connection.greeting);
                if let Some(shared) = home.upgrade() {
                    shared.adopt(connection);
                    shared.replay_journal();
                }
                return;
            }
            Err(fault) => {
                if context.probe_failed(lease, &fault) {
                    if let Some(shared) = home.upgrade() {
                        shared.replay_journal();
                    }
                    return;
                }
            }
        }
    }
}
