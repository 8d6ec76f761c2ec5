//! The store and a real server get the same commands and give the same replies.
#![allow(clippy::disallowed_methods, reason = "a test may open its own client")]

mod commands;
#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Fallback;
use cenote_testkit::Server;
use redis::{Cmd, ConnectionLike, Value};

use commands::{Generator, Words};
use common::{Random, command};

const COMMANDS: usize = 200_000;
/// How many of the last commands a failure tells.
const TOLD: usize = 200;

#[test]
fn every_served_command_is_compared() {
    assert_eq!(commands::names(), FallbackLru::commands().collect::<Vec<_>>());
}

/// The server's floating-point digits depend on its processor; ours are those of x86-64.
static COMPARABLE: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let served = commands::names().into_iter();
    served.filter(|name| cfg!(target_arch = "x86_64") || !name.ends_with("FLOAT")).collect()
});

#[test]
fn random_batches_get_the_replies_of_a_real_server() {
    let server = Server::start();
    let mut connection = connect(&server);
    let stores = [FallbackLru::default(), FallbackLru::builder().shards(8).build().expect("built")];
    let mut generator = Generator { random: Random::from_environment() };
    let mut done = 0;
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    let mut history: VecDeque<(Words, Value)> = VecDeque::new();
    while done < COMMANDS {
        let atomic = generator.random.percent(30);
        let batch = batch(&mut generator);
        let cmds: Vec<Cmd> = batch.iter().map(|words| command(words)).collect();
        let expected = ask(&mut connection, &cmds, atomic);
        for (words, expected) in batch.iter().zip(&expected) {
            let name = String::from_utf8_lossy(&words[0]).to_uppercase();
            *answered.entry(name).or_default() += usize::from(!matches!(expected, Value::ServerError(_)));
        }
        for store in &stores {
            let got = store.execute(&cmds.iter().collect::<Vec<_>>(), atomic).expect("all is served");
            assert_eq!(got.len(), expected.len());
            for ((words, got), expected) in batch.iter().zip(got).zip(&expected) {
                if history.len() == TOLD {
                    history.pop_front();
                }
                history.push_back((words.clone(), expected.clone()));
                assert!(
                    alike(words, &got, expected),
                    "after {done} commands, atomic: {atomic}, shards: {}\n{}ours {got:?}",
                    store.shards(),
                    history
                        .iter()
                        .map(|(words, reply)| format!("{}-> {reply:?}\n", show(words)))
                        .collect::<String>(),
                );
            }
        }
        done += batch.len();
    }
    let errors = done - answered.values().sum::<usize>();
    println!("{done} commands, {errors} of them refused by both");
    assert!(errors > done / 20, "errors are compared too");
    for name in COMPARABLE.iter().copied() {
        assert!(
            answered.get(name).is_some_and(|times| *times > 20),
            "{name} was answered often: {answered:?}"
        );
    }
}

fn show(words: &Words) -> String {
    words.iter().map(|word| format!("{:?} ", word.escape_ascii().to_string())).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn floating_point_has_the_digits_of_a_real_server() {
    let server = Server::start();
    let mut connection = connect(&server);
    let store = FallbackLru::default();
    let mut generator = Generator { random: Random::from_environment() };
    for round in 0..5_000 {
        let (value, by) = (generator.float(), generator.float());
        let batch: Vec<Words> = vec![
            vec![b"SET".into(), b"n".into(), value.clone()],
            vec![b"INCRBYFLOAT".into(), b"n".into(), by.clone()],
            vec![b"INCRBYFLOAT".into(), b"n".into(), value.clone()],
            vec![b"HSET".into(), b"h".into(), b"f".into(), by],
            vec![b"HINCRBYFLOAT".into(), b"h".into(), b"f".into(), value],
        ];
        let cmds: Vec<Cmd> = batch.iter().map(|words| command(words)).collect();
        let got = store.execute(&cmds.iter().collect::<Vec<_>>(), false).expect("all is served");
        let shown: Vec<String> = batch.iter().map(show).collect();
        assert_eq!(got, ask(&mut connection, &cmds, false), "round {round}: {shown:#?}");
    }
}

/// The comparison is by tolerance where a time went in, and by content where the order is open.
fn alike(words: &Words, got: &Value, expected: &Value) -> bool {
    let name = words[0].to_ascii_uppercase();
    match (&*name, got, expected) {
        (b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME", Value::Int(got), Value::Int(expected)) => {
            // The two clocks were not read in the same millisecond.
            let tolerance = if name.starts_with(b"P") { 5_000 } else { 5 };
            got == expected || (*got >= 0 && *expected >= 0 && got.abs_diff(*expected) <= tolerance)
        }
        (b"TIME", Value::Array(got), Value::Array(expected)) => got.len() == expected.len(),
        (b"HKEYS" | b"HVALS" | b"KEYS", Value::Array(got), Value::Array(expected)) => same(got, expected),
        (_, Value::Set(got), Value::Set(expected)) => same(got, expected),
        (_, Value::Map(got), Value::Map(expected)) => same(got, expected),
        _ => got == expected,
    }
}

fn same<T: std::fmt::Debug>(got: &[T], expected: &[T]) -> bool {
    let sorted = |values: &[T]| {
        let mut shown: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        shown.sort();
        shown
    };
    sorted(got) == sorted(expected)
}

fn batch(generator: &mut Generator) -> Vec<Words> {
    let len = if generator.random.percent(40) { 1 } else { 1 + generator.random.below(12) };
    let mut batch = Vec::new();
    while batch.len() < len {
        let words = generator.command();
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        if !COMPARABLE.contains(&name.as_str()) {
            continue;
        }
        if name == "DBSIZE" {
            batch.push(Generator::touch_everything());
        }
        batch.push(words);
    }
    batch
}

fn ask(connection: &mut redis::Connection, cmds: &[Cmd], atomic: bool) -> Vec<Value> {
    let mut packed = Vec::new();
    if atomic {
        redis::cmd("MULTI").write_packed_command(&mut packed);
    }
    cmds.iter().for_each(|cmd| cmd.write_packed_command(&mut packed));
    if !atomic {
        return connection.req_packed_commands(&packed, 0, cmds.len()).expect("replies");
    }
    redis::cmd("EXEC").write_packed_command(&mut packed);
    let mut replies = connection.req_packed_commands(&packed, 0, cmds.len() + 2).expect("replies");
    match replies.pop() {
        Some(Value::Array(replies)) => replies,
        Some(refused @ Value::ServerError(_)) => vec![refused; cmds.len()],
        other => panic!("EXEC answered {other:?}"),
    }
}

fn connect(server: &Server) -> redis::Connection {
    let url = format!("{}?protocol=resp3", server.url());
    redis::Client::open(url).and_then(|client| client.get_connection()).expect("connected")
}
