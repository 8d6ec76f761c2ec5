//! Settings of a server, written out as its configuration file.

use std::fmt;
use std::fs;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::address::Address;
use super::process::{CONFIG, Process};
use super::{PortLease, Server};
use crate::certificates::{Authority, Identity};

/// Settings for a [`Server`].
#[derive(Default)]
pub struct ServerBuilder {
    unix_socket: bool,
    persistent: bool,
    password: Option<String>,
    args: Vec<(String, String)>,
    tls: Option<PortLease>,
    mode: &'static [&'static str],
}

impl ServerBuilder {
    /// Listens on a Unix socket in the server's directory, and on no TCP port.
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Every acknowledged write survives [`Server::kill`] (`appendonly yes`, `appendfsync always`).
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Asks every client for this password (`requirepass`).
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Speaks TLS on a port of its own, beside the plain one: as `identity`, and only with clients that have a
    /// certificate of `authority` if it asks for one.
    pub fn tls(mut self, authority: &Authority, identity: &Identity, asks_for_certificates: bool) -> Self {
        let lease = PortLease::take();
        let asks = if asks_for_certificates { "yes" } else { "no" };
        for (name, value) in [
            ("tls-port", lease.addr().port().to_string()),
            ("tls-ca-cert-file", quote(&authority.ca_file().display().to_string())),
            ("tls-cert-file", quote(&identity.cert_file.display().to_string())),
            ("tls-key-file", quote(&identity.key_file.display().to_string())),
            ("tls-auth-clients", asks.to_owned()),
        ] {
            self = self.arg(name, value);
        }
        self.tls = Some(lease);
        self
    }

    /// Runs as a sentinel, which stores nothing.
    pub(crate) fn sentinel(mut self) -> Self {
        self.mode = &["--sentinel"];
        self
    }

    /// Any other line of the configuration file: `arg("maxclients", "10")`, `arg("user", "bob on >pw ~* +@all")`.
    /// The value is written as it stands there, quotes included; an empty one becomes `""`.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.push((name.into(), value.into()));
        self
    }

    /// Starts the server and returns once it answers.
    pub fn start(self) -> Server {
        for _ in 0..20 {
            let dir = tempfile::Builder::new().prefix("cenote-").tempdir().expect("a temporary directory");
            let address = if self.unix_socket {
                Address::Unix(dir.path().join("redis.sock"))
            } else {
                Address::Tcp(PortLease::take())
            };
            fs::write(dir.path().join(CONFIG), self.config(&dir, &address)).expect("the configuration file");

            match Process::start(dir.path(), &address, self.password.as_deref(), self.mode) {
                Ok(started) => {
                    return Server {
                        address,
                        password: self.password,
                        tls: self.tls,
                        mode: self.mode,
                        dir,
                        process: Mutex::new(Some(started.process)),
                        generation: Default::default(),
                    };
                }
                Err(failure) if failure.address_in_use => {}
                Err(failure) => panic!("the server did not start: {}", failure.log),
            }
        }
        panic!("twenty ports in a row were taken by other programs");
    }

    fn config(&self, dir: &TempDir, address: &Address) -> String {
        let mut lines = vec![
            ("dir".to_owned(), quote(&dir.path().display().to_string())),
            ("daemonize".to_owned(), "no".to_owned()),
            ("save".to_owned(), String::new()),
        ];
        let mut push = |name: &str, value: String| lines.push((name.to_owned(), value));
        match address {
            Address::Tcp(lease) => {
                push("bind", lease.addr().ip().to_string());
                push("port", lease.addr().port().to_string());
            }
            Address::Unix(path) => {
                push("port", "0".to_owned());
                push("unixsocket", quote(&path.display().to_string()));
            }
        }
        if self.persistent {
            push("appendonly", "yes".to_owned());
            push("appendfsync", "always".to_owned());
        }
        if let Some(password) = &self.password {
            push("requirepass", quote(password));
        }
        lines.extend(self.args.iter().cloned());
        lines
            .into_iter()
            .map(
                |(name, value)| {
                    if value.is_empty() { format!("{name} \"\"\n") } else { format!("{name} {value}\n") }
                },
            )
            .collect()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("args", &self.args).finish_non_exhaustive()
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_quotes_survive_the_configuration_file() {
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
