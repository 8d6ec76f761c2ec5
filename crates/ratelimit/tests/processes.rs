//! One quota for several real processes: this test binary, started again.

mod common;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Quota, Source};
use cenote_testkit::{Server, eventually_async, within};
use common::{MINUTE, SOON, limiter, pool};
use tokio::task::JoinSet;

const URL: &str = "CENOTE_TEST_PROCESS_URL";
const SAYS: &str = "<allowed>";

/// Not a test of its own: what the processes that the other starts do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(url) = env::var(URL) else { return };
    let pool = pool(url);
    let limiter = limiter(&pool, "shared", Quota::per_hour(1).burst(50));
    let () = cmd("INCR").arg("ready").query_async(&mut pool.conn()).await.unwrap();
    eventually_async(SOON, "all are ready", || async {
        let ready: u64 = cmd("GET").arg("ready").query_async(&mut pool.conn()).await.unwrap();
        ready == 4
    })
    .await;
    let mut tasks = JoinSet::new();
    for _ in 0..25 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let mut allowed = 0;
            for _ in 0..20 {
                let decision = limiter.check("one key").await.unwrap();
                assert!(matches!(decision.source, Source::Redis | Source::BlockedLocally), "{decision:?}");
                allowed += u64::from(decision.allowed);
            }
            allowed
        });
    }
    let allowed: u64 = within(MINUTE, tasks.join_all()).await.iter().sum();
    println!("{SAYS}{allowed}");
}

fn start(server: &Server) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env(URL, server.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(mut child: Child) -> u64 {
    // To their end: a process that finds nobody to print to fails.
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let allowed = lines.iter().find_map(|line| Some(line.split_once(SAYS)?.1.parse().unwrap()));
    child.wait().unwrap();
    allowed.expect("the process says how many it let through")
}

#[test]
fn a_hundred_tasks_in_four_processes_get_exactly_fifty_of_fifty() {
    let server = Server::start();
    let four: Vec<_> = (0..4).map(|_| start(&server)).collect();
    let allowed: Vec<u64> = four.into_iter().map(said).collect();
    assert_eq!(allowed.iter().sum::<u64>(), 50, "{allowed:?}");
}
