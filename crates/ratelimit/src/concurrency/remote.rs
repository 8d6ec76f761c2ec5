//! The set of holders in Redis.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Cmd, ErrorKind, RedisError, ServerErrorKind};
use cenote_pool_core::{Conn, Pool};

struct Script {
    text: &'static str,
    sha: LazyLock<String>,
}

macro_rules! script {
    ($file:literal) => {
        Script {
            text: include_str!($file),
            sha: LazyLock::new(|| sha1_smol::Sha1::from(include_str!($file)).digest().to_string()),
        }
    };
}

static ACQUIRE: Script = script!("acquire.lua");
static RENEW: Script = script!("renew.lua");

/// One place among the holders of a key, that is taken, asked for or free.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) key: Box<[u8]>,
    name: String,
    lifetime: u64,
}

/// What Redis said to who wants a slot.
pub(super) enum Answer {
    Held,
    /// All are taken.
    Full,
}

impl Slot {
    /// With a name that nobody else has.
    pub(super) fn new(key: Box<[u8]>, lifetime: u64) -> Self {
        Self { key, name: format!("{:032x}", fastrand::u128(..)), lifetime }
    }

    /// One round trip, within `limit`.
    pub(super) async fn acquire(&self, conn: Conn, limit: Duration, most: u64) -> Result<Answer, RedisError> {
        let args = |cmd: &mut Cmd| {
            cmd.arg(most).arg(self.lifetime).arg(&self.name);
        };
        let reply = ACQUIRE.call(conn, limit, &self.key, args).await?;
        Ok(if reply.first() == Some(&1) { Answer::Held } else { Answer::Full })
    }

    /// Whether it is still held.
    pub(super) async fn renew(&self, pool: &Pool, limit: Duration) -> Result<bool, RedisError> {
        let args = |cmd: &mut Cmd| {
            cmd.arg(self.lifetime).arg(&self.name);
        };
        let reply = RENEW.call(pool.conn(), limit, &self.key, args).await?;
        Ok(reply.first() == Some(&1))
    }

    pub(super) async fn release(&self, mut conn: Conn) -> Result<(), RedisError> {
        let member = format!("{}:{}", self.lifetime, self.name);
        redis::cmd("ZREM").arg(&*self.key).arg(member).exec_async(&mut conn).await
    }
}

impl Script {
    /// It is never sent twice, but as a text to a server that has not seen it.
    async fn call(
        &self,
        conn: Conn,
        limit: Duration,
        key: &[u8],
        args: impl Fn(&mut Cmd),
    ) -> Result<Vec<i64>, RedisError> {
        let command = |name: &str, script: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(script).arg(1).arg(key);
            args(&mut cmd);
            cmd
        };
        let began = Instant::now();
        let mut conn = conn.with_timeout(limit);
        let reply = command("EVALSHA", &self.sha).query_async(&mut conn).await;
        match reply {
            Err(error) if is_unknown(&error) => {
                let mut brief = conn.with_timeout(limit.saturating_sub(began.elapsed()));
                command("EVAL", self.text).query_async(&mut brief).await
            }
            reply => reply,
        }
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
