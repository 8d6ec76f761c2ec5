//! Where Redis is and who we are there: a URL taken apart, its password kept from every printout.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use redis::{ProtocolVersion, RedisConnectionInfo};
use url::{ParseError, Url};

use super::Problem;
use super::sentinel::Sentinels;
use crate::credentials::Credentials;

const FORM: &str = "redis://[user:password@]host[:port][/db], rediss:// for TLS, redis+sentinel://host:port,host:port/master_name[/db], rediss+sentinel:// for TLS, or unix:///path/to/socket[?db=N&user=U&pass=P]";

/// A parsed Redis URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    /// A sentinel, or one of the servers that sentinels name: the URL that led here is one of theirs.
    pub(super) by_sentinels: bool,
    pub(crate) db: i64,
    pub(crate) username: Option<String>,
    password: Option<String>,
    pub(crate) protocol: Option<ProtocolVersion>,
    /// What our connections are called there.
    pub(crate) name: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
    /// Wherever sentinels say that the master is.
    Sentinel(Sentinels),
}

impl Target {
    /// Parses `text`. A text that does not parse is never echoed: it may be all password.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        // Before the rest: a Sentinel URL lists several hosts, which no URL parser takes.
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if scheme.ends_with("+sentinel") {
            let rest = text.split_once("://").map_or("", |(_, rest)| rest);
            return match scheme.as_str() {
                "redis+sentinel" | "valkey+sentinel" | "rediss+sentinel" | "valkeys+sentinel" => {
                    Self::sentinel(&scheme, rest)
                }
                _ => Err(hidden(format!("of the form {FORM}: its scheme is none of these"))),
            };
        }
        let url = Url::parse(text).map_err(|error| {
            let why = match error {
                ParseError::InvalidPort => "given with a port from 1 to 65535: the port in it is not a number of that range, or a password in it has characters that must be percent-encoded".to_owned(),
                ParseError::EmptyHost => format!(
                    "of the form {FORM}: it has no host, or a password in it has characters that must be percent-encoded"
                ),
                ParseError::RelativeUrlWithoutBase => format!("of the form {FORM}: it has no scheme"),
                other => format!("of the form {FORM}: {other}"),
            };
            hidden(why)
        })?;
        match url.scheme() {
            "redis" | "valkey" => Self::tcp(&url),
            "rediss" | "valkeys" if cfg!(feature = "tls") => Ok(Self { tls: true, ..Self::tcp(&url)? }),
            "rediss" | "valkeys" => Err(hidden(
                "a redis:// or unix:// URL: TLS (rediss://) needs the feature `tls` of cenote-pool-core or cenote"
                    .to_owned(),
            )),
            "unix" | "redis+unix" | "valkey+unix" if cfg!(unix) => Self::unix(&url),
            "unix" | "redis+unix" | "valkey+unix" => {
                Err(hidden("a redis:// URL: this platform has no Unix sockets".to_owned()))
            }
            _ => Err(hidden(format!("of the form {FORM}: its scheme is none of these"))),
        }
    }

    /// For a pool that never dials.
    pub(crate) fn nowhere() -> Self {
        let address = Address::Tcp { host: "embedded".to_owned(), port: 0 };
        Self {
            address,
            tls: false,
            by_sentinels: false,
            db: 0,
            username: None,
            password: None,
            protocol: None,
            name: None,
        }
    }

    fn tcp(url: &Url) -> Result<Self, Problem> {
        let shown = redact(url);
        let host = match url.host() {
            Some(url::Host::Domain(name)) if !name.is_empty() => decode(name)?,
            Some(url::Host::Ipv4(ip)) => ip.to_string(),
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            _ => return Err(Problem::new("REDIS_URL", shown, format!("of the form {FORM}: it has no host"))),
        };
        let port = url.port().unwrap_or(6379);
        if port == 0 {
            return Err(Problem::new("REDIS_URL", shown, "given with a port from 1 to 65535, not 0"));
        }
        if url.path().contains('@') || url.fragment().is_some_and(|part| part.contains('@')) {
            return Err(hidden(format!(
                "of the form {FORM}: a password in it has characters that must be percent-encoded"
            )));
        }
        let path = url.path().trim_matches('/');
        let db = if path.is_empty() { 0 } else { database(path, &shown)? };
        let mut target = Self {
            address: Address::Tcp { host, port },
            tls: false,
            by_sentinels: false,
            db,
            username: Some(url.username()).filter(|name| !name.is_empty()).map(decode).transpose()?,
            password: url.password().map(decode).transpose()?,
            protocol: None,
            name: None,
        };
        for (name, value) in url.query_pairs() {
            target.parameter(&name, &value, &shown)?;
        }
        Ok(target)
    }

    fn unix(url: &Url) -> Result<Self, Problem> {
        let shown = redact(url);
        let path = PathBuf::from(decode(url.path())?);
        if url.host().is_some() || path.as_os_str().is_empty() || !path.is_absolute() {
            return Err(Problem::new("REDIS_URL", shown, "unix:///absolute/path, with three slashes"));
        }
        let mut target = Self { address: Address::Unix(path), ..Self::nowhere() };
        for (name, value) in url.query_pairs() {
            match &*name {
                "db" => target.db = database(&value, &shown)?,
                "user" => target.username = Some(value.into_owned()),
                "pass" => target.password = Some(value.into_owned()),
                _ => target.parameter(&name, &value, &shown)?,
            }
        }
        Ok(target)
    }

    pub(super) fn called(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }

    pub(super) fn with_password(self, password: Option<String>) -> Self {
        Self { password, ..self }
    }

    pub(super) fn parameter(&mut self, name: &str, value: &str, shown: &str) -> Result<(), Problem> {
        match (name, value) {
            ("protocol", "2" | "resp2") => self.protocol = Some(ProtocolVersion::RESP2),
            ("protocol", "3" | "resp3") => self.protocol = Some(ProtocolVersion::RESP3),
            ("protocol", _) => {
                return Err(Problem::new("REDIS_URL", shown, "given with protocol=resp2 or protocol=resp3"));
            }
            _ => {
                let known = "given with no other parameters than protocol (and db, user, pass for unix://)";
                // The name tells the typing error; a value may be secret.
                let shown = if shown == HIDDEN { shown.to_owned() } else { format!("{shown}?{name}=...") };
                return Err(Problem::new("REDIS_URL", shown, known));
            }
        }
        Ok(())
    }

    /// Removes what a text may have quoted of our credentials.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let sentinels = self.sentinels();
        let theirs = sentinels.map(|it| [&it.password, &it.username]).into_iter().flatten();
        let all = [&self.password, &self.username].into_iter().chain(theirs);
        // The longest first: a part of one may be another, and would leave the rest of it.
        let mut secrets: Vec<_> = all.flatten().filter(|secret| secret.len() > 1).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// A user without a password logs in as nobody.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let password = self.password.as_deref()?;
        Some(match &self.username {
            Some(name) => Credentials::user(name, password),
            None => Credentials::password(password),
        })
    }

    /// How a URL to the same place begins that asks for TLS, or asks for none.
    pub(crate) fn scheme(&self, tls: bool) -> &'static str {
        match (self.by_sentinels || self.sentinels().is_some(), tls) {
            (false, false) => "redis://",
            (false, true) => "rediss://",
            (true, false) => "redis+sentinel://",
            (true, true) => "rediss+sentinel://",
        }
    }

    pub(crate) fn names_anybody(&self) -> bool {
        self.username.is_some() || self.password.is_some()
    }

    /// What `redis` needs to greet the server itself on a raw stream.
    pub(crate) fn connection_info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default().set_db(self.db);
        if let Some(name) = &self.username {
            info = info.set_username(name);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password);
        }
        info.set_protocol(self.protocol.unwrap_or(ProtocolVersion::RESP3))
    }

    /// The same as somebody who was told elsewhere who we are.
    pub(crate) fn logged_in_as(&self, credentials: Option<&Credentials>) -> Self {
        let mut target = self.clone();
        if let Some(credentials) = credentials {
            target.username = credentials.name().map(str::to_owned);
            target.password = Some(credentials.secret().to_owned());
        }
        target
    }

    /// The same with the address, as redis-rs has it.
    pub(crate) fn full_info(&self) -> Option<redis::ConnectionInfo> {
        let address = match &self.address {
            Address::Tcp { host, port } if self.tls => redis::ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Tcp { host, port } => redis::ConnectionAddr::Tcp(host.clone(), *port),
            Address::Unix(path) => redis::ConnectionAddr::Unix(path.clone()),
            // It has no word for several: the first one stands for all.
            Address::Sentinel(sentinels) => {
                let (host, port) = sentinels.hosts.first()?.clone();
                return self.at(&host, port).full_info();
            }
        };
        let info = redis::IntoConnectionInfo::into_connection_info(address).ok()?;
        Some(info.set_redis_settings(self.connection_info()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = match (&self.username, &self.password) {
            (None, None) => String::new(),
            // Often a password that was meant to stand behind a colon.
            (Some(_), None) => "***@".to_owned(),
            (name, Some(_)) => format!("{}:***@", name.as_deref().unwrap_or_default()),
        };
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => {
                write!(f, "{scheme}://{credentials}[{host}]:{port}/{}", self.db)
            }
            Address::Tcp { host, port } => write!(f, "{scheme}://{credentials}{host}:{port}/{}", self.db),
            Address::Unix(path) => write!(f, "unix://{}?db={}", path.display(), self.db),
            Address::Sentinel(sentinels) => {
                write!(f, "{scheme}+sentinel://{credentials}{sentinels}/{}", self.db)
            }
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

pub(super) const HIDDEN: &str = "(not shown, as it may hold a password)";

pub(super) fn hidden(expected: String) -> Problem {
    Problem::new("REDIS_URL", HIDDEN, expected)
}

/// The URL's scheme, host and port: nothing a secret could be in, unless an `@` behind them shows that what was
/// meant as a password was read as something else.
fn redact(url: &Url) -> String {
    if [Some(url.path()), url.query(), url.fragment()].into_iter().flatten().any(|part| part.contains('@')) {
        return HIDDEN.to_owned();
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let credentials = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
    format!("{}://{credentials}{host}{port}", url.scheme())
}

pub(super) fn database(text: &str, shown: &str) -> Result<i64, Problem> {
    match text.parse::<i64>() {
        Ok(db) if db >= 0 => Ok(db),
        _ => Err(Problem::new("REDIS_URL", shown, "given with a database number of 0 or more")),
    }
}

pub(super) fn decode(text: &str) -> Result<String, Problem> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if text.split('%').skip(1).any(|rest| !is_escape(rest)) {
        return Err(hidden(
            "percent-encoded: a % in it is not followed by two hexadecimal digits".to_owned(),
        ));
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| hidden("valid UTF-8 once its %-escapes are decoded".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_parse() {
        let target = Target::parse("redis://ada:s%40cret@[::1]:7000/3?protocol=resp2").unwrap();
        assert_eq!(target.to_string(), "redis://ada:***@[::1]:7000/3");
        assert_eq!(target.password(), Some("s@cret"));
        assert_eq!(target.protocol, Some(ProtocolVersion::RESP2));
        assert_eq!(Target::parse("redis://cache").unwrap().to_string(), "redis://cache:6379/0");
        let unix = Target::parse("unix:///run/redis.sock?db=2&pass=hush").unwrap();
        assert_eq!(unix.to_string(), "unix:///run/redis.sock?db=2");
        assert_eq!(unix.password(), Some("hush"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_tls_url_shows_as_one() {
        let target = Target::parse("rediss://:s3cret@cache:6380/1").unwrap();
        assert!(target.tls);
        assert_eq!(target.to_string(), "rediss://:***@cache:6380/1");
    }

    #[test]
    fn what_cannot_be_used_is_explained_and_never_echoed() {
        let table = [
            ("redis://:hunter2@host:70000", "1 to 65535"),
            ("redis://:hunter2@host:0/1", "1 to 65535"),
            ("redis://:hunter2@/0", "no host"),
            (":hunter2@host", "no scheme"),
            ("http://:hunter2@host", "scheme"),
            #[cfg(not(feature = "tls"))]
            ("rediss://:hunter2@host", "feature `tls`"),
            ("rediss://:hunter2@/0", "no host"),
            ("redis+sentinel://:hunter2@host", "no master name"),
            ("unix+sentinel://:hunter2@host/main", "scheme"),
            ("redis://:hunter2@host/minus", "database"),
            ("redis://:hunter2@host/-1", "database"),
            ("redis://:hunter2@host/0?timeout=5", "timeout="),
            ("redis://user:1/hunter2@host:6379/0", "percent-encoded"),
            ("redis://hunter2/x@host", "percent-encoded"),
            ("redis://user:1#hunter2@host:6379/0", "percent-encoded"),
            ("redis://user:/hunter2@host", "percent-encoded"),
            ("redis://:hunter2@host/0?protocol=4", "resp3"),
            ("redis://:hunter2%zz@host", "hexadecimal"),
            ("redis://:hunter2/slash@host:6379", "percent-encoded"),
            ("unix://hunter2/path", "three slashes"),
            ("hunter2", "no scheme"),
        ];
        for (url, reason) in table {
            let problem = Target::parse(url).unwrap_err().to_string();
            assert!(problem.contains(reason), "{url}: {problem}");
            assert!(url.starts_with("unix") || !problem.contains("hunter2"), "{problem}");
        }
    }
}
