//! Loads of several real processes: this test binary, started again.

mod common;

use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_pool_core::redis::cmd;
use cenote_testkit::{Server, eventually_async, within};
use common::{MINUTE, SOON, Source, patient, text, texts};
use tokio::task::JoinSet;

const URL: &str = "CENOTE_TEST_PROCESS_URL";
const ROLE: &str = "CENOTE_TEST_PROCESS_ROLE";
const CALLERS: u64 = 1_000;

/// Ended with SIGKILL when it is dropped.
struct Process {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: &str, server: &Server) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, role)
            .env(URL, server.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// The rest of its next line that has this word before it.
    fn said(&mut self, word: &str) -> String {
        for line in &mut self.says {
            // The test harness begins a line and does not end it.
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once(&format!("<{word}>")) {
                return rest.to_owned();
            }
        }
        panic!("the process ended without saying {word}");
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn incr(pool: &Pool, name: &str) -> std::io::Result<i64> {
    cmd("INCR").arg(name).query_async(&mut pool.conn()).await.map_err(std::io::Error::other)
}

/// Not a test of its own: what the processes that the others start do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let pool = patient(env::var(URL).unwrap());
    match role.as_str() {
        "one of four" => one_of_four(&pool).await,
        "loads for ever" => {
            let cache = texts(&pool, "t").build().unwrap();
            let endless = |_| async {
                println!("<loading>");
                std::future::pending::<std::io::Result<Option<String>>>().await
            };
            let _ = cache.get_or_load(&1, endless).await;
        }
        other => panic!("{other}?"),
    }
}

async fn one_of_four(pool: &Pool) {
    let cache = texts(pool, "t").wait_for_others(MINUTE).build().unwrap();
    println!("<ready>");
    eventually_async(SOON, "all are ready", || async {
        let go: Option<u64> = cmd("GET").arg("go").query_async(&mut pool.conn()).await.unwrap();
        go.is_some()
    })
    .await;
    let mut all = JoinSet::new();
    for _ in 0..CALLERS {
        let (cache, pool) = (cache.clone(), pool.clone());
        all.spawn(async move {
            let load = |_| async move {
                let number = incr(&pool, "loads").await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok::<_, std::io::Error>(Some(format!("load {number}")))
            };
            text(cache.get_or_load(&1, load).await)
        });
    }
    let texts = within(SOON, all.join_all()).await;
    assert!(texts.iter().all(|text| text == "load 1"), "{texts:?}");
    println!("<done>{}", cache.stats().loads);
}

#[test]
fn four_processes_with_a_thousand_callers_each_make_one_load_in_total() {
    let server = Server::start();
    let observer = server.observer();
    let mut four: Vec<_> = (0..4).map(|_| Process::start("one of four", &server)).collect();
    four.iter_mut().for_each(|process| assert_eq!(process.said("ready"), ""));
    observer.get::<()>(&["SET", "go", "1"]);
    let loads: u64 = four.iter_mut().map(|process| process.said("done").parse::<u64>().unwrap()).sum();
    assert_eq!(loads, 1);
    assert_eq!(observer.get::<u64>(&["GET", "loads"]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_of_a_process_that_was_killed_holds_up_nobody() {
    let server = Server::start();
    let mut other = Process::start("loads for ever", &server);
    other.said("loading");
    other.kill();
    assert_eq!(server.observer().get::<Vec<String>>(&["KEYS", "*:fill"]).len(), 1);
    let pool = patient(server.url());
    let (cache, source) = (texts(&pool, "t").build().unwrap(), Source::default());
    assert_eq!(text(within(SOON, cache.get_or_load(&1, source.load("one"))).await), "one");
    assert_eq!(source.asked(), 1);
    // And it is stored, and gone with that.
    assert_eq!(cache.get(&1).await.unwrap().value().unwrap().as_str(), "one");
    assert_eq!(server.observer().get::<Vec<String>>(&["KEYS", "*:fill"]), [""; 0]);
}
