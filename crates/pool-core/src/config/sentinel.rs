//! A URL that names sentinels: several hosts, which no URL parser takes, and the name of a master.

use std::fmt;

use url::{Host, Url, form_urlencoded};

use super::target::{HIDDEN, database, decode, hidden};
use super::{Address, Problem, Target};

const FORM: &str = "redis+sentinel://[user:password@]host[:port][,host[:port]]/master_name[/db]";
/// Where sentinels listen unless they are told otherwise.
const PORT: u16 = 26379;

/// Who knows where the master is, and by which name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sentinels {
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) master: String,
    /// Our credentials with the sentinels; the target's are those with the master.
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl Target {
    /// Parses what follows `scheme` and its `://`.
    pub(super) fn sentinel(scheme: &str, rest: &str) -> Result<Self, Problem> {
        let tls = matches!(scheme, "rediss+sentinel" | "valkeys+sentinel");
        if tls && !cfg!(feature = "tls") {
            return Err(hidden(
                "a redis+sentinel:// URL: TLS (rediss+sentinel://) needs the feature `tls` of cenote-pool-core or cenote"
                    .to_owned(),
            ));
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if rest.contains(['@', '#']) {
            return Err(hidden(format!(
                "of the form {FORM}: a password in it has characters that must be percent-encoded"
            )));
        }
        let (credentials, list) = authority.rsplit_once('@').unwrap_or(("", authority));
        let hosts = list.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        let (name, password) = match credentials.split_once(':') {
            Some((name, password)) => (name, Some(decode(password)?)),
            None => (credentials, None),
        };
        let shown = if credentials.is_empty() { "" } else { "***@" };
        let shown = format!("{scheme}://{shown}{}", List(&hosts));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = path.trim_matches('/').split('/');
        let master = decode(parts.next().unwrap_or_default())?;
        if master.is_empty() {
            let expected = format!("of the form {FORM}: it has no master name");
            return Err(Problem::new("REDIS_URL", shown, expected));
        }
        let db = match (parts.next(), parts.next()) {
            (None, _) => 0,
            (Some(db), None) => database(db, &shown)?,
            (Some(_), Some(_)) => {
                let expected = format!("of the form {FORM}: it has more than a master name and a database");
                return Err(Problem::new("REDIS_URL", shown, expected));
            }
        };
        let sentinels = Sentinels { hosts, master, username: None, password: None };
        let username = Some(name).filter(|name| !name.is_empty()).map(decode).transpose()?;
        let mut target = Self::nowhere().with_password(password);
        (target.address, target.tls, target.db) = (Address::Sentinel(sentinels), tls, db);
        target.username = username;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            target.parameter(&name, &value, &shown)?;
        }
        Ok(target)
    }

    pub(crate) fn sentinels(&self) -> Option<&Sentinels> {
        match &self.address {
            Address::Sentinel(sentinels) => Some(sentinels),
            Address::Tcp { .. } | Address::Unix(_) => None,
        }
    }

    /// Our credentials with the sentinels.
    pub(crate) fn with_sentinel_login(mut self, username: Option<String>, password: Option<String>) -> Self {
        if let Address::Sentinel(sentinels) = &mut self.address {
            (sentinels.username, sentinels.password) = (username, password);
        }
        self
    }

    /// The server at this address, greeted as this target says.
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        let mut target = self.clone();
        target.address = Address::Tcp { host: host.to_owned(), port };
        target.by_sentinels = self.sentinels().is_some() || self.by_sentinels;
        target
    }
}

impl Sentinels {
    /// Each of them, as it is dialled.
    pub(crate) fn targets(&self, tls: bool) -> Vec<Target> {
        let mut login = Target::nowhere().with_password(self.password.clone());
        (login.tls, login.by_sentinels, login.username) = (tls, true, self.username.clone());
        self.hosts.iter().map(|(host, port)| login.at(host, *port)).collect()
    }
}

/// As errors and the status name a server.
pub(crate) fn name_of(host: &str, port: u16) -> String {
    List(&[(host.to_owned(), port)]).to_string()
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = percent_encoding::utf8_percent_encode(&self.master, percent_encoding::NON_ALPHANUMERIC);
        let plain = self.master.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c));
        let list = List(&self.hosts);
        if plain { write!(f, "{list}/{}", self.master) } else { write!(f, "{list}/{escaped}") }
    }
}

