//! Settings on their way to a pool.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, PoolConfig, Problem, sentinel_url};
use crate::credentials::CredentialsProvider;
use crate::dial::Network;
use crate::error::Error;
use crate::fallback::Fallback;
use crate::pool::Pool;

/// Collects settings; [`build`](Self::build) checks them all.
///
/// What is not set has the default of [`PoolConfig`]. What was given as an environment that does not parse is
/// reported at `build`.
#[derive(Default, Clone)]
pub struct PoolBuilder {
    config: PoolConfig,
    environment: Option<ConfigError>,
    /// What is wrong with the sentinels that were named last.
    sentinels: Option<Problem>,
    fallback: Option<Arc<dyn Fallback>>,
    credentials: Option<Arc<dyn CredentialsProvider>>,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, value: $type) -> Self {
            self.config.$name = value;
            self
        })*
    };
}

impl PoolBuilder {
    /// Where Redis is: `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `unix:///path`, or
    /// `redis+sentinel://host:port,host:port/master_name[/db]`.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.config.url = url.into();
        self.sentinels = None;
        self
    }

    /// The master of this name, which these sentinels (`host` or `host:port`, 26379 if there is no port) know: the same
    /// as [`url`](Self::url) with `redis+sentinel://`, and instead of an earlier one. A user, a password or a database of
    /// the master needs the URL, and so does TLS (`rediss+sentinel://`).
    ///
    /// No host at all, one that does not parse, or one with a user is an error of [`build`](Self::build).
    #[must_use]
    pub fn sentinel<H: AsRef<str>>(mut self, master: &str, hosts: impl IntoIterator<Item = H>) -> Self {
        let hosts: Vec<String> = hosts.into_iter().map(|host| host.as_ref().to_owned()).collect();
        (self.config.url, self.sentinels) = sentinel_url(master, &hosts);
        self
    }

    /// The password that sentinels ask for. The URL's, or that of [`credentials`](Self::credentials), is the master's.
    /// Default: none, they are asked without a login. Without sentinels it is an error of [`build`](Self::build).
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.config.sentinel_password = Some(password.into());
        self
    }

    /// The user and the password that sentinels know us by: see [`sentinel_password`](Self::sentinel_password).
    #[must_use]
    pub fn sentinel_login(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.config.sentinel_username = Some(username.into());
        self.sentinel_password(password)
    }

    /// TLS: a PEM file of the certificates that may vouch for the server, in place of the platform's, which is the
    /// default. It is read once, at [`build`](Self::build), which fails if it has none or the URL does not ask for TLS.
    #[must_use]
    pub fn tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_ca_file = Some(path.into());
        self
    }

    /// TLS: PEM files of our own certificate, with those that vouch for it, and of its private key, for a server
    /// that asks for one. Default: none. They are read once, at [`build`](Self::build), which fails if they do not belong
    /// together or the URL does not ask for TLS; files that are replaced later need another pool.
    #[must_use]
    pub fn tls_identity(mut self, cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        self.config.tls_cert_file = Some(cert_file.into());
        self.config.tls_key_file = Some(key_file.into());
        self
    }

    /// TLS: the name that the server's certificate must have, and that is sent ahead to it (SNI). Default: the host that is
    /// dialled. With it [`build`](Self::build) fails if it is no name or the URL does not ask for TLS.
    #[must_use]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.config.tls_server_name = Some(name.into());
        self
    }

    /// Takes all settings from `config`.
    #[must_use]
    pub fn config(mut self, config: PoolConfig) -> Self {
        self.config = config;
        (self.environment, self.sentinels) = (None, None);
        self
    }

    /// Takes all settings from the environment; see [`PoolConfig::from_env`].
    #[must_use]
    pub fn env(mut self) -> Self {
        match PoolConfig::from_env() {
            Ok(config) => return self.config(config),
            Err(error) => self.environment = Some(error),
        }
        self
    }

    /// What answers when there is no Redis. With `enabled(false)` it answers everything.
    #[must_use]
    pub fn fallback(mut self, fallback: impl Fallback) -> Self {
        self.fallback = Some(Arc::new(fallback));
        self
    }

    /// Who tells the user and the password, in place of the URL: see [`CredentialsProvider`]. With Sentinel they are those
    /// of the master; sentinels have [their own](Self::sentinel_login). Default: nobody.
    ///
    /// With a user or a password in the URL too, [`build`](Self::build) fails.
    #[must_use]
    pub fn credentials(mut self, provider: impl CredentialsProvider) -> Self {
        self.credentials = Some(Arc::new(provider));
        self
    }

    /// What connections are called in the server's `CLIENT LIST`: see [`PoolConfig::client_name`]. Default: nothing.
    /// [`build`](Self::build) fails for a name that Redis would not take: an empty one, or one with spaces or characters
    /// beyond ASCII.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.config.client_name = Some(name.into());
        self
    }

    /// How old a connection may become before another takes its place, without a command lost: see
    /// [`PoolConfig::connection_max_age`]. Default: any age. [`build`](Self::build) fails for less than a millisecond or
    /// more than a day.
    #[must_use]
    pub fn connection_max_age(mut self, age: Duration) -> Self {
        self.config.connection_max_age = Some(age);
        self
    }

    settings! {
        /// Without Redis the fallback answers everything. Default true.
        enabled: bool,
        /// Whether [`Pool::start`] fails when Redis is away. Default false.
        required: bool,
        /// Limit of one dial. Default 5 s.
        connect_timeout: Duration,
        /// Limit of a whole call, and how long a connection that owes a reply may be silent. Default 5 s.
        socket_timeout: Duration,
        /// How often a call that did not run, or only reads, is tried again. Default 3.
        max_retries: u32,
        /// Connections of all kinds and all runtimes together. Default 20.
        max_connections: usize,
        /// A connection idle for so long is asked for a PING. Default 30 s.
        health_check_interval: Duration,
        /// Shared connections per runtime. Default: the number of cores, at most 4.
        shared_connections: usize,
        /// How long a degradable connection waits for Redis before the fallback answers. Default 250 ms.
        degrade_after: Duration,
        /// The same, until Redis was first heard of. Default 50 ms.
        degrade_after_first: Duration,
        /// Keys that the outage journal holds at most. Default 100,000.
        journal_keys: usize,
        /// Bytes of keys that the outage journal holds at most. Default 64 MiB.
        journal_bytes: usize,
        /// How long [`Pool::close`] waits for what is in flight. Default 5 s.
        close_timeout: Duration,
        /// Commands in flight on one shared connection; beyond it callers wait. Default 16,384.
        window_commands: usize,
        /// Bytes in flight on one shared connection; beyond it callers wait. Default 16 MiB.
        window_bytes: usize,
        /// Longest string accepted in a reply, in bytes. Default 512 MiB.
        max_reply_bytes: usize,
        /// First pause between attempts to reach Redis again. Default 50 ms.
        reconnect_min: Duration,
        /// Longest pause during the first five seconds of an outage. Default 240 ms.
        reconnect_max: Duration,
        /// Longest pause in an outage older than that. Default 900 ms.
        reconnect_max_long: Duration,
    }

    /// Checks everything and makes the pool. No connection is made, nothing is spawned, and no runtime is needed. The
    /// only files that are read are those of [`tls_ca_file`](Self::tls_ca_file) and
    /// [`tls_identity`](Self::tls_identity).
    ///
    /// # Errors
    ///
    /// A configuration error ([`Error::is_config`]) that names every setting at fault.
    pub fn build(self) -> Result<Pool, Error> {
        if let Some(error) = self.environment {
            return Err(error.into());
        }
        if let Some(problem) = self.sentinels {
            return Err(self.config.faults_with(problem).into());
        }
        let target = self.config.target()?;
        if !self.config.enabled && self.fallback.is_none() {
            return Err(Error::config(
                "REDIS_ENABLED is false, but there is no fallback to answer instead: \
                 add .fallback(FallbackLru::default()) to the builder, or enable Redis",
            ));
        }
        if self.credentials.is_some() && target.names_anybody() {
            return Err(Error::config(
                "there is a credentials provider, but REDIS_URL has a user or a password too: leave those out of it",
            ));
        }
        let network = Network::new(&self.config, &target)?;
        Ok(Pool::assemble(self.config, target, network, self.fallback, self.credentials))
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("config", &self.config)
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}
