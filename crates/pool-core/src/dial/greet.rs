//! The greeting: who we are, which protocol and database, and whether the server serves.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, ProtocolVersion, RedisError, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Io;
use crate::codec::{Decoder, Limits};
use crate::config::Target;
use crate::sentinel::Node;
use crate::timer;

/// The role of a server that is no Redis.
pub(crate) const SENTINEL: &str = "sentinel";

/// How often a server that loads its data is asked whether it serves.
const LOADING_PAUSE: Duration = Duration::from_millis(20);

/// What the server said of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Greeting {
    pub(crate) version: Option<String>,
    pub(crate) role: Option<String>,
    /// It says that it is a server by itself: no part of a cluster.
    pub(crate) single: bool,
    pub(crate) resp3: bool,
    /// The server's number for this connection.
    pub(crate) client_id: Option<u64>,
    pub(crate) identity: Identity,
    /// Which of the servers that sentinels watch it is.
    pub(crate) node: Option<Arc<Node>>,
}

/// Which process answered, and which history of data it serves. `None` where the server would not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) run_id: Option<Arc<str>>,
    pub(crate) replication_id: Option<String>,
}

pub(crate) enum Refusal {
    /// The server's own words.
    Said(RedisError),
    Failed(String),
}

/// `HELLO`, `SELECT` and `PING` in one round trip; where there is no `HELLO`, `AUTH` and RESP2 in a second.
/// The `PING` tells a server that is still loading.
///
/// `INFO` tells the server's identity. It is not needed to be served: a user that may not ask it is let in all
/// the same.
///
/// A server that is still loading is asked again on the same connection until `deadline`: it will serve soon, and
/// dialling it anew would only be slower to notice. What it said last is in `loading`, for a caller that gives up
/// on the answer.
pub(crate) async fn greet(
    io: &mut dyn Io,
    target: &Target,
    max_reply: usize,
    deadline: Instant,
    loading: &mut Option<RedisError>,
) -> Result<Greeting, Refusal> {
    let decoder = Decoder::new(Limits { bulk: max_reply.clamp(64 << 10, 64 << 20), ..Limits::default() });
    let mut talk = Talk { io, decoder, arrived: VecDeque::new(), or_tls: or_tls(target) };
    let resp2_wanted = target.protocol == Some(ProtocolVersion::RESP2);
    let mut commands = vec![hello(target, if resp2_wanted { 2 } else { 3 })];
    commands.extend(select_and_ping(target));
    commands.extend(introduction(target));
    commands.extend(who_are_you());
    let mut replies = talk.ask(&commands).await?;
    let (identity, role) = read_identity(replies.split_off(replies.len() - 2));
    leave_out_introduction(target, &mut replies);
    match replies.remove(0).extract_error() {
        Ok(reply) => {
            let told = read_hello(reply);
            let role = told.role.clone().or(role);
            // It knows of no database, and whatever else it refuses is no matter: nobody has use for it.
            if role.as_deref() != Some(SENTINEL) {
                talk.wait_to_be_let_in(replies, deadline, loading).await?;
            }
            Ok(Greeting { resp3: !resp2_wanted, identity, role, ..told })
        }
        Err(error) if speaks_no_hello(&error) => {
            let mut commands = Vec::new();
            commands.extend(target.password().map(|password| auth(target, password)));
            commands.extend(select_and_ping(target));
            commands.extend(introduction(target));
            commands.extend(who_are_you());
            let mut replies = talk.ask(&commands).await?;
            let (identity, role) = read_identity(replies.split_off(replies.len() - 2));
            leave_out_introduction(target, &mut replies);
            talk.wait_to_be_let_in(replies, deadline, loading).await?;
            Ok(Greeting { identity, role, ..Greeting::default() })
        }
        Err(error) => Err(Refusal::Said(error)),
    }
}

