//! Thousands of clients, in processes of their own: this test binary, started again.

mod common;
#[path = "common/site.rs"]
mod site;

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use cenote_testkit::{Server, eventually, is_long};
use common::{MINUTE, progress};
use site::{Client, Told, site};
use tokio::task::JoinSet;

const URL: &str = "CENOTE_TEST_SITE_URL";
const ADDR: &str = "CENOTE_TEST_CROWD_ADDR";
const COUNT: &str = "CENOTE_TEST_CROWD_COUNT";
const LINES: u64 = 40;

/// Not a test of its own: the process that tells of the jobs, until its standard input ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site() {
    let Ok(url) = env::var(URL) else { return };
    let addr = site(&progress(url)).await;
    println!("<said>{addr}");
    let until_the_end = || drop(std::io::read_to_string(std::io::stdin()));
    tokio::task::spawn_blocking(until_the_end).await.unwrap();
}

/// Not a test of its own: a process with many clients, each of which sees it all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crowd() {
    let (Ok(addr), Ok(count)) = (env::var(ADDR), env::var(COUNT)) else { return };
    let addr: SocketAddr = addr.parse().unwrap();
    let count: usize = count.parse().unwrap();
    let mut opening = JoinSet::new();
    let mut clients = JoinSet::new();
    let mut opened = 0;
    // No more at once than wait to be accepted.
    while opened < count {
        while opening.len() < 50 && opened + opening.len() < count {
            opening.spawn(async move {
                let mut client = Client::open(addr, "/events/job").await;
                let first = client.next().await.unwrap();
                assert_eq!(first.name, "snapshot");
                client
            });
        }
        let client = opening.join_next().await.unwrap().unwrap();
        opened += 1;
        clients.spawn(client.all());
    }
    println!("<said>ready");
    while let Some(told) = clients.join_next().await {
        let told: Vec<Told> = told.unwrap();
        assert_eq!(told.last().map(|told| told.name.as_str()), Some("finished"));
        let lines: Vec<u64> = told
            .iter()
            .filter(|told| told.name == "log")
            .map(|told| told.data["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(lines, (1..=LINES).collect::<Vec<_>>());
    }
    println!("<said>all");
}

/// A process of this binary that may open so many files. It ends with this.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(test: &str, files: usize, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$1" && shift && exec "$@""#, "sh", &files.to_string()]);
        command.arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// What it says next.
    fn said(&mut self) -> String {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.trim_end().split_once("<said>") {
                return said.to_owned();
            }
            line.clear();
        }
        panic!("the process has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn may_open(files: usize) -> bool {
    let tried = Command::new("sh").args(["-c", r#"ulimit -n "$1""#, "sh", &files.to_string()]).status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn all_clients_of_a_process_share_one_push_connection_and_each_is_told_everything() {
    let (clients, crowds) = if is_long() { (5_000, 5) } else { (300, 2) };
    let files = clients + 500;
    if cfg!(windows) || !may_open(files) {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "not run: no process may open {files} files");
        eprintln!("not run: no process may open {files} files");
        return;
    }
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let job = runtime.block_on(async { progress(server.url()).start("job").await.unwrap() });
    let pushes = || server.observer().clients().iter().filter(|client| client["sub"] != "0").count();
    eventually(MINUTE, "the worker listens for requests to stop", || pushes() == 1);

    let mut site = Process::start("the_site", files, &[(URL, server.url())]);
    let addr = site.said();
    let start = |_| {
        let variables = [(ADDR, addr.clone()), (COUNT, (clients / crowds).to_string())];
        Process::start("the_crowd", clients / crowds + 200, &variables)
    };
    let mut all: Vec<Process> = (0..crowds).map(start).collect();
    for crowd in &mut all {
        assert_eq!(crowd.said(), "ready");
    }
    assert_eq!(pushes(), 2, "the worker's and the site's");
    let others = server.observer().clients().len();
    assert!(others < 40, "{others} connections");
    runtime.block_on(async {
        for line in 1..=LINES {
            job.log(&format!("line {line}"));
            job.set(line);
            let _ = job.flush().await.unwrap();
        }
        let _ = job.finish(()).await.unwrap();
    });
    for crowd in &mut all {
        assert_eq!(crowd.said(), "all");
    }
    assert_eq!(pushes(), 2);
}
