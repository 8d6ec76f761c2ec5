//! The server's process, and what makes sure that it does not outlive the tests.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::address::Address;
use super::{START_LIMIT, binary, probe};

pub(super) const CONFIG: &str = "server.conf";
const LOG: &str = "server.log";

pub(super) struct Process {
    child: Child,
    guard: OrphanGuard,
}

pub(super) struct Started {
    pub(super) process: Process,
    pub(super) first_accepted: Instant,
}

pub(super) struct StartFailure {
    pub(super) address_in_use: bool,
    pub(super) log: String,
}

impl Process {
    /// Runs the server on the configuration in `dir` and waits until it answers.
    pub(super) fn start(
        dir: &Path,
        address: &Address,
        password: Option<&str>,
        mode: &[&str],
    ) -> Result<Started, StartFailure> {
        let program = binary::find();
        let log = File::create(dir.join(LOG)).expect("the log file");
        let child = Command::new(&program)
            .arg(dir.join(CONFIG))
            .args(mode)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        let guard = OrphanGuard::new(child.id(), dir);
        let mut process = Self { child, guard };

        let give_up = Instant::now() + START_LIMIT;
        match probe::wait_until_ready(address, password, &mut process, give_up) {
            Some(first_accepted) => Ok(Started { process, first_accepted }),
            None => {
                process.kill();
                let log = fs::read_to_string(dir.join(LOG)).unwrap_or_default();
                Err(StartFailure { address_in_use: log.contains("Address already in use"), log })
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn kill(mut self) {
        // Killed while the guard still watches: the test process may end at any moment, also in the middle of this.
        // Waited for only when the guard has left, which could otherwise kill a stranger that was given the same id.
        let _ = self.child.kill();
        self.guard.disarm();
        let _ = self.child.wait();
    }

    #[cfg(unix)]
    pub(super) fn freeze(&self) {
        use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process, waitid};

        let pid = rustix::process::Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).expect("SIGSTOP");
        let stopped_or_gone = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), stopped_or_gone).expect("the server's process");
    }

    #[cfg(unix)]
    pub(super) fn thaw(&self) {
        use rustix::process::{Pid, Signal, kill_process};

        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("SIGCONT");
    }

    #[cfg(not(unix))]
    pub(super) fn freeze(&self) {
        panic!("this system has no SIGSTOP");
    }

    #[cfg(not(unix))]
    pub(super) fn thaw(&self) {
        panic!("this system has no SIGCONT");
    }
}

/// A shell that waits for the end of the test process, which it sees as the end of its input, and then kills the
/// server and removes its directory: statics are not dropped, and neither is anything after an abort.
#[cfg(unix)]
struct OrphanGuard {
    shell: Option<Child>,
}

#[cfg(unix)]
impl OrphanGuard {
    fn new(server: u32, dir: &Path) -> Self {
        let script = r#"trap '' INT TERM HUP; read -r line || { kill -9 "$1"; rm -rf -- "$2"; }"#;
        let shell = Command::new("sh")
            .args(["-c", script, "guard", &server.to_string()])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { shell: Some(shell) }
    }

    /// A whole line, unlike the end of the input, tells the shell to leave without harm.
    fn disarm(&mut self) {
        use std::io::Write;

        if let Some(mut shell) = self.shell.take() {
            if let Some(mut input) = shell.stdin.take() {
                let _ = input.write_all(b"\n");
            }
            let _ = shell.wait();
        }
    }
}

#[cfg(not(unix))]
struct OrphanGuard;

#[cfg(not(unix))]
impl OrphanGuard {
    fn new(_server: u32, _dir: &Path) -> Self {
        Self
    }

    fn disarm(&mut self) {}
}
