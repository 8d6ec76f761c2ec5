//! Runs the reference service on whatever Redis there is.

mod children;
mod redis;

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command as Process, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
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
    let port = match parse(args)? {
        Some(port) => wanted_port(port, "--port")?,
        None => match port_of(env::var_os("PORT"))? {
            Some(port) => wanted_port(port, "PORT")?,
            None => free_port()?,
        },
    };
    let (tell, events) = mpsc::channel();
    on_stop(tell.clone())?;
    let program = build()?;
    if events.try_recv().is_ok() {
        return Ok(());
    }

    let mut redis = Backend::choose()?;
    println!("{}", redis.description());
    let mut service = Process::new(&program);
    service.env("PORT", port.to_string()).envs(redis.environment()).stdin(Stdio::null());
    let variables: String =
        redis.environment().iter().map(|(name, value)| format!("{name}={value} ")).collect();
    println!("$ PORT={port} {variables}{program}");
    if matches!(redis, Backend::Private(_)) {
        service.stdout(Stdio::piped());
    }
    let mut service = Child::spawn(service).with_context(|| program.clone())?;
    let _guard = OrphanGuard::new(&[service.id()], None);

    if let Some(output) = service.output() {
        thread::spawn(move || hear(output, &tell));
    }

    let exit = serve(&mut service, port, &mut redis, &events);
    service.stop(STOP_LIMIT);
    exit
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Stop,
    /// The page wishes Redis to be away, or back.
    Away,
    Back,
}

/// Prints the address once it answers, and returns at the first signal, or with an error when the service ends by
/// itself.
fn serve(service: &mut Child, port: u16, redis: &mut Backend, events: &Receiver<Event>) -> Result<()> {
    let give_up = Instant::now() + START_LIMIT;
    let mut announced = false;
    loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Stop) => {
                println!("stopping");
                return Ok(());
            }
            Ok(wish) => redis.heed(&wish),
            Err(_) => {}
        }
        if let Some(status) = service.exit_status()? {
            bail!("the service ended by itself: {status}");
        }
        if !announced && answers(port) {
            println!("Open http://127.0.0.1:{port}/ (Ctrl-C ends it)");
            if matches!(redis, Backend::Private(_)) {
                println!("To watch an outage press \"Take Redis away\" there.");
            }
            announced = true;
        }
        if !announced && Instant::now() > give_up {
            bail!("the service does not listen on port {port} after {START_LIMIT:?}");
        }
    }
}

/// The service asks with a word on a line; everything else it prints is passed on.
fn hear(output: impl Read, tell: &Sender<Event>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let wish = match line.as_str() {
            "away" => Event::Away,
            "back" => Event::Back,
            other => {
                println!("{other}");
                continue;
            }
        };
        // Nobody receives when this process is ending already.
        let _ = tell.send(wish);
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
        if env::var("REDIS_ENABLED").is_ok_and(|text| is_off(&text)) {
            return Ok(Self::Embedded("REDIS_ENABLED says so"));
        }
        if env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty()) {
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

    fn heed(&mut self, wish: &Event) {
        let Self::Private(redis) = self else { return };
        match wish {
            Event::Away => {
                redis.take_away();
                println!("Redis is taken away");
            }
            Event::Back => match redis.bring_back() {
                Ok(true) => println!("Redis is back"),
                Ok(false) => println!("Redis does not start again: another program may have its port"),
                Err(error) => println!("Redis does not start again: {error:#}"),
            },
            Event::Stop => {}
        }
    }

    /// What the service is told beside what it inherits; all of it may be printed.
    fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Given => Vec::new(),
            Self::Private(redis) => vec![("REDIS_URL", redis.url()), ("CENOTE_DEMO", "1".to_owned())],
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
        ["--port"] => return Err(usage("--port needs a number, such as --port 8080")),
        ["--port", port] => port,
        [flag] if flag.starts_with("--port=") => &flag["--port=".len()..],
        _ => return Err(usage(format!("`demo {}` is not known", args.join(" ")))),
    };
    match port.parse() {
        Ok(port @ 1..) => Ok(Some(port)),
        _ => Err(usage(format!("--port needs a number from 1 to 65535, and `{port}` is none"))),
    }
}

/// The variable `PORT`, if set. 0 lets the system choose, as for the service.
fn port_of(variable: Option<OsString>) -> Result<Option<u16>> {
    let Some(value) = variable.filter(|value| !value.is_empty()) else { return Ok(None) };
    let port = value.to_str().and_then(|text| text.trim().parse().ok());
    port.map(Some).with_context(|| format!("PORT is {value:?}, but must be a whole number from 0 to 65535"))
}

fn wanted_port(port: u16, who: &str) -> Result<u16> {
    match port {
        0 => any_port(),
        port if is_free(port) => Ok(port),
        port => bail!("port {port}, of {who}, is taken: choose another with --port N"),
    }
}

fn free_port() -> Result<u16> {
    if is_free(DEFAULT_PORT) {
        return Ok(DEFAULT_PORT);
    }
    let other = any_port()?;
    println!("port {DEFAULT_PORT} is taken, so this is on {other}; --port or PORT chooses");
    Ok(other)
}

fn any_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[allow(clippy::disallowed_methods, reason = "asks whether the service listens; there is no pool here")]
fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Tells of Ctrl-C, SIGTERM and SIGHUP.
fn on_stop(tell: Sender<Event>) -> Result<()> {
    ctrlc::set_handler(move || {
        // Nobody receives when this process is ending already.
        let _ = tell.send(Event::Stop);
    })?;
    Ok(())
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
        assert!(parse(&["--port"]).unwrap_err().to_string().starts_with("--port needs a number"));
    }

    #[test]
    fn the_service_asks_for_two_things_and_no_other() {
        let (tell, events) = mpsc::channel();
        hear(&b"away\nwarming up\nback\n away\n"[..], &tell);
        assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::Away, Event::Back]);
    }

    #[test]
    fn the_variable_is_read_or_refused_by_name() {
        assert_eq!(port_of(None).unwrap(), None);
        assert_eq!(port_of(Some("".into())).unwrap(), None);
        assert_eq!(port_of(Some("8080".into())).unwrap(), Some(8080));
        let error = port_of(Some("http".into())).unwrap_err().to_string();
        assert!(error.starts_with("PORT is \"http\""), "{error}");
        assert_ne!(wanted_port(0, "PORT").unwrap(), 0);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_only_when_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = wanted_port(port, "PORT").unwrap_err().to_string();
        assert!(error.contains("of PORT, is taken"), "{error}");
        assert!(free_port().is_ok());
    }
}
