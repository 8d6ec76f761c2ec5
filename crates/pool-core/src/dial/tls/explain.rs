//! What went wrong, in words that say what to do.

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What the settings were.
pub(in crate::dial) struct Hints {
    /// Whose certificates may vouch for the server, if not the platform's.
    pub(super) ca_file: Option<PathBuf>,
    /// The name is not that of the host.
    pub(super) has_name: bool,
    /// How the URL would begin without TLS.
    pub(super) plain: &'static str,
}

impl Hints {
    fn unknown_issuer(&self) -> String {
        let what = match &self.ca_file {
            Some(path) => {
                format!("REDIS_TLS_CA_FILE is {}, which does not have its authority", path.display())
            }
            None => "for a private authority set REDIS_TLS_CA_FILE".to_owned(),
        };
        format!("TLS: nobody who is trusted here vouches for the server's certificate: {what}")
    }
}

pub(super) fn explain(hints: &Hints, error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return error;
    };
    let text = match tls {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            hints.unknown_issuer()
        }
        TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "TLS: the server's certificate has expired".to_owned(),
        TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "TLS: the server's certificate is not valid yet: it begins later than the clock of this machine says \
              it is"
            .to_owned(),
        TlsError::InvalidCertificate(
            why @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => {
            let ours = if hints.has_name { "REDIS_TLS_SERVER_NAME says" } else { "we dialled" };
            format!("TLS: the server's certificate is for another name than {ours} ({why})")
        }
        // What checks certificates has a type for it that is not ours to name.
        TlsError::InvalidCertificate(CertificateError::Other(why))
            if format!("{why:?}").contains("CaUsedAsEndEntity") =>
        {
            "TLS: the server's certificate is one for an authority, not for a server, as openssl makes it if told \
             nothing else: let it sign one for the server, with `basicConstraints=CA:FALSE` and the server's name"
                .to_owned()
        }
        TlsError::InvalidMessage(_) => {
            format!("TLS: what answers there does not speak it: for a plain port the URL is a {} one", hints.plain)
        }
        TlsError::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => format!(
            "TLS: the server refused us ({alert:?}): it may ask for a client certificate of its own authority \
             (REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE)"
        ),
        other => format!("TLS: {other}"),
    };
    io::Error::new(error.kind(), text)
}
