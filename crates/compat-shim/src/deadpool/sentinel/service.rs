//! Whom a legacy pool connects to, and the shared pool that does.

use std::fmt;
use std::sync::OnceLock;

use cenote_pool_core::Pool;
use redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo, RedisResult};

use super::{SentinelNodeConnectionInfo, SentinelServerType, TlsMode};
use crate::bridge::{self, Sentinels, unsupported};

pub(super) struct Service {
    sentinels: Vec<ConnectionInfo>,
    master: String,
    tls: Option<TlsMode>,
    node: RedisConnectionInfo,
    kind: SentinelServerType,
    /// Looked for at the first connection, so that a pool may be installed after a static was built.
    known: OnceLock<Pool>,
}

impl Service {
    pub(super) fn new(
        sentinels: Vec<ConnectionInfo>,
        master: String,
        node: Option<SentinelNodeConnectionInfo>,
        kind: SentinelServerType,
    ) -> Self {
        let SentinelNodeConnectionInfo { tls_mode, redis_connection_info } = node.unwrap_or_default();
        let node = redis_connection_info.map(RedisConnectionInfo::from).unwrap_or_default();
        Self { sentinels, master, tls: tls_mode, node, kind, known: OnceLock::new() }
    }

    /// The pool, and as whom to greet the master.
    pub(super) fn pool(&self) -> RedisResult<(Pool, &RedisConnectionInfo)> {
        if let Some(pool) = self.known.get() {
            return Ok((pool.clone(), &self.node));
        }
        if matches!(self.kind, SentinelServerType::Replica) {
            return Err(unsupported("the shared pool connects to masters only: a replica cannot be had"));
        }
        if matches!(self.tls, Some(TlsMode::Insecure)) {
            return Err(unsupported("the shared pool checks every certificate: `insecure` cannot be had"));
        }
        let by_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let tls = self.tls.is_some();
        if self.sentinels.iter().any(|sentinel| by_tls(sentinel) != tls) {
            let why = "the shared pool speaks TLS with sentinels and masters, or with neither";
            return Err(unsupported(why));
        }
        let wanted = Sentinels { sentinels: &self.sentinels, master: &self.master, tls, node: &self.node };
        let pool = bridge::pool_by(&wanted)?;
        Ok((self.known.get_or_init(|| pool).clone(), &self.node))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("master", &self.master).finish_non_exhaustive()
    }
}
