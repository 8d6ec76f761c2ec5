//! Everything a pool can be told, checked before it is used.

mod env;
mod given;
mod problem;
mod sentinel;
mod target;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub(crate) use given::sentinel_url;
pub use problem::{ConfigError, Problem};
pub(crate) use sentinel::name_of;
pub(crate) use target::{Address, Target};

const DAY: Duration = Duration::from_secs(86_400);

/// A pool's settings. Durations deserialise from seconds; fractions are allowed.
///
/// ```
/// use cenote_pool_core::PoolConfig;
///
/// let mut config = PoolConfig::default();
/// config.url = "redis://cache.internal:6379/0".to_owned();
/// config.max_connections = 50;
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Where Redis is: `redis://`, `unix://`, `redis+sentinel://`, or with the feature `tls` `rediss://` and
    /// `rediss+sentinel://`. Default `redis://localhost:6379/0`.
    pub url: String,
    /// The user that sentinels know us as. Default none. The URL's, or a provider's, is the user of the master.
    pub sentinel_username: Option<String>,
    /// The password that sentinels ask for. Default none. The URL's, or a provider's, is that of the master.
    pub sentinel_password: Option<String>,
    /// TLS: a file of the certificates, in PEM, that may vouch for the server, in place of the platform's. Default
    /// none: the platform's.
    pub tls_ca_file: Option<PathBuf>,
    /// TLS: a file of our own certificate and those that vouch for it, in PEM, for a server that asks. Default none.
    pub tls_cert_file: Option<PathBuf>,
    /// TLS: a file of the private key of `tls_cert_file`, in PEM. Default none.
    pub tls_key_file: Option<PathBuf>,
    /// TLS: the name that the server's certificate must have, and that is sent ahead to it (SNI). Default none: the host
    /// that is dialled.
    pub tls_server_name: Option<String>,
    /// Without it the pool never dials and the fallback answers everything. Default true.
    pub enabled: bool,
    /// Whether [`Pool::start`](crate::Pool::start) fails when Redis is away. Default false.
    pub required: bool,
    /// Limit of one dial: name resolution, connect and greeting together. Default 5 s.
    #[serde(deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// Limit of a whole call, waiting and retries included, and how long a connection that owes a reply may
    /// be silent. Default 5 s.
    #[serde(deserialize_with = "seconds")]
    pub socket_timeout: Duration,
    /// How often a call that did not run (or only reads) is tried again, within its limit. Default 3.
    pub max_retries: u32,
    /// Connections of all kinds and all runtimes together. Default 20.
    pub max_connections: usize,
    /// A connection idle for so long is asked for a PING. Default 30 s.
    #[serde(deserialize_with = "seconds")]
    pub health_check_interval: Duration,
    /// What connections are called in the server's `CLIENT LIST`; with it the library tells its own name and version there
    /// (`CLIENT SETINFO`). It goes with the greeting and costs no round trip; a server or a user that does not allow it
    /// serves all the same. Printable ASCII without spaces. Default none.
    pub client_name: Option<String>,
    /// How old a connection may become before another one takes its place; each draws its own age, from three quarters
    /// of this on. The new one is there before the old one ends, which answers what it has; exclusive connections end
    /// between two holders. Those of subscribers have no age: each end of one is a gap. Default none: any age.
    #[serde(deserialize_with = "seconds_or_none")]
    pub connection_max_age: Option<Duration>,
    /// Shared connections per runtime. Default: the number of cores, at most 4.
    pub shared_connections: usize,
    /// How long [`Pool::close`](crate::Pool::close) waits for what is in flight. Default 5 s.
    #[serde(deserialize_with = "seconds")]
    pub close_timeout: Duration,
    /// Commands in flight on one shared connection; beyond it callers wait. Default 16,384.
    pub window_commands: usize,
    /// Bytes in flight on one shared connection; beyond it callers wait. Default 16 MiB.
    pub window_bytes: usize,
    /// Longest string accepted in a reply, in bytes. Default 512 MiB.
    pub max_reply_bytes: usize,
    /// How long a degradable connection waits for Redis before the fallback answers. Default 250 ms.
    #[serde(deserialize_with = "seconds")]
    pub degrade_after: Duration,
    /// The same, until Redis was first heard of. Default 50 ms.
    #[serde(deserialize_with = "seconds")]
    pub degrade_after_first: Duration,
    /// Keys that the outage journal holds at most. Default 100,000.
    pub journal_keys: usize,
    /// Bytes of keys that the outage journal holds at most. Default 64 MiB.
    pub journal_bytes: usize,
    /// First pause between attempts to reach Redis again. Default 50 ms.
    #[serde(deserialize_with = "seconds")]
    pub reconnect_min: Duration,
    /// Longest pause during the first five seconds of an outage. Default 240 ms.
    #[serde(deserialize_with = "seconds")]
    pub reconnect_max: Duration,
    /// Longest pause in an outage older than that. Default 900 ms.
    #[serde(deserialize_with = "seconds")]
    pub reconnect_max_long: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            url: "redis://localhost:6379/0".to_owned(),
            sentinel_username: None,
            sentinel_password: None,
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_server_name: None,
            enabled: true,
            required: false,
            connect_timeout: Duration::from_secs(5),
            socket_timeout: Duration::from_secs(5),
            max_retries: 3,
            max_connections: 20,
            health_check_interval: Duration::from_secs(30),
            client_name: None,
            connection_max_age: None,
            shared_connections: cores.min(4),
            close_timeout: Duration::from_secs(5),
            window_commands: 16_384,
            window_bytes: 16 << 20,
            max_reply_bytes: 512 << 20,
            degrade_after: Duration::from_millis(250),
            degrade_after_first: Duration::from_millis(50),
            journal_keys: 100_000,
            journal_bytes: 64 << 20,
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_millis(240),
            reconnect_max_long: Duration::from_millis(900),
        }
    }
}

