//! `cenote doctor` where TLS is spoken, or should be: what does not go together, and what mends it.

mod common;

use std::net::SocketAddr;
use std::path::Path;

use cenote_testkit::{Authority, Canned, Identity, Server, ServerBuilder};
use serde_json::Value;

use common::{Ended, cenote, ended};

fn cache() -> ServerBuilder {
    Server::builder().arg("maxmemory", "100mb").arg("maxmemory-policy", "allkeys-lru")
}

/// Looks, with these files.
fn doctor(url: &str, ca: &Authority, ours: Option<&Identity>, arguments: &[&str]) -> Ended {
    let mut command = cenote(&[["doctor", "--url", url].as_slice(), arguments].concat());
    let mut file = |name, path: &Path| {
        command.env(name, path);
    };
    if url.starts_with("rediss") {
        file("REDIS_TLS_CA_FILE", &ca.ca_file());
    }
    if let Some(ours) = ours {
        file("REDIS_TLS_CERT_FILE", &ours.cert_file);
        file("REDIS_TLS_KEY_FILE", &ours.key_file);
    }
    ended(&mut command)
}

/// Holds the only step that is wrong, what was seen there and the remedy to what is expected.
#[track_caller]
fn assert_told(report: &Ended, step: &str, seen: &str, remedies: &[&str]) {
    let told: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!((report.code, &told["exit"]), (Some(8), &Value::from(8)), "{told:#}");
    let checks = told["checks"].as_array().unwrap();
    let of_step: Vec<_> = checks.iter().filter(|check| check["step"] == step).collect();
    let [check] = of_step[..] else { panic!("the step {step} is told {} times: {told:#}", of_step.len()) };
    assert_eq!(check["verdict"], "wrong", "{told:#}");
    assert_eq!(checks.iter().filter(|check| check["verdict"] == "wrong").count(), 1, "{told:#}");
    assert!(check["seen"].as_str().unwrap().contains(seen), "{seen:?}: {told:#}");
    for remedy in remedies {
        assert!(check["remedy"].as_str().unwrap().contains(remedy), "{remedy:?}: {told:#}");
    }
}

#[test]
fn tls_is_spoken_where_the_url_asks_for_it_and_what_hinders_it_is_told() {
    let authority = Authority::new();
    let server = cache().password("hunter2").tls(&authority, &authority.issue("127.0.0.1"), false).start();
    let url = format!("rediss://:hunter2@{}", server.tls_addr());
    let told = |url: &str, ca: Option<&Authority>| {
        let mut command = cenote(&["doctor", "--url", url, "--timeout", "1"]);
        command.envs(ca.map(|authority| ("REDIS_TLS_CA_FILE", authority.ca_file())));
        let Ended { code, out, .. } = ended(&mut command);
        (code, out.lines().next().unwrap_or_default().to_owned(), out)
    };
    let (code, _, out) = told(&url, Some(&authority));
    assert!(code == Some(0) && out.contains("certificate is one that is trusted here"), "{out}");

    let (code, first, out) = told(&url, Some(&Authority::new()));
    assert!(code == Some(8) && first.contains("nobody who is trusted here"), "{out}");
    // Its plain port does not know what to make of a handshake, and may wait for more.
    let (code, first, out) = told(&server.url().replace("redis://", "rediss://"), Some(&authority));
    assert!(code == Some(8) && first.contains("TLS") && first.contains("redis://"), "{out}");
    let (code, _, out) = told(&format!("redis://{}", server.tls_addr()), None);
    assert!(code == Some(8) && out.contains("rediss://"), "{out}");
}

#[test]
fn a_certificate_that_is_an_authoritys_own_is_told_as_that() {
    let authority = Authority::new();
    let server = cache().tls(&authority, &authority.as_server(), false).start();
    let mut command = cenote(&["doctor", "--url", &format!("rediss://{}", server.tls_addr())]);
    let Ended { code, out, .. } = ended(command.env("REDIS_TLS_CA_FILE", authority.ca_file()));
    let first = out.lines().next().unwrap();
    assert!(
        code == Some(8) && first.contains("certificate is one for an authority, not for a server"),
        "{out}"
    );
    assert!(!out.contains("CaUsedAsEndEntity"), "{out}");
}

const OURS: [&str; 2] = ["REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE"];

#[test]
fn a_certificate_of_ours_that_the_server_misses_or_refuses_is_told_as_tls() {
    let authority = Authority::new();
    // The later one refuses after our handshake is done, the earlier one in it.
    for version in ["TLSv1.3", "TLSv1.2"] {
        let server = cache()
            .tls(&authority, &authority.issue("127.0.0.1"), true)
            .arg("tls-protocols", version)
            .start();
        let url = format!("rediss://{}", server.tls_addr());
        let looked = |ours: Option<&Identity>| doctor(&url, &authority, ours, &["--json"]);
        assert_told(&looked(None), "tls", "the server refused us", &OURS);
        assert_told(&looked(Some(&Authority::new().issue("us"))), "tls", "the server refused us", &OURS);
        let expired = authority.issue_expired("us");
        assert_told(&looked(Some(&expired)), "tls", "Expired", &["new certificate", "REDIS_TLS_CERT_FILE"]);
        let well = looked(Some(&authority.issue("us")));
        assert_eq!(well.code, Some(0), "{version}: {}", well.out);
    }
}

#[test]
fn what_is_wrong_with_the_servers_certificate_is_told_with_what_mends_that() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (identity, trusted, seen, remedy) in [
        (authority.issue_expired("127.0.0.1"), &authority, "has expired", "a new certificate"),
        (authority.issue("127.0.0.1"), &stranger, "nobody who is trusted here", "REDIS_TLS_CA_FILE"),
        (authority.issue("cache.internal"), &authority, "another name", "REDIS_TLS_SERVER_NAME"),
        (authority.as_server(), &authority, "one for an authority", "let the authority sign one"),
    ] {
        let server = cache().tls(&authority, &identity, false).start();
        for (url, step) in [
            (format!("rediss://{}", server.tls_addr()), "tls"),
            (format!("rediss+sentinel://{}/main", server.tls_addr()), "sentinel"),
        ] {
            let told = doctor(&url, trusted, None, &["--json"]);
            assert_told(&told, step, seen, &[remedy]);
            assert!(!told.out.contains("tls-port"), "the port is right: {}", told.out);
        }
    }
}

#[test]
fn sentinels_and_a_url_that_do_not_agree_about_tls_are_told_so() {
    let authority = Authority::new();
    let by_tls = cache().tls(&authority, &authority.issue("127.0.0.1"), true).start();
    let looked = |scheme: &str, addr: SocketAddr, arguments: &[&str]| {
        let url = format!("{scheme}://{addr}/main");
        doctor(&url, &authority, None, &[arguments, &["--json"]].concat())
    };
    let other = |told: &Ended, scheme: &str| assert_told(told, "sentinel", "TLS", &[scheme]);
    other(&looked("redis+sentinel", by_tls.tls_addr(), &[]), "write rediss+sentinel://");
    // One that answers what it does not know, and one that waits for more.
    let plain = Canned::replying("-ERR unknown command\r\n");
    other(&looked("rediss+sentinel", plain.addr(), &[]), "write redis+sentinel://");
    other(&looked("rediss+sentinel", by_tls.addr(), &["--timeout", "1"]), "write redis+sentinel://");
    let asks = looked("rediss+sentinel", by_tls.tls_addr(), &[]);
    assert_told(&asks, "sentinel", "the server refused us", &OURS);
}
