//! What went wrong, in words that say what to do.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

pub(super) fn explain(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return error;
    };
    let text = match tls {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "TLS: nobody who is trusted here vouches for the server's certificate: for a private authority set \
             REDIS_TLS_CA_FILE"
                .to_owned()
        }
        TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "TLS: the server's certificate has expired".to_owned(),
        TlsError::InvalidCertificate(
            why @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => format!("TLS: the server's certificate is for another name than we dialled ({why})"),
        // What checks certificates has a type for it that is not ours to name.
        TlsError::InvalidCertificate(CertificateError::Other(why))
            if format!("{why:?}").contains("CaUsedAsEndEntity") =>
        {
            "TLS: the server's certificate is one for an authority, not for a server, as openssl makes it if told \
             nothing else: let it sign one for the server, with `basicConstraints=CA:FALSE` and the server's name"
                .to_owned()
        }
        TlsError::InvalidMessage(_) => {
            "TLS: what answers there does not speak it: for a plain port the URL is a redis:// one".to_owned()
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