/// The role of a server that its user greets afterwards. Leaves the connection as it was, but for the login.
pub(crate) async fn role(io: &mut dyn Io, target: &Target) -> Result<Option<String>, Refusal> {
    let mut talk = Talk::new(io, target);
    match talk.ask(&[hello(target, 2)]).await?.remove(0).extract_error() {
        Ok(reply) => Ok(read_hello(reply).role),
        Err(error) if speaks_no_hello(&error) => {
            let mut commands = Vec::new();
            commands.extend(target.password().map(|password| auth(target, password)));
            commands.extend(who_are_you());
            let mut replies = talk.ask(&commands).await?;
            let role = read_identity(replies.split_off(replies.len() - 2)).1;
            replies
                .into_iter()
                .try_for_each(|reply| reply.extract_error().map(drop))
                .map_err(Refusal::Said)?;
            Ok(role)
        }
        // Who greets it afterwards may have a login that is not the pool's.
        Err(error) if error.code() == Some("NOAUTH") => Ok(None),
        Err(error) => Err(Refusal::Said(error)),
    }
}

/// `RESET` and the greeting again, as one pipeline for a connection that a caller has changed.
pub(crate) fn again(target: &Target, resp3: bool) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("RESET");
    pipeline.add_command(hello(target, if resp3 { 3 } else { 2 }));
    for command in select_and_ping(target).into_iter().chain(introduction(target)) {
        pipeline.add_command(command);
    }
    pipeline
}

/// Whether the replies to [`again`] say that the connection is as it was at first.
pub(crate) fn is_as_new(target: &Target, mut replies: Vec<Value>) -> bool {
    leave_out_introduction(target, &mut replies);
    !replies.iter().any(|reply| matches!(reply, Value::ServerError(error) if error.code() != "MISCONF"))
}

/// Who we are, for the server's `CLIENT LIST`. It is no matter if the server does not know of it, or does not allow it.
fn introduction(target: &Target) -> Vec<Cmd> {
    let Some(name) = &target.name else { return Vec::new() };
    let client = |words: &[&str]| {
        let mut cmd = redis::cmd("CLIENT");
        cmd.arg(words);
        cmd
    };
    vec![
        client(&["SETNAME", name]),
        client(&["SETINFO", "LIB-NAME", "cenote"]),
        client(&["SETINFO", "LIB-VER", env!("CARGO_PKG_VERSION")]),
    ]
}

/// What was answered to it, at the end of what is left.
fn leave_out_introduction(target: &Target, replies: &mut Vec<Value>) {
    replies.truncate(replies.len().saturating_sub(introduction(target).len()));
}

fn hello(target: &Target, protocol: u8) -> Cmd {
    let mut cmd = redis::cmd("HELLO");
    cmd.arg(protocol);
    if let Some(password) = target.password() {
        cmd.arg("AUTH").arg(target.username.as_deref().unwrap_or("default")).arg(password);
    }
    cmd
}

fn auth(target: &Target, password: &str) -> Cmd {
    let mut cmd = redis::cmd("AUTH");
    if let Some(name) = &target.username {
        cmd.arg(name);
    }
    cmd.arg(password);
    cmd
}

fn select_and_ping(target: &Target) -> Vec<Cmd> {
    let mut commands = Vec::new();
    if target.db != 0 {
        let mut select = redis::cmd("SELECT");
        select.arg(target.db);
        commands.push(select);
    }
    commands.push(redis::cmd("PING"));
    commands
}

fn who_are_you() -> [Cmd; 2] {
    ["server", "replication"].map(|section| {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        info
    })
}

