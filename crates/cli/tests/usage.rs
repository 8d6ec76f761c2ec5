//! `cenote` called wrongly, or without a Redis: each error says what is wrong, where it was said and what would be right.

mod common;

use cenote_testkit::{Server, dead_port};

use common::{Ended, assert_plain, cenote, ended};

#[test]
fn the_help_tells_every_exit_code() {
    let short = ended(&mut cenote(&["watch", "-h"]));
    let Ended { code, out, .. } = ended(&mut cenote(&["watch", "--help"]));
    assert_eq!((code, short.code), (Some(0), Some(0)));
    for told in [
        "  0  ",
        "  1  ",
        "  2  ",
        "  3  ",
        "  4  ",
        "  5  ",
        "  6  ",
        "124  ",
        "130  ",
        "REDIS_URL",
        "--json",
    ] {
        assert!(out.contains(told) && short.out.contains(told), "{told} is not in {out}");
    }
    assert_plain(&out);
    let nothing = ended(&mut cenote(&[]));
    assert!(nothing.code == Some(2) && nothing.err.contains("watch"), "{nothing:?}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_watched() {
    let cases: [(&[&str], &str); 8] = [
        (&["watch"], "<JOB>..."),
        (&["wotch", "job"], "wotch"),
        (&["watch", "job", "--timeout", "0"], "a number of seconds above 0"),
        (&["watch", "job", "--timeout", "soon"], "a number of seconds above 0"),
        (&["watch", "job", "--url", "http://redis"], "--url is "),
        (&["watch", "job", "--url", "redis://:hunter2@[::1"], "--url is "),
        (&["watch", "job", "--url", "redis://:hunter2@localhost:port"], "--url is "),
        (&["watch", "job", "--colour"], "--colour"),
    ];
    for (arguments, expected) in cases {
        let Ended { code, out, err } = ended(&mut cenote(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(expected), "{arguments:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
        assert_plain(&err);
    }
}

#[test]
fn a_password_is_shown_nowhere_even_where_no_url_belongs() {
    let port = dead_port_addr();
    let urls = [
        format!("redis://:s3cr3t@{port}"),
        format!("rediss://ada:s3cr3t@{port}/0"),
        format!("redis://:%733cr%33t@{port}/0"),
        format!("redis://:s3cr3t#/@{port}/0"),
        format!("redis://s3cr3t@{port}/0"),
        format!("redis://{port}/0?password=s3cr3t"),
        "redis://ada:s3cr3t".to_owned(),
    ];
    for url in &urls {
        let cases: [&[&str]; 16] = [
            &["doctor", url],
            &["doctor", "--json", url],
            &["doctor", url, url],
            &["doctor", url, "--url", url],
            &["doctor", "--timeout", url],
            &["doctor", &format!("--timeout={url}")],
            &["doctor", &format!("--uri={url}")],
            &["doctor", &format!("-u{url}")],
            &["doctor", "--url", url],
            &[url],
            &[url, "doctor"],
            &["audit", url],
            &["audit", "--baseline", url],
            &["watch", url],
            &["watch", "job", "--namespace", url, "--timeout", url],
            &["patch", url, "--into", url],
        ];
        for arguments in cases {
            let Ended { code, out, err } = ended(&mut cenote(arguments));
            assert!(code == Some(2) || code == Some(6), "{arguments:?}: {code:?} {out} {err}");
            for text in [&out, &err] {
                for secret in ["s3cr3t", "%733cr%33t"] {
                    assert!(!text.contains(secret), "{arguments:?}: {text}");
                }
            }
            assert!(code != Some(2) || err.starts_with("error: "), "{arguments:?}: {err}");
        }
    }
}

#[test]
fn an_empty_url_is_no_default() {
    for arguments in [["doctor", "--url", ""].as_slice(), &["doctor", ""], &["watch", "job", "--url", " "]] {
        let Ended { code, out, err } = ended(&mut cenote(arguments));
        assert!(
            code == Some(2) && out.is_empty() && err.contains(" is empty: "),
            "{arguments:?}: {out}{err}"
        );
    }
}

#[test]
fn the_environment_is_named_when_it_is_at_fault() {
    for (name, value, expected) in [
        ("REDIS_URL", "redis://:hunter2@localhost:port", "REDIS_URL is "),
        ("REDIS_SOCKET_TIMEOUT", "soon", "REDIS_SOCKET_TIMEOUT is "),
        ("REDIS_ENABLED", "false", "REDIS_ENABLED is false"),
    ] {
        let Ended { code, err, .. } = ended(cenote(&["watch", "job"]).env(name, value));
        assert_eq!(code, Some(2), "{err}");
        assert!(err.starts_with("error: ") && err.contains(expected) && !err.contains("hunter2"), "{err}");
    }
}

#[test]
fn names_that_cannot_be_are_told_by_their_argument() {
    let server = Server::start();
    let url = server.url();
    for (arguments, expected) in
        [(["job", "--namespace", "a b"], "--namespace: "), (["", "--namespace", "a"], "JOB: ")]
    {
        let all = [["watch", "--url", &url].as_slice(), &arguments].concat();
        let Ended { code, err, .. } = ended(&mut cenote(&all));
        assert!(code == Some(2) && err.starts_with(&format!("error: {expected}")), "{err}");
    }
}

#[test]
fn a_redis_that_is_not_reached_is_named_with_where_its_address_came_from_and_without_its_password() {
    let url = format!("redis://:hunter2@{}/0", dead_port_addr());
    let by_flag = ended(&mut cenote(&["watch", "job", "--url", &url]));
    let by_variable = ended(cenote(&["watch", "job"]).env("REDIS_URL", &url));
    for (Ended { code, out, err }, from) in [(by_flag, "--url"), (by_variable, "REDIS_URL")] {
        assert_eq!((code, out.as_str()), (Some(6), ""), "{err}");
        assert!(err.contains(&dead_port_addr()) && err.contains(&format!("that of {from}")), "{err}");
        assert!(!err.contains("hunter2") && err.lines().count() == 1, "{err}");
    }
    // It is there, and lets nobody in.
    let server = Server::builder().password("hunter2").start();
    let refused = ended(&mut cenote(&["watch", "job", "--url", &server.url_without_password()]));
    assert!(refused.code == Some(6) && refused.err.contains("NOAUTH"), "{refused:?}");
}

fn dead_port_addr() -> String {
    static PORT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| dead_port().to_string());
    PORT.clone()
}
