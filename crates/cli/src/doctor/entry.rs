//! Being let in: user and password, protocol, database.

use std::time::Duration;

use cenote_pool_core::Steps;
use cenote_pool_core::redis::{self, Cmd, ProtocolVersion, RedisConnectionInfo, RedisError, Value};

use super::reach::{answers_otherwise, unanswered};
use super::report::{Check, Report, plain};
use super::talk::{Failed, Talk};
use super::writes::cannot_save;
use crate::exit::Exit;

/// What the server told when it let us in.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) version: Option<String>,
    pub(super) role: Option<String>,
    pub(super) mode: Option<String>,
}

/// `HELLO`, and what servers without it have in its place, and `SELECT`.
pub(super) async fn enter(
    steps: &Steps,
    talk: &mut Talk,
    limit: Duration,
    report: &mut Report,
) -> Option<Entry> {
    let info = steps.connection_info();
    let wants_resp2 = info.protocol() == ProtocolVersion::RESP2;
    let (entry, resp3) = match talk.ask(&hello(&info, if wants_resp2 { 2 } else { 3 })).await {
        Ok(reply) if wants_resp2 => {
            (read_hello(reply), Check::ok("resp3", "RESP2, as the URL asks for it: no client-side caching"))
        }
        Ok(reply) => (read_hello(reply), Check::ok("resp3", "spoken")),
        Err(Failed::Said(error)) if speaks_no_hello(&error) => {
            if let Some(password) = info.password() {
                let mut auth = redis::cmd("AUTH");
                auth.arg(info.username()).arg(password);
                if let Err(failed) = talk.ask(&auth).await {
                    refused(steps, failed, limit, report);
                    return None;
                }
            }
            let old = Check::warning(
                "resp3",
                "the server speaks RESP2 only",
                "it serves, without the in-process tier of caches: upgrade to Redis 6 or later, or any Valkey",
            );
            (Entry::default(), old)
        }
        Err(failed) => {
            refused(steps, failed, limit, report);
            return None;
        }
    };
    // One that asks for a password says so only here where there is no HELLO.
    match talk.ask(&redis::cmd("PING")).await {
        Err(Failed::Said(error)) if error.code() == Some("NOPERM") || cannot_save(&error) => {}
        Err(failed) => {
            refused(steps, failed, limit, report);
            return None;
        }
        Ok(value) if is_pong(&value) => {}
        // One that sends back what it is sent has answered HELLO too.
        Ok(_) => {
            report.checks.push(answers_otherwise());
            return None;
        }
    }
    let version = entry.version.clone().map_or_else(String::new, |it| format!("; version {it}"));
    note_plain(steps, report);
    let who = match talk.ask(redis::cmd("ACL").arg("WHOAMI")).await {
        Ok(value) => redis::from_redis_value::<String>(value).ok(),
        Err(_) => None,
    };
    let who = who.map_or_else(|| "let in".to_owned(), |who| format!("let in as the user {}", plain(&who)));
    report.checks.push(if info.password().is_some() {
        Check::ok("auth", who)
    } else {
        Check::ok("auth", format!("{who}, without a password"))
    });
    report.checks.push(Check { seen: format!("{}{version}", resp3.seen), ..resp3 });
    select(&info, talk, report).await.then_some(entry)
}

