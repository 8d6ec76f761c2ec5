//! What was written for the published crates prints on the patch crates what it prints on those.

use std::process::{Command, Stdio};

use cenote_testkit::Server;

#[track_caller]
fn prints(program: &str, expected: &str) {
    let server = Server::start();
    let output = Command::new(program)
        .env("REDIS_URL", server.url())
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text, expected);
}

#[test]
fn a_program_for_deadpool_redis() {
    prints(env!("CARGO_BIN_EXE_deadpool"), include_str!("deadpool.txt"));
}

#[test]
fn a_program_for_bb8_redis() {
    prints(env!("CARGO_BIN_EXE_bb8"), include_str!("bb8.txt"));
}
