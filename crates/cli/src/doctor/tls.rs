//! What mends a TLS that fails, by what the pool's own words say of it.

/// Whom the URL leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    Redis,
    Sentinels,
}

/// `None` for what has nothing to do with TLS.
pub(super) fn remedy(why: &str, to: To) -> Option<&'static str> {
    let has = |words: &str| why.contains(words);
    let of = |redis, sentinels| match to {
        To::Redis => redis,
        To::Sentinels => sentinels,
    };
    Some(if has("that is TLS") {
        of(
            "write rediss:// in place of redis://",
            "write rediss+sentinel:// in place of redis+sentinel://: then TLS is spoken with the servers too",
        )
    } else if has("is it a TLS port") {
        of(
            "write rediss:// in place of redis:// if TLS is spoken there, and correct host and port if not",
            "write rediss+sentinel:// in place of redis+sentinel:// if TLS is spoken there, and correct the sentinels' addresses if not",
        )
    } else if has("does not speak it") || has("no TLS handshake within") {
        of(
            "write redis:// in place of rediss://, or give the port that is the server's `tls-port`",
            "write redis+sentinel:// in place of rediss+sentinel://, or give the ports that are the sentinels' `tls-port`",
        )
    } else if has("the server refused us") {
        "give a certificate that the server's authority has signed in REDIS_TLS_CERT_FILE, and its key in REDIS_TLS_KEY_FILE"
    } else if has("alert: CertificateExpired") {
        "have a new certificate issued in place of the one in REDIS_TLS_CERT_FILE"
    } else if has("certificate has expired") {
        "have a new certificate issued for the server, unless it is this machine's clock that is wrong"
    } else if has("not valid yet") {
        "set this machine's clock right, or wait until the certificate is valid"
    } else if has("nobody who is trusted here") {
        "give the certificate of the server's authority in REDIS_TLS_CA_FILE"
    } else if has("another name") {
        "write a name that the certificate has into the URL, or into REDIS_TLS_SERVER_NAME"
    } else if has("one for an authority") {
        "let the authority sign one for the server"
    } else if has("TLS: ") {
        "see what the server's log says of it"
    } else if has("during the greeting") {
        "they may ask for a certificate of ours (REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE), or be no sentinels: their log tells"
    } else {
        return None;
    })
}
