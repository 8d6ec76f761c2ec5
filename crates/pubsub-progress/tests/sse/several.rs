use cenote_testkit::Server;

use crate::common::progress;
use crate::site::{Client, Told, site};

fn names(told: &[Told], job: &str) -> Vec<String> {
    told.iter().filter(|told| told.job == job).map(|told| told.name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_tells_of_several_jobs_and_goes_on_with_each_where_it_was_until_all_have_ended() {
    let server = Server::start();
    let workers = progress(server.url());
    let (a, b) = (workers.start("a").await.unwrap(), workers.start("b").await.unwrap());
    let addr = site(&progress(server.url())).await;
    a.log("of a");
    b.log("of b");
    let mut client = Client::open(addr, "/events/a,b,never,a").await;
    let mut told = Vec::new();
    while !["a", "b"].iter().all(|job| names(&told, job).iter().any(|name| name == "log")) {
        told.push(client.next().await.unwrap());
    }
    assert_eq!(names(&told, "never"), ["pending"]);
    assert_eq!(
        (&names(&told, "a")[0], &names(&told, "b")[0]),
        (&"snapshot".to_owned(), &"snapshot".to_owned())
    );
    let _ = a.finish(1).await.unwrap();
    let a_ended = client.until("finished").await;
    assert_eq!(a_ended.job, "a");
    assert!(
        a_ended.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "base64url: {a_ended:?}"
    );
    drop(client);

    b.log("more of b");
    let never = workers.start("never").await.unwrap();
    let _ = never.finish(3).await.unwrap();
    let mut again = Client::again(addr, "/events/a,b,never", &a_ended.id).await;
    assert_eq!(again.status(), 200, "one of three has ended");
    let mut rest = vec![again.until("finished").await];
    assert_eq!(rest[0].job, "never");
    let _ = b.finish(2).await.unwrap();
    while let Some(event) = again.next().await {
        rest.push(event);
    }
    assert_eq!(names(&rest, "a"), [""; 0], "its end was told");
    let end = rest.last().unwrap();
    assert_eq!((end.name.as_str(), end.job.as_str()), ("finished", "b"));

    let all = Client::open(addr, "/events/a,b,never").await.all().await;
    assert_eq!(names(&all, "b"), ["snapshot", "log", "log", "finished"]);
    assert_eq!(Client::again(addr, "/events/a,b,never", &end.id).await.status(), 204);
    assert_eq!(Client::open(addr, &format!("/events/a,b,never?from={}", end.id)).await.status(), 204);
    for (index, told) in all.iter().enumerate() {
        let again = Client::again(addr, "/events/a,b,never", &told.id).await;
        if index == all.len() - 1 {
            assert_eq!(again.status(), 204);
        } else {
            let rest = again.all().await;
            for job in ["a", "b", "never"] {
                let of = |told: &[Told]| {
                    told.iter()
                        .filter(|told| told.job == job)
                        .map(|told| told.data.clone())
                        .collect::<Vec<_>>()
                };
                assert_eq!(of(&rest), of(&all[index + 1..]), "{job} after {told:?}");
            }
        }
    }
    let other = Client::again(addr, "/events/b,a,never", &end.id).await;
    assert_eq!(other.all().await[0].name, "snapshot", "an id of other jobs is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_job_does_not_keep_another_of_the_same_stream_from_being_told() {
    let server = Server::start();
    let workers = progress(server.url());
    let (busy, quiet) = (workers.start("busy").await.unwrap(), workers.start("quiet").await.unwrap());
    for line in 0..900 {
        busy.log(&format!("line {line}"));
    }
    quiet.log("the only one");
    let _ = busy.flush().await.unwrap();
    let _ = quiet.flush().await.unwrap();
    let addr = site(&progress(server.url())).await;
    let mut client = Client::open(addr, "/events/busy,quiet").await;
    for told in 0.. {
        let event = client.next().await.unwrap();
        if event.job == "quiet" && event.name == "log" {
            break;
        }
        assert!(told < 100, "its turn has not come after {told} events");
    }
}
