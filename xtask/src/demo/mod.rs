//! Runs the reference service on whatever Redis there is.

mod children;
mod redis;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command as Process, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::children::{Child, OrphanGuard};
use self::redis::PrivateRedis;
use crate::command::Command;
use crate::{usage, workspace};

const SERVICE: &str = "cenote-service";
const DEFAULT_PORT: u16 = 3000;
const START_LIMIT: Duration = Duration::from_secs(60);
/// More than the service takes to drain.
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let port = parse(args)?.map_or_else(default_port, wanted_port)?;
    let stopped = on_stop()?;
    let program = build()?;
    if stopped.try_recv().is_ok() {
        return Ok(());
    }

    let redis = Backend::choose()?;
    println!("{}", redis.description());
    let mut service = Process::new(&program);
    service.env("PORT", port.to_string()).envs(redis.environment()).stdin(Stdio::null());
    println!("$ PORT={port} {program}");
    let mut service = Child::spawn(service).with_context(|| program.clone())?;
    let _guard = OrphanGuard::new(&[service.id()], None);

    let exit = serve(&mut service, port, &stopped);
    service.stop(STOP_LIMIT);
    exit
}

/// Prints the address once it answers, and returns at the first signal, or with an error when the service ends by
/// itself.
fn serve(service: &mut Child, port: u16, stopped: &Receiver<()>) -> Result<()> {
    let give_up = Instant::now() + START_LIMIT;
    let mut announced = false;
    loop {
        if stopped.recv_timeout(Duration::from_millis(50)).is_ok() {
            println!("stopping");
            return Ok(());
        }
        if let Some(status) = service.exit_status()? {
            bail!("the service ended by itself: {status}");
        }
        if !announced && answers(port) {
            println!("Open http://127.0.0.1:{port}/ (Ctrl-C ends it)");
            announced = true;
        }
        if !announced && Instant::now() > give_up {
            bail!("the service does not listen on port {port} after {START_LIMIT:?}");
        }
    }
}

/// What the service is told of Redis.
enum Backend {
    /// `REDIS_URL`, which the service inherits.
    Given,
    Private(PrivateRedis),
    /// No Redis, and why.
    Embedded(&'static str),
}

impl Backend {
    fn choose() -> Result<Self> {
        if std::env::var("REDIS_ENABLED").is_ok_and(|text| is_off(&text)) {
            return Ok(Self::Embedded("REDIS_ENABLED says so"));
        }
        if std::env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty()) {
            return Ok(Self::Given);
        }
        let missing = Self::Embedded("neither redis-server nor valkey-server is on PATH");
        Ok(PrivateRedis::start()?.map_or(missing, Self::Private))
    }

    /// Never the given URL: it may hold a password.
    fn description(&self) -> String {
        match self {
            Self::Given => "using the Redis of REDIS_URL".to_owned(),
            Self::Private(redis) => format!("using a Redis of its own, {}", redis.url()),
            Self::Embedded(reason) => format!("using no Redis but an in-memory store: {reason}"),
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Given => Vec::new(),
            Self::Private(redis) => vec![("REDIS_URL", redis.url())],
            Self::Embedded(_) => vec![("REDIS_ENABLED", "false".to_owned())],
        }
    }
}

fn is_off(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off")
}

/// `--port N`, if given.
fn parse(args: &[&str]) -> Result<Option<u16>> {
    let port = match args {
        [] => return Ok(None),
        ["--port", port] => port,
        [flag] if flag.starts_with("--port=") => &flag["--port=".len()..],
        _ => return Err(usage(format!("`demo {}` is not known", args.join(" ")))),
    };
    match port.parse() {
        Ok(port @ 1..) => Ok(Some(port)),
        _ => Err(usage(format!("`{port}` is not a port"))),
    }
}

fn wanted_port(port: u16) -> Result<u16> {
    if is_free(port) { Ok(port) } else { bail!("port {port} is taken") }
}

fn default_port() -> Result<u16> {
    if is_free(DEFAULT_PORT) {
        return Ok(DEFAULT_PORT);
    }
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    println!("port {DEFAULT_PORT} is taken, so this is on {other}; --port chooses");
    Ok(other)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[allow(clippy::disallowed_methods, reason = "asks whether the service listens; there is no pool here")]
fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Receives at Ctrl-C, SIGTERM and SIGHUP.
fn on_stop() -> Result<Receiver<()>> {
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody receives when this process is ending already.
        let _ = stop.send(());
    })?;
    Ok(stopped)
}

/// Builds the service and returns its program. It is run without cargo, so that a signal reaches it and no one else.
fn build() -> Result<String> {
    let build = Command::line("cargo build --message-format json-render-diagnostics -p").arg(SERVICE);
    println!("$ cargo build -p {SERVICE}");
    let messages = build.output()?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message["executable"].as_str()?.to_owned())
    });
    let program = executables.next_back().with_context(|| format!("{SERVICE} has no program"))?;
    let root = workspace::root();
    let shown = std::path::Path::new(&program).strip_prefix(root).map(|path| path.display().to_string());
    Ok(shown.unwrap_or(program))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;

    #[test]
    fn the_port_is_read_or_refused() {
        assert_eq!(parse(&[]).unwrap(), None);
        assert_eq!(parse(&["--port", "8080"]).unwrap(), Some(8080));
        assert_eq!(parse(&["--port=8080"]).unwrap(), Some(8080));
        for bad in
            [&["--port"][..], &["--port", "0"], &["--port", "x"], &["--prot", "1"], &["--port", "1", "2"]]
        {
            assert!(parse(bad).unwrap_err().is::<Usage>(), "{bad:?}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_only_when_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(wanted_port(port).is_err());
        assert!(default_port().is_ok());
    }
}