struct List<'a>(&'a [(String, u16)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, port)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        Ok(())
    }
}

/// One of the list. It is not echoed: it may be a part of a password with an `@` or a comma in it.
pub(super) fn host(text: &str) -> Result<(String, u16), Problem> {
    if text.is_empty() {
        return Err(hidden(format!("of the form {FORM}: one of its hosts is missing")));
    }
    let url = Url::parse(&format!("redis://{text}")).map_err(|error| match error {
        url::ParseError::InvalidPort => hidden(
            "given with ports from 1 to 65535: the port of one of its sentinels is not a number of that range, or a password in it has characters that must be percent-encoded"
                .to_owned(),
        ),
        other => hidden(format!("of the form {FORM}: {other}")),
    })?;
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => decode(name)?,
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        _ => return Err(hidden(format!("of the form {FORM}: one of its hosts is missing"))),
    };
    match url.port().unwrap_or(PORT) {
        0 => Err(Problem::new("REDIS_URL", HIDDEN, "given with ports from 1 to 65535, not 0")),
        port => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_name_sentinels_parse() {
        let target = Target::parse("redis+sentinel://ada:s%40cret@a,b:7000,[::1]:7001/main/3?protocol=resp2");
        let target = target.unwrap();
        assert_eq!(target.to_string(), "redis+sentinel://ada:***@a:26379,b:7000,[::1]:7001/main/3");
        assert_eq!((target.password(), target.db), (Some("s@cret"), 3));
        assert_eq!(target.protocol, Some(redis::ProtocolVersion::RESP2));
        let short = Target::parse("valkey+sentinel://a/my%20master").unwrap();
        assert_eq!(short.to_string(), "redis+sentinel://a:26379/my%20master/0");
        assert_eq!(short.sentinels().unwrap().master, "my master");
        assert!(Target::parse(&short.to_string()).unwrap() == short);
    }

    #[test]
    fn the_node_that_a_sentinel_names_is_greeted_as_the_url_says() {
        let target = Target::parse("redis+sentinel://:pw@a/main/2").unwrap();
        let target = target.with_sentinel_login(None, Some("another".to_owned()));
        let node = target.at("10.0.0.7", 6379);
        assert_eq!(node.to_string(), "redis://:***@10.0.0.7:6379/2");
        assert_eq!(node.password(), Some("pw"));
        assert_eq!(target.scrub("WRONGPASS another is not it"), "WRONGPASS *** is not it");
        let target = Target::parse("redis+sentinel://app:pw@a/main").unwrap();
        let target = target.with_sentinel_login(None, Some("app-pw-hunter2".to_owned()));
        assert_eq!(target.scrub("ERR 'app-pw-hunter2' of app"), "ERR '***' of ***");
    }

    #[test]
    fn what_names_no_sentinels_rightly_is_explained_and_never_echoed() {
        for (url, reason) in [
            ("redis+sentinel://:hunter2@a,b:26379", "no master name"),
            ("redis+sentinel://:hunter2@a,b/", "no master name"),
            ("redis+sentinel://:hunter2@/main/0", "hosts is missing"),
            ("redis+sentinel:///main/0", "hosts is missing"),
            ("redis+sentinel://:hunter2@a,,b/main", "hosts is missing"),
            ("redis+sentinel://:hunter2@a:70000/main", "1 to 65535"),
            ("redis+sentinel://:hunter2@a:0/main", "1 to 65535"),
            ("redis+sentinel://:hunter2@a:port/main", "1 to 65535"),
            ("redis+sentinel://:hunter2@a/main/minus", "database number"),
            ("redis+sentinel://:hunter2@a/main/0/more", "more than a master name"),
            ("redis+sentinel://:hunter2/slash@a/main", "percent-encoded"),
            ("redis+sentinel://:hunter2#hash@a/main", "percent-encoded"),
            ("redis+sentinel://:hunter2%zz@a/main", "hexadecimal"),
            ("redis+sentinel://:hunter2@a/main?timeout=5", "timeout="),
            #[cfg(not(feature = "tls"))]
            ("rediss+sentinel://:hunter2@a/main", "feature `tls`"),
        ] {
            let problem = Target::parse(url).err().unwrap_or_else(|| panic!("{url} parses")).to_string();
            assert!(problem.contains(reason), "{url}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
