//! Certificates for servers and clients that speak TLS, made anew for each test.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority that vouches for certificates. Its files are removed with it.
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    issued: AtomicUsize,
}

/// The files of a certificate and of its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

impl Authority {
    /// A new one, that nobody trusts yet.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cenote-ca-").tempdir().expect("a temporary directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("the authority's file");
        Self { dir, issuer: Issuer::new(params, key), issued: AtomicUsize::new(0) }
    }

    /// What must be trusted for what it issues to be trusted.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a host name or an IP address.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(&CertificateParams::new([name.to_owned()]).expect("a name"))
    }

    /// Its own certificate, as `openssl req -x509` has it used by a server.
    pub fn as_server(&self) -> Identity {
        let identity = Identity { cert_file: self.ca_file(), key_file: self.dir.path().join("ca.key.pem") };
        fs::write(&identity.key_file, self.issuer.key().serialize_pem()).expect("the key's file");
        identity
    }

    /// One that was good until 2001.
    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(&params)
    }

    /// One that is good from 2045 on.
    pub fn issue_future(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2045, 1, 1);
        params.not_after = date_time_ymd(2046, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.dir.path().join(format!("{number}.{kind}.pem"));
        let identity = Identity { cert_file: file("cert"), key_file: file("key") };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(&identity.cert_file, certificate.pem()).expect("the certificate's file");
        fs::write(&identity.key_file, key.serialize_pem()).expect("the key's file");
        identity
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("ca_file", &self.ca_file()).finish_non_exhaustive()
    }
}
