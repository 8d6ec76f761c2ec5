//! A private Redis or Valkey for the demo.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
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
    port: u16,
    // Dropped in this order: the guard must not outlive what it guards.
    _guard: OrphanGuard,
    server: Child,
    _directory: Directory,
}

impl PrivateRedis {
    /// `None` when no server is installed.
    pub(super) fn start() -> Result<Option<Self>> {
        let Some(program) = install::SERVER.find()? else { return Ok(None) };
        for port in PORTS.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).take(5) {
            if let Some(started) = Self::start_on(port, &program)? {
                return Ok(Some(started));
            }
        }
        bail!("no free port for a private server in {PORTS:?}");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The server's process.
    pub(super) fn id(&self) -> u32 {
        self.server.id()
    }

    /// `None` when another program got the port first.
    fn start_on(port: u16, program: &Path) -> Result<Option<Self>> {
        let directory = Directory::new(port)?;
        let mut command = Command::new(program);
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command
            .arg("--dir")
            .arg(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Child::spawn(command).with_context(|| program.display().to_string())?;
        let guard = OrphanGuard::new(&[server.id()], Some(&directory.0));

        let give_up = Instant::now() + START_LIMIT;
        while Instant::now() < give_up {
            if server.exit_status()?.is_some() {
                return Ok(None);
            }
            if answers(port) {
                return Ok(Some(Self { port, _guard: guard, server, _directory: directory }));
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not answer after {START_LIMIT:?}", program.display());
    }
}

#[allow(clippy::disallowed_methods, reason = "asks whether the server is up; there is no pool here")]
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        std::io::Result::Ok(reply == *b"+PONG\r\n")
    };
    ask().unwrap_or(false)
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
    fn a_private_server_leaves_nothing_behind() {
        // Without a server on this machine there is nothing to see.
        let Some(redis) = PrivateRedis::start().unwrap() else { return };
        let (port, directory) = (redis.port, redis._directory.0.clone());
        assert!(answers(port) && directory.is_dir());
        drop(redis);
        assert!(!answers(port) && !directory.exists());
    }
}
