//! What `get` gives.

use std::fmt;
use std::ops::{Deref, DerefMut};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::Object;
use crate::stream;

/// A connection checked out of a [`Pool`](super::Pool), to which it goes back when it is dropped.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Connection {
    // Before the object, so that the connection is let go before deadpool can hand it on.
    let_go: LetGo,
    conn: Object,
}

impl Connection {
    /// Takes the connection out of its pool for good; the pool has room for another one. The shared pool's budget has
    /// not, until the last clone of what is returned is dropped.
    #[must_use]
    pub fn take(this: Self) -> MultiplexedConnection {
        let Self { mut let_go, conn } = this;
        let_go.0 = None;
        Object::take(conn)
    }
}

/// Lets the connection go when it is dropped.
struct LetGo(Option<MultiplexedConnection>);

impl Drop for LetGo {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            stream::let_go(connection);
        }
    }
}

impl From<Object> for Connection {
    fn from(conn: Object) -> Self {
        Self { let_go: LetGo(Some(MultiplexedConnection::clone(&conn))), conn }
    }
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.conn
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.conn
    }
}

impl AsRef<MultiplexedConnection> for Connection {
    fn as_ref(&self) -> &MultiplexedConnection {
        &self.conn
    }
}

impl AsMut<MultiplexedConnection> for Connection {
    fn as_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.conn
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.conn.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.conn.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.conn.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("db", &self.get_db()).finish_non_exhaustive()
    }
}
