//! Waits until a started server answers, and makes sure that it is ours that does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::address::Address;
use super::process::Process;

const PAUSE: Duration = Duration::from_millis(1);
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// The time of the first accepted connection, or `None` when the process ended or time ran out.
pub(super) fn wait_until_ready(
    address: &Address,
    password: Option<&str>,
    process: &mut Process,
    give_up: Instant,
) -> Option<Instant> {
    while Instant::now() < give_up && !process.has_exited() {
        if let Ok(mut probe) = Probe::connect(address) {
            let first_accepted = Instant::now();
            while Instant::now() < give_up && !process.has_exited() {
                match probe.is_ready(password, process.pid()) {
                    Ok(true) => {
                        probe.quit();
                        return Some(first_accepted);
                    }
                    Ok(false) => thread::sleep(PAUSE),
                    Err(_) => break,
                }
            }
        }
        thread::sleep(PAUSE);
    }
    None
}

trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

struct Probe {
    stream: BufReader<Box<dyn Socket>>,
}

impl Probe {
    fn connect(address: &Address) -> io::Result<Self> {
        let stream: Box<dyn Socket> = match address {
            Address::Tcp(lease) => {
                let stream = TcpStream::connect(lease.addr())?;
                stream.set_read_timeout(Some(REPLY_LIMIT))?;
                Box::new(stream)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_read_timeout(Some(REPLY_LIMIT))?;
                Box::new(stream)
            }
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// `Ok(false)` while it loads its data, an error when it is not the process we started.
    fn is_ready(&mut self, password: Option<&str>, pid: u32) -> io::Result<bool> {
        if let Some(password) = password {
            self.ask(&["AUTH", password])?;
        }
        let pong = self.ask(&["PING"])?;
        if pong.starts_with("-LOADING") {
            return Ok(false);
        }
        let info = self.ask(&["INFO", "server"])?;
        // A server whose users we are not told about answers all this with errors; then its answering must do.
        let ours = info.lines().any(|line| line.trim_end() == format!("process_id:{pid}"));
        if ours || info.starts_with('-') { Ok(true) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Leaves, and waits for the server to have seen it: no test shall find the probe among its clients.
    fn quit(mut self) {
        // A sentinel has no such command.
        if self.ask(&["QUIT"]).is_ok_and(|answer| answer.starts_with('+')) {
            let _ = self.stream.read_to_end(&mut Vec::new());
        }
    }

    /// The reply's line, or the contents of a bulk string.
    fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())?;

        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(length) = line.strip_prefix('$') else { return Ok(line) };
        let length: usize = length.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let mut bulk = vec![0; length + 2];
        self.stream.read_exact(&mut bulk)?;
        Ok(String::from_utf8_lossy(&bulk).into_owned())
    }
}
