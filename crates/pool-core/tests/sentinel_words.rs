//! What a sentinel says may be anything, and errors and logs are for people.

use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_testkit::{Answer, Canned, Log, within};

const SOON: Duration = Duration::from_secs(30);

/// Says `reply` to whoever asks where the master is, and announces `news` to whoever listens.
fn sentinel(reply: String, news: String) -> Canned {
    Canned::answering(move |_, asked| {
        let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
        if asked.contains("get-master-addr-by-name") {
            Answer::Send(reply.clone().into_bytes())
        } else if asked.contains("subscribe") {
            let acknowledged = "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";
            let news = format!("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n{}", bulk(&news));
            Answer::Send(format!("{acknowledged}{news}").into_bytes())
        } else {
            Answer::Silence
        }
    })
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn address(host: &str) -> String {
    format!("*2\r\n{}{}", bulk(host), bulk("6379"))
}

fn is_fit_for_people(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.lines().all(|line| line.len() < 1_000), "{text}");
    assert!(!text.contains("\n  forged"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_none_is_refused_and_shown_escaped_and_not_whole() {
    let log = Log::capture();
    let long = "x".repeat(20_000);
    for host in [&long, "a\u{1b}[2J\n  forged line", "a\u{7}b", "two words", ""] {
        let sentinel = sentinel(address(host), format!("main 127.0.0.1 1 {host} 6379"));
        let url = format!("redis+sentinel://{}/main/0", sentinel.addr());
        let pool = Pool::builder().url(url).connect_timeout(SOON).required(true).build().unwrap();
        let error = within(SOON, pool.start()).await.unwrap_err().to_string();
        assert!(error.contains("named an address that is none"), "{error}");
        is_fit_for_people(&error);
        is_fit_for_people(&pool.status().last_error.unwrap_or_default());
        within(SOON, pool.close()).await;
    }
    is_fit_for_people(&log.text());
}

#[tokio::test]
async fn what_a_sentinel_says_instead_of_an_address_is_shown_escaped_and_not_whole() {
    let long = "x".repeat(20_000);
    for said in [format!("-ERR {long}\r\n"), "-ERR \u{1b}[2J\u{7}\r\n".to_owned()] {
        let sentinel = sentinel(said, "main 127.0.0.1 1 127.0.0.1 1".to_owned());
        let url = format!("redis+sentinel://{}/main/0", sentinel.addr());
        let pool = Pool::builder().url(url).connect_timeout(SOON).required(true).build().unwrap();
        let error = within(SOON, pool.start()).await.unwrap_err().to_string();
        assert!(error.contains("said ERR"), "{error}");
        is_fit_for_people(&error);
    }
}