impl PoolConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its variable or field, its value and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.problems())
    }

    pub(crate) fn target(&self) -> Result<Target, ConfigError> {
        self.validate()?;
        let target = Target::parse(&self.url)?;
        let target = target.called(self.client_name.clone());
        Ok(target.with_sentinel_login(self.sentinel_username.clone(), self.sentinel_password.clone()))
    }

    /// And this one, which is found outside of it.
    pub(crate) fn faults_with(&self, problem: Problem) -> ConfigError {
        let mut problems = vec![problem];
        problems.extend(self.problems());
        ConfigError::of(problems)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        match Target::parse(&self.url) {
            Ok(target) => {
                found.extend(self.sentinel_problems(&target));
                found.extend(self.tls_problems(&target));
            }
            Err(problem) => found.push(problem),
        }
        for (setting, value) in [
            ("REDIS_CONNECT_TIMEOUT", self.connect_timeout),
            ("REDIS_SOCKET_TIMEOUT", self.socket_timeout),
            ("REDIS_HEALTH_CHECK_INTERVAL", self.health_check_interval),
            ("close_timeout", self.close_timeout),
            ("degrade_after", self.degrade_after),
            ("degrade_after_first", self.degrade_after_first),
            ("reconnect_min", self.reconnect_min),
            ("reconnect_max", self.reconnect_max),
            ("reconnect_max_long", self.reconnect_max_long),
            ("REDIS_CONNECTION_MAX_AGE", self.connection_max_age.unwrap_or(DAY)),
        ] {
            if value < Duration::from_millis(1) || value > DAY {
                found.push(Problem::new(
                    setting,
                    format!("{} s", value.as_secs_f64()),
                    "a number of seconds above 0, from 0.001 to 86400, such as 5 or 0.5",
                ));
            }
        }
        for (setting, value, most) in [
            ("REDIS_MAX_CONNECTIONS", self.max_connections, 65_535),
            ("shared_connections", self.shared_connections, 64),
            ("window_commands", self.window_commands, 1 << 20),
            ("window_bytes", self.window_bytes, 1 << 30),
            ("max_reply_bytes", self.max_reply_bytes, 2 << 30),
            ("journal_keys", self.journal_keys, 1 << 30),
            ("journal_bytes", self.journal_bytes, 2 << 30),
        ] {
            if value == 0 || value > most {
                found.push(Problem::new(
                    setting,
                    value.to_string(),
                    format!("a whole number from 1 to {most}"),
                ));
            }
        }
        for (setting, value, floor) in [
            ("reconnect_max", self.reconnect_max, self.reconnect_min),
            ("reconnect_max_long", self.reconnect_max_long, self.reconnect_max),
        ] {
            if value < floor {
                let expected = format!("at least the {floor:?} that comes before it");
                found.push(Problem::new(setting, format!("{value:?}"), expected));
            }
        }
        if let Some(name) = &self.client_name
            && (name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let expected = "printable ASCII characters without spaces, at least one";
            found.push(Problem::new("REDIS_CLIENT_NAME", format!("{name:?}"), expected));
        }
        if self.required && !self.enabled {
            found.push(Problem::new("REDIS_REQUIRED", "true", "false while REDIS_ENABLED is false"));
        }
        if self.max_retries > 100 {
            let value = self.max_retries.to_string();
            found.push(Problem::new("REDIS_MAX_RETRIES", value, "a whole number from 0 to 100"));
        }
        found
    }
}

