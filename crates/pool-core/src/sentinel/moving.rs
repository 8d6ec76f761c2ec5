//! What a pool knows of its master, and how its connections move to another.

use std::sync::Arc;

use super::Node;
use crate::dial::Greeting;
use crate::pool::Context;

impl Context {
    /// For ever: the pool is closed, or gone. False if it was before.
    pub(crate) fn shut(&self) -> bool {
        if let Some(sentinel) = &self.sentinel {
            sentinel.watch.end();
        }
        self.breaker.shut()
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
