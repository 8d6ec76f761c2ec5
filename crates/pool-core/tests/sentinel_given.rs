//! What is wrong with the arguments of `.sentinel(..)` is told in their words.

use cenote_pool_core::Pool;

fn told(master: &str, hosts: &[&str]) -> String {
    let builder = Pool::builder().sentinel(master, hosts);
    let printed = format!("{builder:?}");
    let error = builder.build().unwrap_err();
    assert!(error.is_config(), "{error:?}");
    let text = error.to_string();
    assert!(!format!("{printed} {text} {error:?}").contains("hunter2"), "{printed} {text}");
    text
}

#[test]
fn a_sentinel_that_is_given_wrongly_is_named_with_what_would_be_right() {
    let right = "`host` or `host:port`";
    for (hosts, parts) in [
        (&["redis://a:26379"][..], ["\"redis://a:26379\"", right, "without a scheme"]),
        (&["b:1", "a/b"], ["\"a/b\"", right, "nothing behind it"]),
        (&["::1"], ["\"::1\"", right, "[::1]"]),
        (&["fe80::1:26379"], ["\"fe80::1:26379\"", right, "[fe80::1:26379]"]),
        (&[], ["no host", right, "at least one"]),
        (&["a", ""], ["\"\"", right, ""]),
        (&["a:70000"], ["\"a:70000\"", right, "from 1 to 65535"]),
        (&["a:0"], ["\"a:0\"", right, "from 1 to 65535"]),
        (&["a b"], ["\"a b\"", right, ""]),
        (&["user:hunter2@a"], ["not shown", right, ".sentinel_login"]),
        (&["redis://:hunter2@a"], ["not shown", right, "without a scheme"]),
        (&["user:hunter2", "b@a"], ["not shown", right, ".sentinel_login"]),
        (&["a?password=hunter2"], ["not shown", right, "nothing behind it"]),
    ] {
        let text = told("main", hosts);
        assert!(text.contains(".sentinel("), "{hosts:?}: {text}");
        assert!(!text.contains("REDIS_URL"), "{hosts:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{hosts:?}: {part:?} is missing from: {text}");
        }
    }
    let text = told("", &["a"]);
    assert!(text.contains(".sentinel(") && text.contains("the master's name"), "{text}");
}

#[test]
fn other_settings_at_fault_are_named_too_and_a_later_url_takes_its_place() {
    let wrong = || Pool::builder().sentinel("main", ["a/b"]);
    let text = wrong().max_connections(0).sentinel_password("pw").build().unwrap_err().to_string();
    assert!(text.contains("a/b") && text.contains("REDIS_MAX_CONNECTIONS"), "{text}");
    assert!(!text.contains("REDIS_SENTINEL_PASSWORD"), "it is no fault: {text}");
    wrong().url("redis://a").build().unwrap();
    wrong().sentinel("main", ["a"]).build().unwrap();
    wrong().config(Default::default()).build().unwrap();
    let pool = Pool::builder().sentinel("my master", ["a", "[::1]:7", "10.0.0.1"]).build().unwrap();
    assert_eq!(pool.status().url, "redis+sentinel://a:26379,[::1]:7,10.0.0.1:26379/my%20master/0");
}
