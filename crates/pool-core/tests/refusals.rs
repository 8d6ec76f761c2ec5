//! What is refused before anything is dialled, and what no refusal ever tells.

use std::time::Duration;

use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Answer, Canned, Log, Server, dead_port, within};
use redis::{Cmd, Value};

const SECRET: &str = "hunter2";

fn command(line: &str) -> Cmd {
    let mut cmd = Cmd::new();
    line.split(' ').for_each(|word| {
        cmd.arg(word);
    });
    cmd
}

/// Newer servers know more commands than the one the other table is held against.
#[tokio::test]
async fn commands_of_other_servers_that_would_harm_a_shared_connection_are_refused_too() {
    let pool = Pool::builder().url(format!("redis://{}", dead_port())).build().unwrap();
    let mut conn = pool.conn();
    for line in [
        "WAITAOF 1 0 0",
        "REPLCONF listening-port 1",
        "CLIENT SETINFO lib-name x",
        "CLIENT NO-TOUCH on",
        "CLIENT CAPA redirect",
        "CLIENT IMPORT-SOURCE on",
        "CLIENT NO-EVICT on",
        "CLIENT CACHING yes",
        "BLMPOP 0 1 k LEFT",
        "BZMPOP 0 1 k MIN",
        "SSUBSCRIBE c",
    ] {
        for line in [line.to_owned(), line.to_lowercase()] {
            let cmd = command(&line);
            let single = cmd.query_async::<Value>(&mut conn).await;
            let piped = redis::pipe().add_command(cmd.clone()).query_async::<Value>(&mut conn).await;
            let atomic = redis::pipe().atomic().add_command(cmd).query_async::<Value>(&mut conn).await;
            for result in [single, piped, atomic] {
                let error = result.unwrap_err();
                let error = Error::from_redis(&error).expect("the pool's own error");
                assert!(error.to_string().contains("dedicated()"), "{line}: {error}");
                assert_eq!(error.outcome(), Outcome::NotSent);
            }
        }
    }
    assert_eq!(pool.status().dials, 0, "they were judged before anything else happened");
}

#[test]
fn a_password_that_was_read_as_another_part_of_the_url_is_not_shown() {
    for url in [
        "redis://user:1/hunter2@host:6379/0",
        "redis://hunter2/x@host",
        "redis://user:/hunter2@host",
        "redis://:hunter2#x@host",
        "redis://u:12#hunter2@host",
        "redis://u:12?hunter2@host",
        "redis://u:12?x=hunter2@host",
        "redis://hunter2@host/0",
        "redis://u:p@host/hunter2?x",
        "redis://u:p@host/0?x=hunter2",
        "redis://:hunter2@host/0",
        "redis://u:hunter2@host:99999/0",
    ] {
        let builder = Pool::builder().url(url);
        let mut printed = format!("{builder:?} {builder:#?}");
        match builder.build() {
            Ok(pool) => printed += &format!("{pool:?} {:?} {:?}", pool.conn(), pool.status()),
            Err(error) => printed += &format!("{error} {error:?}"),
        }
        assert!(!printed.contains(SECRET), "{url}: {printed}");
    }
}

async fn what_is_told_at(url: String) -> String {
    let limit = Duration::from_millis(500);
    let pool = Pool::builder().url(url).required(true).connect_timeout(limit).build().unwrap();
    let error = within(Duration::from_secs(5), pool.start()).await.unwrap_err();
    let mut conn = pool.conn();
    let call = redis::cmd("GET").arg("k").exec_async(&mut conn).await.unwrap_err();
    let dedicated = pool.dedicated().await.unwrap_err();
    let server = error.server_error();
    format!(
        "{error} {error:?} {server:?} {call} {call:?} {dedicated:?} {:?} {:?}",
        pool.state(),
        pool.status()
    )
}

#[tokio::test]
async fn a_password_that_the_server_quotes_is_not_passed_on() {
    let log = Log::capture();
    let mut told = Vec::new();

    // A server without HELLO and without AUTH, which repeats what it does not know.
    let renamed = ["HELLO \"\"", "AUTH \"\""];
    let builder =
        renamed.iter().fold(Server::builder(), |builder, line| builder.arg("rename-command", *line));
    let server = builder.start();
    told.push(what_is_told_at(format!("redis://:{SECRET}@{}/0", server.addr())).await);

    // And one that does so at the greeting, in each of its two forms.
    for unknown in [true, false] {
        let canned = Canned::answering(move |turn, _| {
            let (code, name) = match (unknown, turn) {
                (true, 0) => ("ERR unknown command", "HELLO"),
                (true, _) => ("ERR unknown command", "AUTH"),
                (false, _) => ("WRONGPASS no", "AUTH"),
            };
            let line = format!("-{code} `{name}`, with args beginning with: `default`, `{SECRET}`, \r\n");
            Answer::Send(format!("{line}+PONG\r\n$-1\r\n$-1\r\n").into_bytes())
        });
        let url = canned.url().replace("redis://", &format!("redis://:{SECRET}@"));
        told.push(what_is_told_at(url).await);
    }

    for text in &told {
        assert!(text.contains("with args beginning with") || text.contains("unknown command"), "{text}");
    }
    let logged = log.text();
    assert!(logged.contains("Redis is away"), "it captures:\n{logged}");
    for text in told.iter().chain([&logged]) {
        assert!(!text.contains(SECRET), "{text}");
    }
}
