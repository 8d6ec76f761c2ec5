use std::env;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use cenote_testkit::Server;

use crate::common::progress;
use crate::site::site;

/// What curl prints, with the head of the answer; `None`, with a line that says so, where there is no curl.
async fn curl(addr: SocketAddr, path: &str, more: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command
        .args(["-sSNi", "--compressed", "--max-time", "20"])
        .args(more)
        .arg(format!("http://{addr}{path}"));
    let output = match tokio::task::block_in_place(|| command.stdin(Stdio::null()).output()) {
        Ok(output) => output,
        Err(error) => {
            assert_ne!(env::var("CI").as_deref(), Ok("true"), "not run: curl is not installed: {error}");
            eprintln!("not run: curl is not installed");
            return None;
        }
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_a_job_to_its_end_and_goes_on_with_the_id_that_it_was_told() {
    let server = Server::start();
    let job = progress(server.url()).start("job").await.unwrap();
    job.log("one");
    let addr = site(&progress(server.url())).await;
    let ending = job.clone();
    let reading = tokio::spawn(async move {
        job.log("two");
        let _ = ending.finish("all").await.unwrap();
    });
    let Some(all) = curl(addr, "/events/job", &[]).await else { return };
    reading.await.unwrap();
    let head = all.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok") && head.contains("transfer-encoding: chunked"), "{all}");
    assert!(!head.contains("content-encoding"), "{all}");
    let ids: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(all.matches("\nevent: log\n").count(), 2, "{all}");
    assert_eq!(all.matches("\nevent: finished\n").count(), 1, "{all}");

    let rest =
        curl(addr, "/events/job", &["-H", &format!("Last-Event-ID: {}", ids[ids.len() - 2])]).await.unwrap();
    assert_eq!(rest.matches("\nid: ").count(), 1, "{rest}");
    assert!(rest.contains("\nevent: finished\n"), "{rest}");
    let none =
        curl(addr, "/events/job", &["-H", &format!("Last-Event-ID: {}", ids[ids.len() - 1])]).await.unwrap();
    assert!(none.starts_with("HTTP/1.1 204 "), "{none}");
}
