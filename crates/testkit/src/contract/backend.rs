//! The connection under test, whatever it is.

use std::fmt;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

/// Any connection, behind one type: the checks are compiled for this one alone.
#[doc(hidden)]
pub struct Backend(Box<dyn Connection>);

trait Connection: ConnectionLike {
    fn duplicate(&self) -> Box<dyn Connection>;
}

impl<C: ConnectionLike + Clone + 'static> Connection for C {
    fn duplicate(&self) -> Box<dyn Connection> {
        Box::new(self.clone())
    }
}

impl Backend {
    pub fn new(connection: impl ConnectionLike + Clone + 'static) -> Self {
        Self(Box::new(connection))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl ConnectionLike for Backend {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