/// And the role, which `HELLO` tells where there is one.
fn read_identity(replies: Vec<Value>) -> (Identity, Option<String>) {
    let texts: Vec<String> =
        replies.into_iter().filter_map(|reply| redis::from_redis_value(reply).ok()).collect();
    let field = |name: &str| {
        let mut lines = texts.iter().flat_map(|text| text.lines());
        lines.find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let identity =
        Identity { run_id: field("run_id:").map(Arc::from), replication_id: field("master_replid:") };
    (identity, field("role:"))
}

fn speaks_no_hello(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default().to_ascii_lowercase();
    error.code() == Some("NOPROTO") || detail.contains("unknown command")
}

/// The last reply is that of `PING`: a user that may not even ask it is let in, a server that does not serve yet
/// says so there. One that cannot save to disk refuses it as it refuses writes, and serves reads.
fn let_in(mut replies: Vec<Value>) -> Result<(), Refusal> {
    let ping = replies.pop();
    for reply in replies {
        reply.extract_error().map_err(Refusal::Said)?;
    }
    match ping.map(Value::extract_error) {
        Some(Err(error)) if !matches!(error.code(), Some("NOPERM" | "MISCONF")) => Err(Refusal::Said(error)),
        _ => Ok(()),
    }
}

fn read_hello(reply: Value) -> Greeting {
    let mut greeting = Greeting::default();
    let pairs: Vec<(String, Value)> = redis::from_redis_value(reply).unwrap_or_default();
    for (name, value) in pairs {
        let text = || redis::from_redis_value_ref::<String>(&value).ok();
        match name.as_str() {
            "version" => greeting.version = text(),
            "role" => greeting.role = text(),
            "mode" => match text().as_deref() {
                Some("standalone") => greeting.single = true,
                // It tells no other role.
                Some(SENTINEL) => greeting.role = text(),
                _ => {}
            },
            "id" => greeting.client_id = redis::from_redis_value_ref(&value).ok(),
            _ => {}
        }
    }
    greeting
}

/// Commands and their replies, for the first moments of a connection.
pub(crate) struct Talk<'a> {
    io: &'a mut dyn Io,
    decoder: Decoder,
    arrived: VecDeque<Value>,
    /// Without TLS: how the URL begins that asks for it.
    or_tls: Option<&'static str>,
}

fn or_tls(target: &Target) -> Option<&'static str> {
    (!target.tls).then(|| target.scheme(true))
}

impl<'a> Talk<'a> {
    /// For replies that are short.
    pub(crate) fn new(io: &'a mut dyn Io, target: &Target) -> Self {
        let decoder = Decoder::new(Limits { bulk: 64 << 10, ..Limits::default() });
        Self { io, decoder, arrived: VecDeque::new(), or_tls: or_tls(target) }
    }

    async fn wait_to_be_let_in(
        &mut self,
        mut replies: Vec<Value>,
        deadline: Instant,
        loading: &mut Option<RedisError>,
    ) -> Result<(), Refusal> {
        loop {
            match let_in(replies) {
                Err(Refusal::Said(error))
                    if error.code() == Some("LOADING") && Instant::now() + LOADING_PAUSE < deadline =>
                {
                    *loading = Some(error);
                    timer::sleep(LOADING_PAUSE).await;
                    replies = self.ask(&[redis::cmd("PING")]).await?;
                }
                answer => return answer,
            }
        }
    }

    pub(crate) async fn say(&mut self, commands: &[Cmd]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for command in commands {
            command.write_packed_command(&mut bytes);
        }
        self.io.write_all(&bytes).await
    }

    pub(crate) async fn ask(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Refusal> {
        // A server that turns us away may have closed already: what it said is worth more than the failed write.
        let written = self.say(commands).await;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.next().await {
                Ok(value) => replies.push(value),
                Err(why) => {
                    // A full server (MAXCLIENTS) or a protected one says so unasked, once, and closes.
                    for value in replies {
                        value.extract_error().map_err(Refusal::Said)?;
                    }
                    return Err(written.map_or_else(|error| Refusal::Failed(error.to_string()), |()| why));
                }
            }
        }
        Ok(replies)
    }

    /// The next reply, or push. Dropping it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Value, Refusal> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(value) = self.arrived.pop_front() {
                return Ok(value);
            }
            let failed = |why: String| Refusal::Failed(why);
            match self.io.read(&mut buffer).await {
                Ok(0) => return Err(self.ended("it closed the connection")),
                Ok(count) => {
                    let mut values = Vec::new();
                    let decoded = self.decoder.feed(&buffer[..count], &mut values);
                    self.arrived.extend(values);
                    decoded.map_err(|error| failed(error.to_string()))?;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(self.ended(&error.to_string()));
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }

    /// A server that speaks TLS only, ends what begins otherwise.
    fn ended(&self, how: &str) -> Refusal {
        let guess = self.or_tls.map(|scheme| format!(": is it a TLS port ({scheme})?")).unwrap_or_default();
        Refusal::Failed(format!("{how} during the greeting{guess}"))
    }
}
