//! What must end a process is tried in a process of its own: this binary runs itself.

#![cfg(unix)]

use std::env;
use std::process::{Command, Output};
use std::time::Duration;

use cenote_testkit::{Server, Watchdog, eventually, within};

const ROLE: &str = "CENOTE_TESTKIT_ROLE";

fn run_as(role: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "in_its_own_process", "--nocapture"])
        .env(ROLE, role)
        .output()
        .unwrap()
}

/// Does nothing unless one of the other tests has started it.
#[test]
fn in_its_own_process() {
    match env::var(ROLE).as_deref() {
        Ok("leave a server") => {
            let server = Server::start();
            println!("\nserver pid {} port {}", server.pid(), server.port());
            server.freeze();
            std::process::abort();
        }
        Ok("block") => {
            let _watchdog = Watchdog::new(Duration::from_millis(50));
            std::thread::sleep(Duration::from_secs(600));
        }
        Ok("block in a future") => {
            let stuck =
                within(Duration::from_millis(1), async { std::thread::sleep(Duration::from_secs(600)) });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(stuck);
        }
        _ => {}
    }
}

#[test]
fn a_server_does_not_outlive_a_test_process_that_aborts() {
    let output = run_as("leave a server");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("server pid ")).expect(&text);
    let pid = line.split(' ').next().unwrap();
    let gone = || !Command::new("kill").args(["-0", pid]).output().unwrap().status.success();
    eventually(Duration::from_secs(20), "the orphaned server is killed", gone);
}

#[test]
fn a_watchdog_ends_a_blocked_test_with_its_name() {
    let output = run_as("block");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("is stuck after 50ms"), "{message}");
    assert!(message.contains("in_its_own_process"), "{message}");
}

#[test]
fn a_future_that_blocks_its_thread_ends_the_process() {
    let output = run_as("block in a future");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("beyond its 1ms"), "{message}");
}
