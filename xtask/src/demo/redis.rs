//! A private Redis or Valkey for the demo.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::children::{Child, OrphanGuard};
use crate::install;

/// Below the ports that systems give to outgoing connections: a client that redials a dead server can otherwise be
/// given the server's own port, and connect to itself.
const PORTS: std::ops::Range<u16> = 7380..7480;
const START_LIMIT: Duration = Duration::from_secs(20);

/// Ends when dropped, and leaves nothing behind.
pub(super) struct PrivateRedis {
    program: PathBuf,
    port: u16,
    running: Option<Running>,
    // Dropped in this order: the guard must not outlive what it guards.
    _guard: OrphanGuard,
    directory: Directory,
}

struct Running {
    _guard: OrphanGuard,
    _server: Child,
}

impl PrivateRedis {
    /// `None` when no server is installed.
    pub(super) fn start() -> Result<Option<Self>> {
        let Some(program) = install::SERVER.find()? else { return Ok(None) };
        for port in PORTS.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).take(5) {
            let directory = Directory::new(port)?;
            let guard = OrphanGuard::new(&[], Some(&directory.0));
            let mut redis = Self { program: program.clone(), port, running: None, _guard: guard, directory };
            if redis.bring_back()? {
                return Ok(Some(redis));
            }
        }
        bail!("no free port for a private server in {PORTS:?}");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends the server as a crash would. What it had is on disk.
    pub(super) fn take_away(&mut self) {
        self.running = None;
    }

    /// Starts the server, with the data it had; false when another program has the port.
    pub(super) fn bring_back(&mut self) -> Result<bool> {
        if self.running.is_some() {
            return Ok(true);
        }
        let mut command = Command::new(&self.program);
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        command
            .arg("--dir")
            .arg(&self.directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Child::spawn(command).with_context(|| self.program.display().to_string())?;
        let guard = OrphanGuard::new(&[server.id()], None);

        let give_up = Instant::now() + START_LIMIT;
        while Instant::now() < give_up {
            if server.exit_status()?.is_some() {
                return Ok(false);
            }
            if answers(self.port) {
                self.running = Some(Running { _guard: guard, _server: server });
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not answer after {START_LIMIT:?}", self.program.display());
    }
}

fn answers(port: u16) -> bool {
    ask(port, "PING", 7).is_ok_and(|reply| reply == b"+PONG\r\n")
}

/// Sends a line and reads so many bytes.
#[allow(clippy::disallowed_methods, reason = "asks whether the server is up; there is no pool here")]
fn ask(port: u16, line: &str, length: usize) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut reply = vec![0; length];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

struct Directory(PathBuf);

impl Directory {
    fn new(port: u16) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("cenote-demo-{}-{port}", process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_server_keeps_its_data_when_taken_away_and_leaves_nothing_behind() {
        // Without a server on this machine there is nothing to see.
        let Some(mut redis) = PrivateRedis::start().unwrap() else { return };
        let (port, directory) = (redis.port, redis.directory.0.clone());
        assert_eq!(ask(port, "SET k kept", 5).unwrap(), b"+OK\r\n");
        for _ in 0..2 {
            redis.take_away();
            assert!(!answers(port) && directory.is_dir());
        }
        for _ in 0..2 {
            assert!(redis.bring_back().unwrap() && answers(port));
        }
        assert_eq!(ask(port, "GET k", 10).unwrap(), b"$4\r\nkept\r\n");
        drop(redis);
        assert!(!answers(port) && !directory.exists());
    }
}
