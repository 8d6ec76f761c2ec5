//! `examples/migrate-deadpool`, stage by stage.

use std::env::consts::EXE_SUFFIX;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use cenote_testkit::{Server, is_long};

use crate::{cargo, target};

const SOON: Duration = Duration::from_secs(60);
/// Of the shared pool. The shop's own pools want ten.
const MOST: usize = 8;

/// What the shop is asked, and what it says, whatever it is built on.
const SCRIPT: &[(&str, &str)] = &[
    ("health", "up"),
    ("price tea", "nobody knows"),
    ("price tea 120", "ok"),
    ("price tea", "120"),
    ("stock tea 30", "ok"),
    ("buy tea 2", "28 left"),
    ("buy tea 90", "there are only 28"),
    ("buy coffee 1", "there are only 0"),
    ("rush tea 20", "20 of 20 got one"),
    ("rush tea 20", "8 of 20 got one"),
    ("sales tea", "30 sold for 3600"),
    ("sell tea", "what is that?"),
];
/// Sales by that script.
const ORDERS: &str = "29";

/// What is left of the old client at the end of a run.
struct Left {
    /// The greatest number of clients that the server had.
    most: usize,
    /// Checkouts in the shim's report, a number for each place.
    checkouts: Vec<u64>,
    unwatched: u64,
}

/// A shop that runs, and that is ended with the test.
struct Shop {
    process: Child,
    replies: Receiver<String>,
}

impl Shop {
    fn open(program: &Path, server: &Server) -> Self {
        let mut process = Command::new(program)
            .env("REDIS_URL", server.url())
            .env("REDIS_MAX_CONNECTIONS", MOST.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shop opens");
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, replies) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, replies }
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{request}").unwrap();
        self.replies.recv_timeout(SOON).unwrap_or_else(|_| panic!("no answer to {request:?}"))
    }

    /// What it wrote to its standard error.
    fn close(mut self) -> String {
        drop(self.process.stdin.take());
        let errors = BufReader::new(self.process.stderr.take().unwrap());
        let errors: String = errors.lines().map_while(Result::ok).map(|line| line + "\n").collect();
        assert!(self.process.wait().unwrap().success(), "{errors}");
        errors
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/migrate-deadpool")
}

/// Builds the shop, which must not give one warning, and trades.
fn trade(folder: &Path, flags: &[&str]) -> Left {
    let arguments = [&["build", "--quiet", "--locked", "--bin", "shop"], flags].concat();
    let output = cargo(&target(), &arguments).current_dir(folder).output().expect("cargo starts");
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !warnings.contains("warning"), "{flags:?}: {warnings}");

    let server = Server::start();
    let observer = server.observer();
    let mut shop = Shop::open(&target().join("debug").join(format!("shop{EXE_SUFFIX}")), &server);
    let mut most = 0;
    for (request, expected) in SCRIPT {
        assert_eq!(shop.ask(request), *expected, "{flags:?}: {request}");
        // A pool keeps what it has opened, so the most is there to be seen.
        most = most.max(observer.client_count());
    }
    let give_up = Instant::now() + SOON;
    while shop.ask("shipped") != ORDERS {
        assert!(Instant::now() < give_up, "{flags:?}: not all orders were shipped");
    }
    let errors = shop.close();
    let rows = errors.lines().map(|line| {
        let (place, rest) = line.split_once(": deadpool_redis::Pool, ").unwrap_or_else(|| panic!("{errors}"));
        assert!(place.starts_with("left: src/pool.rs:"), "{line}");
        rest.split(' ').next().unwrap().parse().unwrap()
    });
    Left { most, checkouts: rows.collect(), unwatched: observer.calls("unwatch") }
}

#[test]
fn the_example_says_the_same_at_each_stage_and_ends_without_the_old_client() {
    if !is_long() {
        println!("not run: each stage is a build of its own; cargo xtask test --long runs them");
        return;
    }
    let as_it_was = trade(&example(), &[]);
    assert!(as_it_was.checkouts.is_empty(), "nobody asks for the report");

    let stages = ["stage-1", "stage-2", "stage-3"];
    let [installed, warned, half] = stages.map(|stage| trade(&example(), &["--features", stage]));
    let [switched, native] = ["stage-3", "stage-4"]
        .map(|stage| trade(&example(), &["--no-default-features", "--features", stage]));
    let all = [&as_it_was, &installed, &warned, &half, &switched, &native];
    println!("clients: {:?}", all.map(|left| left.most));
    println!("checkouts of the shim: {:?}", all.map(|left| &left.checkouts));
    for left in &all[1..] {
        assert!(left.most <= MOST, "{}", left.most);
    }
    let checkouts = |left: &Left| left.checkouts.iter().sum::<u64>();
    assert!(checkouts(&installed) > 0 && checkouts(&warned) > 0);
    assert!(checkouts(&half) > 0 && checkouts(&half) < checkouts(&installed));
    for left in [switched, native] {
        assert_eq!((checkouts(&left), left.unwatched), (0, 0), "nothing is checked out by the shim");
    }
    let tree =
        cargo(&target(), &["tree", "--no-default-features", "--features", "stage-4", "--prefix", "none"])
            .current_dir(example())
            .output()
            .expect("cargo starts");
    let tree = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.contains("cenote-pool-core"), "{tree}");
    assert!(!tree.contains("deadpool-redis") && !tree.contains("compat-shim"), "{tree}");
}

#[test]
fn the_example_as_it_was_is_a_program_for_the_published_crate() {
    if !is_long() {
        println!("not run: the published crate is a build of its own; cargo xtask test --long runs it");
        return;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upstream");
    assert_eq!(trade(&folder, &[]).most, 10, "its two pools are full");
}
