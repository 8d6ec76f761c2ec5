//! What a shared connection refuses, held against the server's own table of commands.

use std::collections::BTreeSet;

use cenote_pool_core::{Conn, Error, Outcome, Pool};
use cenote_testkit::{Server, within};
use redis::{AsyncCommands, Cmd, Value};
use std::time::Duration;

struct Command {
    name: String,
    flags: BTreeSet<String>,
}

/// Every command and subcommand as `COMMAND` gives it, with its flags.
fn command_table(server: &Server) -> Vec<Command> {
    fn read(entry: &Value, into: &mut Vec<Command>) {
        let Value::Array(fields) = entry else { return };
        let name: String = redis::from_redis_value_ref(&fields[0]).unwrap();
        let flags: Vec<String> = redis::from_redis_value_ref(&fields[2]).unwrap();
        into.push(Command { name, flags: flags.into_iter().collect() });
        if let Some(Value::Array(subcommands)) = fields.get(9) {
            subcommands.iter().for_each(|entry| read(entry, into));
        }
    }
    let Value::Array(entries) = server.observer().command(&["COMMAND"]).unwrap() else { panic!("no table") };
    let mut table = Vec::new();
    entries.iter().for_each(|entry| read(entry, &mut table));
    assert!(table.len() > 200, "a real table");
    table
}

/// `client|reply` becomes the words `CLIENT REPLY`, plus what makes a read of streams well-formed.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = name.split('|').map(str::to_owned).collect();
    if name.starts_with("xread") {
        words.extend(["BLOCK", "0", "STREAMS", "s", "$"].map(str::to_owned));
    }
    words
}

fn command(words: &[String]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}

async fn refusal_of(conn: &mut Conn, cmd: &Cmd) -> Option<Error> {
    let single = within(Duration::from_secs(5), cmd.query_async::<Value>(conn)).await;
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg("before").add_command(cmd.clone());
    let piped = within(Duration::from_secs(5), pipeline.query_async::<Vec<Value>>(conn)).await;
    let atomic = within(Duration::from_secs(5), pipeline.atomic().query_async::<Vec<Value>>(conn)).await;
    let single = Error::from_redis(&single.err()?)?.clone();
    for other in [piped.err()?, atomic.err()?] {
        assert_eq!(Error::from_redis(&other)?.to_string(), single.to_string());
    }
    Some(single)
}

#[tokio::test]
async fn every_command_that_would_block_or_change_a_shared_connection_is_refused_in_any_form() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let mut conn = pool.conn();
    // They carry the pub/sub flag, but block nobody and change nothing; see the next test.
    let harmless = |name: &str| matches!(name, "publish" | "spublish") || name.starts_with("pubsub");
    let flagged: Vec<String> = command_table(&server)
        .into_iter()
        .filter(|command| command.flags.contains("blocking") || command.flags.contains("pubsub"))
        .map(|command| command.name)
        .filter(|name| !harmless(name))
        .collect();
    assert!(flagged.iter().any(|name| name == "blpop") && flagged.iter().any(|name| name == "ssubscribe"));
    let of_the_connection = [
        "auth",
        "hello",
        "select",
        "reset",
        "quit",
        "readonly",
        "readwrite",
        "asking",
        "multi",
        "exec",
        "discard",
        "watch",
        "unwatch",
        "monitor",
        "sync",
        "psync",
        "wait",
        "client|reply",
        "client|setname",
        "client|tracking",
        "client|caching",
        "client|no-evict",
        "script|debug",
    ];
    let before = server.observer().total_calls();
    for name in flagged.iter().map(String::as_str).chain(of_the_connection) {
        for shaped in [name.to_owned(), name.to_uppercase()] {
            let cmd = command(&words(&shaped));
            let error = refusal_of(&mut conn, &cmd).await.unwrap_or_else(|| panic!("{shaped} was sent"));
            assert!(error.to_string().contains("dedicated()"), "{error}");
            assert_eq!(error.outcome(), Outcome::NotSent);
        }
    }
    let error = refusal_of(&mut conn, &Cmd::new()).await.expect("an empty command gets no reply");
    assert!(error.to_string().contains("empty command"), "{error}");
    assert_eq!(server.observer().total_calls(), before, "nothing reached the server");
    // And nobody's replies have shifted.
    let () = conn.set("after", 7).await.unwrap();
    assert_eq!(conn.get::<_, i64>("after").await.unwrap(), 7);
}

#[tokio::test]
async fn publishing_and_a_read_of_streams_that_does_not_block_are_served() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let mut conn = pool.conn();
    assert_eq!(conn.publish::<_, _, i64>("news", "hello").await.unwrap(), 0);
    let _: Value = redis::cmd("PUBSUB").arg("CHANNELS").query_async(&mut conn).await.unwrap();
    let id: String =
        redis::cmd("XADD").arg("s").arg("*").arg("f").arg("v").query_async(&mut conn).await.unwrap();
    let read: Value =
        redis::cmd("XREAD").arg("STREAMS").arg("s").arg("0").query_async(&mut conn).await.unwrap();
    assert!(format!("{read:?}").contains(&id), "{read:?}");
}

#[tokio::test]
async fn nothing_is_replayed_that_the_server_does_not_call_a_read() {
    let server = Server::start();
    let table = command_table(&server);
    let source = include_str!("../src/command/replay.rs");
    let list = source.split("const READS").nth(1).unwrap().split("];").next().unwrap();
    let names: Vec<&str> = list.split("b\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(names.len() > 60);
    for name in names {
        let Some(command) = table.iter().find(|command| command.name.eq_ignore_ascii_case(name)) else {
            panic!("{name} is unknown to the server");
        };
        let reads = command.flags.contains("readonly") || matches!(name, "PING" | "ECHO" | "TIME");
        assert!(reads && !command.flags.contains("write"), "{name}: {:?}", command.flags);
    }
}