/// On one more connection, where all was well on the first.
pub(super) async fn enter_again(steps: &Steps, talk: &mut Talk) -> Result<(), Failed> {
    let info = steps.connection_info();
    match talk.ask(&hello(&info, 2)).await {
        Err(Failed::Said(error)) if speaks_no_hello(&error) => {
            if let Some(password) = info.password() {
                talk.ask(redis::cmd("AUTH").arg(info.username()).arg(password)).await?;
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

async fn select(info: &RedisConnectionInfo, talk: &mut Talk, report: &mut Report) -> bool {
    let db = info.db();
    if db != 0
        && let Err(failed) = talk.ask(redis::cmd("SELECT").arg(db)).await
    {
        let (seen, remedy) = match failed {
            Failed::Said(error) if error.to_string().contains("out of range") => {
                let count = databases(talk).await;
                let has = count
                    .map_or_else(String::new, |count| format!(": it has {count}, from 0 to {}", count - 1));
                (
                    format!("the server has no database {db}{has}"),
                    "correct the number at the end of the URL, or raise `databases` in the server's configuration",
                )
            }
            Failed::Said(error) if error.to_string().contains("cluster") => (
                format!(
                    "database {db} cannot be: the server is part of a cluster, which has database 0 only"
                ),
                "leave the number in the URL out; and give each environment a server of its own, or names that begin with its name",
            ),
            Failed::Said(error) => (
                format!("database {db} cannot be used: {}", said(&error)),
                "let the user call SELECT (`ACL SETUSER .. +select`), or leave the number in the URL out",
            ),
            _ => (
                format!("database {db} cannot be used: no answer"),
                "try again: the server did not answer in time",
            ),
        };
        report.checks.push(Check::wrong("database", Exit::TurnedAway, seen, remedy));
        return false;
    }
    let seen = match talk.ask(&redis::cmd("DBSIZE")).await {
        Ok(Value::Int(1)) => format!("{db}, with 1 key"),
        Ok(Value::Int(count)) => format!("{db}, with {count} keys"),
        _ => db.to_string(),
    };
    report.checks.push(Check::ok("database", seen));
    true
}

async fn databases(talk: &mut Talk) -> Option<i64> {
    let reply = talk.ask(redis::cmd("CONFIG").arg("GET").arg("databases")).await.ok()?;
    let pairs: Vec<(String, i64)> = redis::from_redis_value(reply).ok()?;
    pairs.first().map(|(_, count)| *count).filter(|count| *count > 0)
}

fn is_pong(answer: &Value) -> bool {
    redis::from_redis_value_ref::<String>(answer).is_ok_and(|answer| answer == "PONG")
}

fn refused(steps: &Steps, failed: Failed, limit: Duration, report: &mut Report) {
    let Failed::Said(error) = failed else {
        report.put(unanswered(&failed, steps.is_tls(), limit));
        return;
    };
    note_plain(steps, report);
    let info = steps.connection_info();
    let user = info.username().unwrap_or("default");
    let text = said(&error);
    let lower = text.to_ascii_lowercase();
    let given = info.password().is_some();
    let (seen, remedy) = match error.code() {
        Some("WRONGPASS") => (
            format!("the server refuses the password for the user {}", shown_user(&info, user)),
            "correct user and password in the URL, redis://user:password@host: characters such as @ / : # must be percent-encoded; `ACL LIST` on the server tells its users",
        ),
        Some("NOAUTH") if !given => (
            "the server asks for a password, and the URL has none".to_owned(),
            "give it in REDIS_URL: redis://:password@host, or redis://user:password@host for a user of its ACL",
        ),
        Some("DENIED") => (
            "the server is in protected mode: it serves its own machine only".to_owned(),
            "give it a password (`requirepass`) and a `bind` address; without a password `protected-mode no` lets everybody in",
        ),
        Some("LOADING") => (
            "the server is loading its data, and does not serve yet".to_owned(),
            "wait: `INFO persistence` on the server tells loading_eta_seconds",
        ),
        Some("MASTERDOWN") => (
            "the server is a replica that has lost its master, and does not serve".to_owned(),
            "see to its master, or promote it: REPLICAOF NO ONE",
        ),
        _ if lower.contains("max number of clients") => (
            "the server is full: it has reached its maxclients".to_owned(),
            "lower REDIS_MAX_CONNECTIONS of the services, or raise `maxclients`; `CLIENT LIST` on the server tells who has them",
        ),
        _ if lower.contains("no password is set") || lower.contains("without any password configured") => (
            "the URL has a password, and the server has none".to_owned(),
            "take the password out of the URL, or set it on the server (`requirepass`)",
        ),
        _ => (
            format!("the server turns us away: {}", steps.scrub(&text)),
            "the words are the server's own; `ACL GETUSER` on the server tells what the user may do",
        ),
    };
    report.checks.push(Check::wrong("auth", Exit::TurnedAway, seen, remedy));
}

/// That no TLS is asked for is right only once a Redis has answered without it.
fn note_plain(steps: &Steps, report: &mut Report) {
    if !steps.is_tls() {
        report.checks.push(Check::ok("tls", "none asked for"));
    }
}

/// A name without a password is often a password that was meant to stand behind a colon.
fn shown_user<'a>(info: &RedisConnectionInfo, user: &'a str) -> &'a str {
    if info.password().is_some() { user } else { "***" }
}

fn hello(info: &RedisConnectionInfo, protocol: u8) -> Cmd {
    let mut hello = redis::cmd("HELLO");
    hello.arg(protocol);
    if let Some(password) = info.password() {
        hello.arg("AUTH").arg(info.username().unwrap_or("default")).arg(password);
    }
    hello
}

fn speaks_no_hello(error: &RedisError) -> bool {
    error.code() == Some("NOPROTO")
        || error.detail().unwrap_or_default().to_ascii_lowercase().contains("unknown command")
}

fn read_hello(reply: Value) -> Entry {
    let mut entry = Entry::default();
    let pairs: Vec<(String, Value)> = redis::from_redis_value(reply).unwrap_or_default();
    for (name, value) in pairs {
        let text = redis::from_redis_value::<String>(value).ok();
        match name.as_str() {
            "version" => entry.version = text,
            "role" => entry.role = text,
            "mode" => entry.mode = text,
            _ => {}
        }
    }
    entry
}

/// In the server's words.
pub(super) fn said(error: &RedisError) -> String {
    plain(&format!("{} {}", error.code().unwrap_or("ERR"), error.detail().unwrap_or_default()))
}