impl PoolConfig {
    fn sentinel_problems(&self, target: &Target) -> Vec<Problem> {
        let login = [
            ("REDIS_SENTINEL_USERNAME", &self.sentinel_username),
            ("REDIS_SENTINEL_PASSWORD", &self.sentinel_password),
        ];
        let given = login.into_iter().filter(|(_, value)| value.is_some());
        if target.sentinels().is_none() {
            let unused = "left out, or REDIS_URL a redis+sentinel:// one";
            return given.map(|(setting, _)| Problem::new(setting, target::HIDDEN, unused)).collect();
        }
        if self.sentinel_username.is_some() && self.sentinel_password.is_none() {
            let why = "given together with REDIS_SENTINEL_USERNAME: the password of that user";
            return vec![Problem::new("REDIS_SENTINEL_PASSWORD", "not set", why)];
        }
        Vec::new()
    }

    /// What can be told without opening a file.
    fn tls_problems(&self, target: &Target) -> Vec<Problem> {
        let files = [
            ("REDIS_TLS_CA_FILE", &self.tls_ca_file),
            ("REDIS_TLS_CERT_FILE", &self.tls_cert_file),
            ("REDIS_TLS_KEY_FILE", &self.tls_key_file),
        ];
        let given =
            files.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.display().to_string())));
        let name = self.tls_server_name.clone().map(|name| ("REDIS_TLS_SERVER_NAME", name));
        let mut found = Vec::new();
        if !target.tls {
            let unused = format!("left out, or REDIS_URL a {} one", target.scheme(true));
            found.extend(given.chain(name).map(|(setting, value)| Problem::new(setting, value, &*unused)));
            return found;
        }
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(_), None) => {
                let why = "given together with REDIS_TLS_CERT_FILE: the private key of that certificate";
                found.push(Problem::new("REDIS_TLS_KEY_FILE", "not set", why));
            }
            (None, Some(_)) => {
                let why = "given together with REDIS_TLS_KEY_FILE: the certificate of that key";
                found.push(Problem::new("REDIS_TLS_CERT_FILE", "not set", why));
            }
            _ => {}
        }
        found
    }
}

impl fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Target::parse(&self.url)
            .map_or_else(|_| "(does not parse, not shown)".to_owned(), |target| target.to_string());
        f.debug_struct("PoolConfig")
            .field("url", &url)
            .field("enabled", &self.enabled)
            .field("required", &self.required)
            .field("connect_timeout", &self.connect_timeout)
            .field("socket_timeout", &self.socket_timeout)
            .field("max_retries", &self.max_retries)
            .field("max_connections", &self.max_connections)
            .field("health_check_interval", &self.health_check_interval)
            .field("connection_max_age", &self.connection_max_age)
            .field("client_name", &self.client_name)
            .finish_non_exhaustive()
    }
}

fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    struct Seconds(#[serde(deserialize_with = "seconds")] Duration);
    Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(time)| time))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let number = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(number).map_err(|_| {
        serde::de::Error::custom(format!("{number} is not a number of seconds above 0, such as 5 or 0.5"))
    })
}
