//! The errors of TLS name what decided, and what would be right.
#![cfg(feature = "tls")]

use std::time::Duration;

use cenote_pool_core::{Pool, PoolBuilder};
use cenote_testkit::{Authority, Sentinels, Server, within};

const SOON: Duration = Duration::from_secs(30);

async fn refused(builder: PoolBuilder) -> String {
    let pool = builder.required(true).build().unwrap();
    within(SOON, pool.start()).await.unwrap_err().to_string()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing from: {text}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_told_in_plain_words() {
    let authority = Authority::new();
    let server = Server::builder().tls(&authority, &authority.issue_future("127.0.0.1"), false).start();
    let url = format!("rediss://{}", server.tls_addr());
    let text = refused(Pool::builder().url(url).tls_ca_file(authority.ca_file())).await;
    has(&text, &["the server's certificate is not valid yet", "clock"]);
    assert!(!text.contains("UNIX"), "{text}");
}

#[tokio::test]
async fn the_file_and_the_name_that_decided_are_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::builder().tls(&authority, &authority.issue("127.0.0.1"), false).start();
    let builder = || Pool::builder().url(format!("rediss://{}", server.tls_addr()));
    let text = refused(builder().tls_ca_file(other.ca_file())).await;
    has(&text, &["nobody who is trusted here", "REDIS_TLS_CA_FILE", &other.ca_file().display().to_string()]);
    assert!(!text.contains("set REDIS_TLS_CA_FILE"), "it is: {text}");
    let text = refused(builder().tls_ca_file(authority.ca_file()).tls_server_name("elsewhere")).await;
    has(&text, &["for another name", "REDIS_TLS_SERVER_NAME", "elsewhere"]);
    let localhost = format!("rediss://localhost:{}", server.tls_addr().port());
    let text = refused(Pool::builder().url(localhost).tls_ca_file(authority.ca_file())).await;
    has(&text, &["for another name than we dialled", "localhost"]);
}

#[tokio::test]
async fn a_url_of_sentinels_is_corrected_by_one_of_sentinels() {
    let authority = Authority::new();
    let open = Sentinels::start();
    let tls = open.url().replace("redis+", "rediss+");
    let limit = Duration::from_secs(2);
    let text =
        refused(Pool::builder().url(tls).tls_ca_file(authority.ca_file()).connect_timeout(limit)).await;
    has(&text, &["the URL is a redis+sentinel:// one"]);

    let set = Sentinels::builder().tls(&authority).start();
    let text = refused(Pool::builder().url(set.url().replace("rediss", "redis"))).await;
    has(&text, &["is it a TLS port (rediss+sentinel://)?", "did not answer"]);

    let text = Pool::builder().sentinel("main", ["a"]).tls_server_name("b").build().unwrap_err().to_string();
    has(&text, &["REDIS_URL a rediss+sentinel:// one"]);
    let text = Pool::builder().url("http://a").build().unwrap_err().to_string();
    has(&text, &["redis+sentinel://", "rediss+sentinel://"]);
}

#[test]
fn a_key_that_is_encrypted_is_told_as_that() {
    let authority = Authority::new();
    let ours = authority.issue("client");
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let path = ours.key_file.with_file_name("encrypted.pem");
        std::fs::write(&path, key).unwrap();
        let builder = Pool::builder().url("rediss://a").tls_ca_file(authority.ca_file());
        let text = builder.tls_identity(&ours.cert_file, &path).build().unwrap_err().to_string();
        has(&text, &["REDIS_TLS_KEY_FILE", "encrypted keys are not read"]);
    }
}
