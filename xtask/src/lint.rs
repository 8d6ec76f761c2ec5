//! Everything that is checked without running the code.

use anyhow::Result;

use crate::command::Command;
use crate::stages::Stages;
use crate::{no_arguments, tidy};

pub(crate) fn run(args: &[&str]) -> Result<()> {
    no_arguments(args)?;
    let clippy = "cargo clippy --workspace --all-targets --all-features -- -D warnings";
    let docs =
        Command::line("cargo doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-Dwarnings");

    let mut stages = Stages::new();
    stages.run("formatting", || Command::line("cargo fmt --all -- --check").run());
    stages.run("clippy", || Command::line(clippy).run());
    stages.run("documentation", || docs.run());
    stages.run("tidy", tidy::check);
    stages.finish()
}
