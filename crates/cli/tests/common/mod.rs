//! The built command, as a shell would run it, and the workers that it watches.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_pubsub_progress::Progress;
use cenote_testkit::{Server, eventually};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Jobs of another process, as far as the command can see.
pub(crate) fn progress(server: &Server) -> Progress {
    let pool = Pool::builder().url(server.url()).build().unwrap();
    Progress::builder(&pool).heartbeat(Duration::from_millis(500)).build().unwrap()
}

/// `cenote` with nothing of this process' own environment that would change what it does.
pub(crate) fn cenote(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cenote"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with("REDIS_")
                || ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "COLUMNS"].contains(&name)
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command.env("TERM", "xterm-256color");
    command
}

/// Collects what is written there, until its end.
#[derive(Clone, Default)]
pub(crate) struct Text(Arc<Mutex<Vec<u8>>>, Arc<AtomicBool>);

impl Text {
    pub(crate) fn of(mut from: impl Read + Send + 'static) -> Self {
        let text = Self::default();
        let into = text.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of a pseudo-terminal is an error.
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                into.0.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
            into.1.store(true, Ordering::Release);
        });
        text
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn now(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    #[track_caller]
    pub(crate) fn has(&self, part: &str) {
        let give_up = Instant::now() + SOON;
        while !self.now().contains(part) {
            assert!(Instant::now() < give_up, "{part:?} is not told: {}", self.now());
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub(crate) fn whole(&self) -> String {
        eventually(SOON, "the end of the output", || self.1.load(Ordering::Acquire));
        self.now()
    }
}

/// A command that runs. Ended with SIGKILL when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) out: Text,
    pub(crate) err: Text,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Running {
    /// In a pipe.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Text::of(child.stdout.take().unwrap()), Text::of(child.stderr.take().unwrap()));
        Self { child, out, err }
    }

    /// On this server.
    pub(crate) fn watch(server: &Server, arguments: &[&str]) -> Self {
        Self::start(&mut cenote(&[["watch", "--url", &server.url()].as_slice(), arguments].concat()))
    }

    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        let mut code = None;
        let what =
            format!("the end of the command, which has said {:?} and {:?}", self.out.now(), self.err.now());
        eventually(SOON, &what, || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        Ended { code: code.unwrap().code(), out: self.out.whole(), err: self.err.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
#[track_caller]
pub(crate) fn ended(command: &mut Command) -> Ended {
    Running::start(command).ended()
}

#[track_caller]
pub(crate) fn assert_plain(text: &str) {
    let is_wild = |char: &char| char.is_control() && *char != '\n';
    assert!(!text.chars().any(|char| is_wild(&char)), "not one escape sequence: {text:?}");
}
