//! How a pool gets to its master, and how its connections move to another.

use std::sync::Arc;
use std::time::Instant;

use super::{Node, tend};
use crate::budget::Held;
use crate::config::Target;
use crate::dial::{self, Connection, Greeting, Limit};
use crate::error::Error;
use crate::pool::Context;
use crate::transport::Io;

impl Context {
    /// Dials and greets Redis, wherever it is, as `target` says.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        target: &Target,
        held: Held,
        limit: Limit,
    ) -> Result<Connection, Error> {
        let (connector, max_reply) = (self.connector(), self.config.max_reply_bytes);
        let Some(sentinel) = &self.sentinel else {
            return dial::dial(connector, target, held, limit, max_reply).await;
        };
        let connection = sentinel.dial(connector, target, held, limit, max_reply).await;
        tend(self, Instant::now());
        connection
    }

    /// The same without greeting it.
    pub(crate) async fn reach_raw(
        self: &Arc<Self>,
        target: &Target,
        held: Held,
        limit: Limit,
    ) -> Result<(Box<dyn Io>, Held), Error> {
        let Some(sentinel) = &self.sentinel else {
            return dial::dial_raw(self.connector(), target, held, limit).await;
        };
        let dialled = sentinel.dial_raw(self.connector(), target, held, limit).await;
        tend(self, Instant::now());
        dialled
    }

    /// For ever: the pool is closed, or gone. False if it was before.
    pub(crate) fn shut(&self) -> bool {
        if let Some(sentinel) = &self.sentinel {
            sentinel.watch.end();
        }
        let first = self.breaker.shut();
        self.ended.send_replace(true);
        first
    }

    /// Where the last connection led, if sentinels said where to.
    pub(crate) fn node(&self) -> Option<Arc<Node>> {
        self.seen.greeting.lock().as_ref().and_then(|greeting| greeting.node.clone())
    }

    /// A connection leads to a server that is no master any more.
    pub(crate) fn is_stale(&self, node: &Node) -> bool {
        self.sentinel.as_ref().is_some_and(|sentinel| sentinel.is_stale(node))
    }

    /// A server says that it is no master any more: all that leads there moves.
    pub(crate) fn disown(&self, greeting: Option<&Greeting>) {
        if let Some(sentinel) = &self.sentinel
            && let Some(node) = greeting.and_then(|greeting| greeting.node.as_deref())
        {
            sentinel.disown(node);
            self.budget.forsake(&|node| sentinel.is_stale(node), false);
        }
    }
}
