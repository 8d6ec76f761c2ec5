//! Everything that is checked without running the code.

use anyhow::Result;

use crate::command::Command;
use crate::stages::Stages;
use crate::workspace::{self, Package};
use crate::{no_arguments, tidy};

/// The workspace, and what is one of its own.
const FORMATTED: &[&str] = &[
    "cargo fmt --all -- --check",
    "cargo fmt --manifest-path examples/migrate-deadpool/Cargo.toml -- --check",
];

/// The first stage of the example and its last; what is between them is built by its long test.
const EXAMPLE: &[&str] = &["", " --no-default-features --features stage-4"];

pub(crate) fn run(args: &[&str]) -> Result<()> {
    no_arguments(args)?;
    let clippy = "cargo clippy --workspace --all-targets --all-features -- -D warnings";
    let docs =
        Command::line("cargo doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-Dwarnings");

    let mut stages = Stages::new();
    stages.run("formatting", || FORMATTED.iter().try_for_each(|line| Command::line(line).run()));
    stages.run("clippy", || Command::line(clippy).run());
    stages.run("documentation", || docs.run());
    stages.run("tidy", tidy::check);
    let packages = workspace::packages()?;
    stages.run("features", || feature_checks(&packages).iter().try_for_each(Command::run));
    let check = "cargo check --quiet --locked --target-dir target --manifest-path examples/migrate-deadpool/Cargo.toml";
    stages.run("example", || {
        EXAMPLE.iter().try_for_each(|flags| Command::line(&format!("{check}{flags}")).run())
    });
    stages.finish()
}

/// Each library alone: with nothing, and with each of its features. Tests would bring in the dependencies of the
/// other crates' tests and hide what is missing.
fn feature_checks(packages: &[Package]) -> Vec<Command> {
    let libraries = packages.iter().filter(|package| package.has_lib && package.is_default);
    libraries
        .flat_map(|package| {
            let alone = Command::line("cargo check --quiet --no-default-features -p").arg(&package.name);
            let each = package.features.iter().map(|feature| alone.clone().arg("--features").arg(feature));
            std::iter::once(alone.clone()).chain(each).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, features: &[&str], is_default: bool) -> Package {
        let features = features.iter().map(|&word| word.to_owned()).collect();
        Package { name: name.to_owned(), features, has_lib: name != "tool", is_default }
    }

    #[test]
    fn each_library_is_checked_alone_with_each_feature() {
        let packages = [
            package("a", &["x", "y"], true),
            package("b", &[], true),
            package("benches", &["z"], false),
            package("tool", &["w"], true),
        ];
        let checks: Vec<_> = feature_checks(&packages).iter().map(ToString::to_string).collect();
        assert_eq!(
            checks,
            [
                "cargo check --quiet --no-default-features -p a",
                "cargo check --quiet --no-default-features -p a --features x",
                "cargo check --quiet --no-default-features -p a --features y",
                "cargo check --quiet --no-default-features -p b",
            ]
        );
    }
}
