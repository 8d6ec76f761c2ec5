//! What was written for the published crates, built on the patch crates with no change of source.
//!
//! The programs in `fixtures` and `examples/migrate-deadpool` are workspaces of their own, with a target folder of their
//! own: what builds one is left to `--long`.

mod example;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cenote_testkit::{Server, is_long};

/// Where they are built.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs")
}

fn cargo(target: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(args)
        .env("CARGO_TARGET_DIR", target)
        // Not how these tests were built, but how the program is.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null());
    command
}

/// Runs a program of a fixture against the server: what it printed.
fn run(fixture: &str, package: &str, program: &str, server: &Server) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let output = cargo(&target(), &["run", "--quiet", "--package", package, "--bin", program])
        .current_dir(folder)
        .env("REDIS_URL", server.url())
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{fixture}/{program}\n{text}\n{errors}");
    text
}

/// What they print on the patch crates as members of this workspace is the test `unchanged` beside the programs.
#[test]
fn one_line_in_the_manifest_changes_nothing_that_a_program_prints() {
    if !is_long() {
        println!("not run: two more workspaces are built; cargo xtask test --long runs it");
        return;
    }
    for (program, expected) in [
        ("deadpool", include_str!("../programs/tests/deadpool.txt")),
        ("bb8", include_str!("../programs/tests/bb8.txt")),
    ] {
        for fixture in ["patched", "upstream"] {
            let server = Server::start();
            assert_eq!(run(fixture, "programs", program, &server), expected, "{fixture}");
        }
    }
}

#[test]
fn every_use_is_warned_of_in_words_that_name_what_replaces_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/patched");
    // The folder of this build, where `cargo xtask lint` has left most of what is needed.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let output = cargo(target, &["check", "--quiet", "--package", "deprecated", "--message-format", "short"])
        .current_dir(folder)
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let warnings: Vec<_> =
        text.lines().filter(|line| line.contains(": warning: use of deprecated ")).collect();
    let warnings: String = warnings.iter().map(|line| format!("{}\n", line.replace('\\', "/"))).collect();
    assert_eq!(warnings, include_str!("../fixtures/patched/deprecated/warnings.txt"), "{text}");
    for line in warnings.lines() {
        // The names are held to be there by the test `replacements` of the crate `cenote`.
        let names = ["`cenote::Pool`", "`cenote::Cache`"];
        assert!(names.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn a_published_crate_that_brings_deadpool_redis_works_on_the_patch_crate() {
    if !is_long() {
        println!(
            "not run: oxana brings fifty crates with it, a minute of building; cargo xtask test --long runs it"
        );
        return;
    }
    let server = Server::start();
    assert_eq!(run("patched", "published", "published", &server), "sum: 42\n");
}
