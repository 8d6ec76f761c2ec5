//! TLS around a TCP stream, by rustls.

mod explain;
mod stream;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};

use self::explain::{Hints, explain};
pub(super) use self::stream::{Beneath, Stream};

use crate::config::{Address, PoolConfig, Problem, Target};
use crate::timer;

/// How TLS is spoken to one server.
pub(crate) struct Tls {
    /// In place of the host that is dialled.
    name: Option<ServerName<'static>>,
    identity: Option<Identity>,
    /// Made at once from files of ours, and at the first dial from the platform's certificates.
    client: OnceCell<TlsConnector>,
    hints: Arc<Hints>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    pub(crate) fn new(config: &PoolConfig, target: &Target) -> Result<Self, Problem> {
        let hosts = match &target.address {
            Address::Tcp { host, .. } => vec![host.as_str()],
            Address::Unix(_) => Vec::new(),
            Address::Sentinel(sentinels) => sentinels.hosts.iter().map(|(host, _)| host.as_str()).collect(),
        };
        let name = config.tls_server_name.as_deref();
        let name = name.map(|name| server_name("REDIS_TLS_SERVER_NAME", name)).transpose()?;
        if name.is_none() {
            hosts.into_iter().try_for_each(|host| server_name("REDIS_URL", host).map(drop))?;
        }
        let identity = match (&config.tls_cert_file, &config.tls_key_file) {
            (Some(chain), Some(key)) => Some(Identity::read(chain, key)?),
            _ => None,
        };
        let client = OnceCell::new();
        if let Some(path) = &config.tls_ca_file {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("REDIS_TLS_CA_FILE", path)? {
                roots.add(certificate).map_err(|error| unusable("REDIS_TLS_CA_FILE", path, &error))?;
            }
            let made = connector(roots, identity.as_ref());
            let made = made.map_err(|error| unusable_identity(config, &error))?;
            // The cell is new, so nothing is in it.
            let _ = client.set(made);
        } else {
            connector(RootCertStore::empty(), identity.as_ref())
                .map_err(|error| unusable_identity(config, &error))?;
        }
        let hints = Hints {
            ca_file: config.tls_ca_file.clone(),
            has_name: name.is_some(),
            plain: target.scheme(false),
        };
        Ok(Self { name, identity, client, hints: Arc::new(hints) })
    }

    /// The handshake, within `limit`.
    pub(super) async fn wrap(&self, stream: TcpStream, host: &str, limit: Duration) -> io::Result<Stream> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let client = self.client.get_or_try_init(|| self.trust_the_platform()).await?;
        match timer::within(limit, client.connect(name, stream)).await {
            Some(Ok(tls)) => Ok(Stream::new(tls, self.hints.clone())),
            Some(Err(error)) => Err(explain(&self.hints, error)),
            None => Err(io::Error::other(format!(
                "connected, but no TLS handshake within {limit:.1?}: if that port does not speak TLS, the URL is \
                 a {} one",
                self.hints.plain
            ))),
        }
    }

    async fn trust_the_platform(&self) -> io::Result<TlsConnector> {
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(|| "it has none".to_owned(), ToString::to_string);
            return Err(io::Error::other(format!(
                "no root certificate of the platform can be used ({why}): install them (often the package \
                 ca-certificates), or set REDIS_TLS_CA_FILE"
            )));
        }
        connector(roots, self.identity.as_ref()).map_err(io::Error::other)
    }
}

fn server_name(setting: &'static str, name: &str) -> Result<ServerName<'static>, Problem> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| Problem::new(setting, format!("{name:?}"), "a DNS name or an IP address"))
}

fn connector(roots: RootCertStore, identity: Option<&Identity>) -> Result<TlsConnector, TlsError> {
    // The provider is named: which one the process has for its default is no business of ours.
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let client = match identity {
        Some(identity) => client.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
        None => client.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(client)))
}

impl Identity {
    fn read(chain: &Path, key: &Path) -> Result<Self, Problem> {
        let chain = certificates("REDIS_TLS_CERT_FILE", chain)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| match is_encrypted(key) {
            true => unreadable("REDIS_TLS_KEY_FILE", key, "the private key", &ENCRYPTED),
            false => unreadable("REDIS_TLS_KEY_FILE", key, "the private key", &error),
        })?;
        Ok(Self { chain, key })
    }
}

const ENCRYPTED: &str = "it is encrypted, and encrypted keys are not read: `openssl pkey` writes it without";

fn is_encrypted(key: &Path) -> bool {
    std::fs::read_to_string(key).is_ok_and(|text| text.contains("ENCRYPTED"))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unreadable(setting, path, "certificates", &"it has none")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(setting, path, "certificates", &error)),
    }
}

fn unreadable(setting: &'static str, path: &Path, what: &str, why: &dyn fmt::Display) -> Problem {
    Problem::new(setting, path.display().to_string(), format!("a readable file with {what} in PEM: {why}"))
}

fn unusable(setting: &'static str, path: &Path, why: &TlsError) -> Problem {
    Problem::new(setting, path.display().to_string(), format!("of certificates that can be used: {why}"))
}

fn unusable_identity(config: &PoolConfig, why: &TlsError) -> Problem {
    let path = config.tls_key_file.as_deref().unwrap_or_else(|| Path::new("not set"));
    let expected = format!("the private key of the certificate in REDIS_TLS_CERT_FILE: {why}");
    Problem::new("REDIS_TLS_KEY_FILE", path.display().to_string(), expected)
}
