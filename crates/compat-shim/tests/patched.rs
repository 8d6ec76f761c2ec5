//! What was written for the published crates, built on the patch crates with no change of source.
//!
//! The programs in `fixtures` are workspaces of their own, with a target folder of their own. The first build takes about
//! half a minute on two quiet cores; what needs more than one of them is left to `--long`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use cenote_testkit::{Server, is_long};

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(args)
        .env("CARGO_TARGET_DIR", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs"))
        // Not how these tests were built, but how the program is.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null());
    command
}

/// Runs a program of a fixture against the server: what it printed.
fn run(fixture: &str, package: &str, program: &str, server: &Server) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let output = cargo(&["run", "--quiet", "--package", package, "--bin", program])
        .current_dir(folder)
        .env("REDIS_URL", server.url())
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{fixture}/{program}\n{text}\n{errors}");
    text
}

/// The same on the published crate, which is known.
fn same_as_upstream(program: &str, expected: &str) {
    let server = Server::start();
    let patched = run("patched", "programs", program, &server);
    assert_eq!(patched, expected, "on the shim");
    if is_long() {
        let server = Server::start();
        assert_eq!(run("upstream", "programs", program, &server), expected, "on the published crate");
    }
}

#[test]
fn a_program_for_deadpool_redis_does_on_the_patch_crate_what_it_does_on_the_published_one() {
    same_as_upstream("deadpool", include_str!("fixtures/programs/deadpool.txt"));
}

#[test]
fn a_program_for_bb8_redis_does_on_the_patch_crate_what_it_does_on_the_published_one() {
    same_as_upstream("bb8", include_str!("fixtures/programs/bb8.txt"));
}

#[test]
fn every_use_is_warned_of_in_words_that_name_what_replaces_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/patched");
    let output = cargo(&["check", "--quiet", "--package", "deprecated", "--message-format", "short"])
        .current_dir(folder)
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let warnings: Vec<_> =
        text.lines().filter(|line| line.contains(": warning: use of deprecated ")).collect();
    let warnings: String = warnings.iter().map(|line| format!("{}\n", line.replace('\\', "/"))).collect();
    assert_eq!(warnings, include_str!("fixtures/patched/deprecated/warnings.txt"), "{text}");
    for line in warnings.lines() {
        // The names are held to be there by the test `replacements` of the crate `cenote`.
        let names = ["`cenote::Pool`", "`cenote::Cache`"];
        assert!(names.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn a_published_crate_that_brings_deadpool_redis_works_on_the_patch_crate() {
    if !is_long() {
        println!("not run: oxana brings fifty crates with it; cargo xtask test --long runs it");
        return;
    }
    let server = Server::start();
    assert_eq!(run("patched", "published", "published", &server), "sum: 42\n");
}
