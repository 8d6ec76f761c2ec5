//! One question to one sentinel, on a connection of its own.

use std::io;
use std::time::Duration;

use redis::{Cmd, RedisError, Value};

use crate::brief::{brief, is_plain};
use crate::config::Target;
use crate::dial::{Connector, Refusal, Talk};

/// Where the sentinel says that the master is; or what came instead, for the error that lists them all.
pub(crate) async fn ask(
    connector: &dyn Connector,
    sentinel: &Target,
    master: &str,
    limit: Duration,
) -> Result<(String, u16), String> {
    let dialled = connector.dial(sentinel, limit).await;
    let mut dialled = dialled.map_err(|error| unreached(&error, limit))?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(master);
    let mut talk = Talk::new(&mut *dialled.io, sentinel);
    let reply = converse(&mut talk, sentinel, question).await?;
    if matches!(reply, Value::Nil) {
        return Err("knows no master of that name".to_owned());
    }
    let (host, port): (String, u16) = redis::from_redis_value(reply)
        .map_err(|_| "named no address, though asked for one: is it a sentinel?".to_owned())?;
    if !is_plain(&host) {
        return Err(format!("named an address that is none: \"{}\"", brief(&host)));
    }
    Ok((host, port))
}

pub(super) fn unreached(error: &io::Error, limit: Duration) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => late(limit),
        _ => format!("cannot be reached ({error})"),
    }
}

pub(super) fn late(limit: Duration) -> String {
    format!("has not answered within {limit:?}")
}

/// Logs in if need be, and asks.
pub(super) async fn converse(talk: &mut Talk<'_>, sentinel: &Target, question: Cmd) -> Result<Value, String> {
    let mut commands: Vec<Cmd> = Vec::new();
    commands.extend(sentinel.password().map(|password| {
        let mut auth = redis::cmd("AUTH");
        auth.arg(&sentinel.username).arg(password);
        auth
    }));
    commands.push(question);
    let replies = talk.ask(&commands).await.map_err(|refusal| match refusal {
        Refusal::Said(error) => said(sentinel, &error),
        Refusal::Failed(why) => format!("did not answer ({why})"),
    })?;
    let mut last = Value::Nil;
    for reply in replies {
        last = reply.extract_error().map_err(|error| said(sentinel, &error))?;
    }
    Ok(last)
}

/// Whether what came instead of an answer is about who we are.
pub(super) fn is_refused_login(why: &str) -> bool {
    ["said WRONGPASS", "said NOAUTH"].iter().any(|start| why.starts_with(start))
        || ["invalid password", "without any password configured"].iter().any(|part| why.contains(part))
}

fn said(sentinel: &Target, error: &RedisError) -> String {
    let (code, detail) = (error.code().unwrap_or("ERR"), error.detail().unwrap_or_default());
    let text = brief(&sentinel.scrub(&format!("{code} {detail}")).replace(['\r', '\n'], " "));
    let text = text.trim_end_matches(['.', ' ']);
    if code == "ERR" && text.to_ascii_lowercase().contains("unknown command") {
        return format!("is no sentinel ({text})");
    }
    format!("said {text}")
}
