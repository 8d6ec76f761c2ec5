//! Processes that end with this one, however it ends.

use std::path::Path;
use std::process::{self, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A process that a terminal's Ctrl-C does not reach: it is stopped in order, by [`stop`](Self::stop) or by being
/// dropped.
pub(super) struct Child {
    process: process::Child,
}

impl Child {
    pub(super) fn spawn(mut command: Command) -> Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Self { process: command.current_dir(crate::workspace::root()).spawn()? })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it prints, if that is a pipe.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    pub(super) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Asks it to end, as Ctrl-C does, and ends it when it has not within `limit`.
    pub(super) fn stop(&mut self, limit: Duration) {
        if self.interrupt() {
            let give_up = Instant::now() + limit;
            while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < give_up {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    #[cfg(unix)]
    fn interrupt(&self) -> bool {
        use rustix::process::{Pid, Signal, kill_process};

        kill_process(Pid::from_child(&self.process), Signal::INT).is_ok()
    }

    #[cfg(not(unix))]
    fn interrupt(&self) -> bool {
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A shell that sees the end of this process as the end of its input, and then kills what this process could not.
pub(super) struct OrphanGuard {
    shell: Option<process::Child>,
}

impl OrphanGuard {
    #[cfg(unix)]
    pub(super) fn new(processes: &[u32], directory: Option<&Path>) -> Self {
        let script = r#"trap '' INT TERM HUP
            directory=$1; shift
            read -r line || { kill -9 "$@"; [ -z "$directory" ] || rm -rf -- "$directory"; }"#;
        let shell = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(directory.unwrap_or(Path::new("")))
            .args(processes.iter().map(ToString::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self { shell: shell.ok() }
    }

    #[cfg(not(unix))]
    pub(super) fn new(_processes: &[u32], _directory: Option<&Path>) -> Self {
        Self { shell: None }
    }
}

impl Drop for OrphanGuard {
    /// A whole line, unlike the end of the input, tells the shell to leave without harm.
    fn drop(&mut self) {
        use std::io::Write;

        if let Some(shell) = &mut self.shell {
            if let Some(mut input) = shell.stdin.take() {
                let _ = input.write_all(b"\n");
            }
            let _ = shell.wait();
        }
    }
}
