//! Every test of the workspace.
//!
//! A test whose bounds are times on the wall is in an integration test whose file's name begins with `timed_`:
//! those run after all others, one test at a time, so that no other work of ours spoils their times. Of all others
//! several binaries run at once. A test that takes long asks `cenote_testkit::is_long()`, which `--long` makes true.

use anyhow::Result;

use crate::command::Command;
use crate::stages::{Stages, not_run};
use crate::workspace::{self, Package};
use crate::{binaries, install, usage};

const TIMED: &str = "timed_";
const CORE: &str = "cenote-pool-core";

/// Redis' own features change the types of some replies, and any dependency of an application can turn them on. The
/// stage "tests" has those of the whole workspace, so each of these sets is held to [`REPLY_TESTS`] again.
const REDIS_FEATURES: &[(&str, &[&str])] = &[
    ("replies: redis, core's features", &[]),
    ("replies: redis, its defaults", &["--features", "redis/default"]),
    ("replies: redis, big integers", &["--features", "redis/num-bigint"]),
];

/// What depends on the types of replies: beside the codec's own tests the contract, scripts and scans, and refusals.
const REPLY_TESTS: &[&str] = &["contract", "connections", "sharing"];

/// How many binaries run at once. Two cores are busy with these, as each waits for half of its time.
const AT_ONCE: usize = 3;

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let long = match args {
        [] => false,
        ["--long"] => true,
        [unknown, ..] => return Err(usage(format!("`test {unknown}` is not known"))),
    };
    let mut stages = Stages::new();
    if !stages.run("server", install::ensure_server) {
        return stages.finish();
    }
    stages.run("browser", || install::BROWSER.ensure());
    let packages = workspace::packages()?;
    let length: &[_] = if long { &[("CENOTE_LONG", "1")] } else { &[] };
    let with_length =
        |command: Command| length.iter().fold(command, |command, (name, value)| command.env(name, *value));

    let mut built = Vec::new();
    if stages.run("build", || binaries::build(all_tests(&packages)).map(|binaries| built = binaries)) {
        let (timed, others) = binaries::split(built, TIMED);
        stages.run("tests", || binaries::run(&others, AT_ONCE, &[], length));
        stages.run("timed tests", || binaries::run(&timed, 1, &["--test-threads=1"], length));
    }
    stages.run("documentation tests", || cargo_test(&packages).arg("--doc").run());
    stages.run("benches", || others(&packages).iter().try_for_each(Command::run));
    for (name, flags) in REDIS_FEATURES {
        stages.run(name, || match packages.iter().find(|package| package.name == CORE) {
            Some(core) => with_length(reply_tests(core, flags)).run(),
            None => Err(not_run(format!("there is no {CORE}"))),
        });
    }
    stages.finish()
}

fn cargo_test(packages: &[Package]) -> Command {
    let extra = packages.iter().filter(|package| !package.is_default);
    let exclude = extra.flat_map(|package| ["--exclude".to_owned(), package.name.clone()]);
    Command::line("cargo test --workspace").args(exclude).args(["--all-features", "--no-fail-fast"])
}

fn all_tests(packages: &[Package]) -> Command {
    cargo_test(packages).args(["--lib", "--bins", "--examples", "--tests"])
}

/// The tests of what plain `cargo` commands leave out, a package at a time and without features of the others: they
/// bring much with them.
fn others(packages: &[Package]) -> Vec<Command> {
    let extra = packages.iter().filter(|package| !package.is_default);
    extra.map(|package| Command::line("cargo test --no-fail-fast -p").arg(&package.name)).collect()
}

fn reply_tests(core: &Package, flags: &[&str]) -> Command {
    let command = Command::line("cargo test --no-fail-fast -p").arg(&core.name);
    let tests = REPLY_TESTS.iter().flat_map(|name| ["--test", name]);
    command.args(flags.iter().copied()).arg("--lib").args(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, features: &[&str], is_default: bool) -> Package {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Package { name: name.to_owned(), features: owned(features), has_lib: name != "tool", is_default }
    }

    fn packages() -> Vec<Package> {
        vec![
            package("a", &["x", "y"], true),
            package("b", &[], true),
            package("benches", &["z"], false),
            package("tool", &["w"], true),
        ]
    }

    #[test]
    fn all_tests_but_those_of_the_benches_are_built_at_once() {
        assert_eq!(
            all_tests(&packages()).to_string(),
            "cargo test --workspace --exclude benches --all-features --no-fail-fast --lib --bins --examples --tests"
        );
    }

    #[test]
    fn the_tests_of_the_benches_run_by_themselves() {
        let commands: Vec<_> = others(&packages()).iter().map(ToString::to_string).collect();
        assert_eq!(commands, ["cargo test --no-fail-fast -p benches"]);
        let real = others(&workspace::packages().unwrap());
        assert!(real.iter().any(|command| command.to_string().ends_with(" cenote-benches")));
    }

    #[test]
    fn each_feature_set_of_redis_runs_what_depends_on_replies() {
        let core = workspace::packages().unwrap().into_iter().find(|package| package.name == CORE).unwrap();
        let command = reply_tests(&core, REDIS_FEATURES[1].1).to_string();
        assert!(
            command.starts_with("cargo test --no-fail-fast -p cenote-pool-core --features redis/default "),
            "{command}"
        );
        assert!(command.ends_with(" --lib --test contract --test connections --test sharing"), "{command}");
        let tests = workspace::root().join("crates/pool-core/tests");
        for name in REPLY_TESTS {
            assert!(tests.join(name).with_extension("rs").is_file(), "{name}");
        }
    }

    #[test]
    fn an_unknown_flag_is_refused_before_anything_runs() {
        assert!(run(&["--longer"]).unwrap_err().is::<crate::Usage>());
    }
}
