//! Real processes: this test binary, started again for one test, which is named `the_other_process`.

use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

pub(crate) const URL: &str = "CENOTE_TEST_PROCESS_URL";
pub(crate) const ROLE: &str = "CENOTE_TEST_PROCESS_ROLE";

/// Ended with SIGKILL when it is dropped.
pub(crate) struct Process {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(role: &str, url: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, role)
            .env(URL, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// The rest of its next line that has this word before it.
    pub(crate) fn said(&mut self, word: &str) -> String {
        for line in &mut self.says {
            // The test harness begins a line and does not end it.
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once(&format!("<{word}>")) {
                return rest.to_owned();
            }
        }
        panic!("the process ended without saying {word}");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
