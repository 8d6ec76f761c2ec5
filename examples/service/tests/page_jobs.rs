//! Imports on the page, in a headless Chromium.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use cenote_pubsub_progress::{JobHandle, Progress};
use cenote_service::App;
use cenote_testkit::Server;
use common::browser::{Page, chromium};
use common::{Service, pool};
use futures_util::StreamExt;
use serde_json::Value;

/// What the first import on the page says.
const FIRST: &str = "document.querySelector('#jobs .job')?.textContent ?? ''";

fn says(page: &mut Page, what: &str) {
    page.tells("the first import", what, |page| page.eval(FIRST).as_str().unwrap().to_owned());
}

fn whole(page: &mut Page) -> f64 {
    page.eval("parseFloat(document.querySelector('#jobs .whole rect')?.getAttribute('width') ?? 0)")
        .as_f64()
        .unwrap()
}

/// Opens the page anew, and waits until the former one is gone.
fn reload(page: &mut Page) {
    page.eval("window.former = true; location.reload()");
    page.eventually("the page is another", |page| page.eval("window.former !== true") == true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_shown_live_survives_a_reload_and_is_stopped_by_its_button() {
    let Some(chromium) = chromium() else { return };
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let mut page = Page::open(&chromium, service.addr, 1000);
    assert!(page.is_visible("jobs-empty"));
    page.shows("jobs-stream", "None is under way.");
    page.click("import");
    page.shows("log", "Import: begun");
    says(&mut page, "downloading");
    assert!(!page.is_visible("jobs-empty"));
    page.shows("jobs-stream", "1 under way");
    page.eventually("the bar grows", |page| whole(page) > 3.0);
    says(&mut page, "MB of 24.0 MB");
    says(&mut page, " s left");
    let had = whole(&mut page);

    reload(&mut page);
    says(&mut page, "downloading");
    page.eventually("there is a bar", |page| whole(page) > 0.0);
    assert!(whole(&mut page) >= had, "the reload began with the state as it is");
    page.eval("document.querySelector('#jobs .job button').click()");
    says(&mut page, "cancelled");
    page.shows("log", "Cancel: acknowledged");
    page.shows("jobs-stream", "None is under way.");
    page.eventually("no stream is held", |page| page.eval("jobStream === null") == true);
    let button = page.eval("document.querySelector('#jobs .job button').checkVisibility()");
    assert_eq!(button, false);
    reload(&mut page);
    says(&mut page, "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_on_the_page_while_redis_is_away_and_comes_to_its_end_afterwards() {
    let Some(chromium) = chromium() else { return };
    let server = Server::builder().persistent().start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let mut page = Page::open(&chromium, service.addr, 390);
    service.post("/api/jobs?seconds=20", "").await;
    page.eval("lookForJobs()");
    page.eventually("there is a bar", |page| whole(page) > 0.0);
    server.kill();
    page.shows("state", "degraded");
    says(&mut page, "told by this process while Redis is away");
    let had = whole(&mut page);
    page.eventually("it goes on", |page| whole(page) > had);
    reload(&mut page);
    says(&mut page, "told by this process while Redis is away");
    tokio::task::block_in_place(|| server.restart());
    page.shows("state", "ready");
    says(&mut page, "finished: 12000 rows");
    says(&mut page, "12000 of 12000");
    let room = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(room, 0, "nothing is wider than the window");
}

/// The `Last-Event-ID` and the answer of each request for a stream.
type Requests = Arc<Mutex<Vec<(Option<String>, u16)>>>;

/// The service, with streams that are cut off after a second, the first two of them.
async fn cutting(app: App, requests: Requests) -> SocketAddr {
    let cut = move |request: Request, next: Next| {
        let requests = requests.clone();
        async move {
            if !request.uri().path().ends_with("/events") {
                return next.run(request).await;
            }
            let id = request.headers().get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
            let answer = next.run(request).await;
            let before = {
                let mut requests = requests.lock().unwrap();
                requests.push((id, answer.status().as_u16()));
                requests.len()
            };
            if before > 2 || answer.status() != 200 {
                return answer;
            }
            let (head, body) = answer.into_parts();
            let limit = tokio::time::sleep(Duration::from_secs(1));
            Response::from_parts(head, Body::from_stream(body.into_data_stream().take_until(limit)))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app.router().layer(from_fn(cut))).into_future());
    addr
}

/// A line each 50 ms until there are so many, and the end.
async fn work(job: JobHandle, lines: u64) {
    job.total(lines);
    for line in 1..=lines {
        job.log(&format!("line {line}"));
        job.set(line);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = job.finish(()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_whose_stream_is_cut_off_goes_on_where_it_was_and_comes_no_more_once_all_was_told() {
    let Some(chromium) = chromium() else { return };
    let server = Server::start();
    let pool = pool(server.url()).build().unwrap();
    let requests = Requests::default();
    let addr = cutting(App::new(pool.clone()).unwrap(), requests.clone()).await;
    let workers = Progress::new(&pool);
    let jobs = [workers.start("one").await.unwrap(), workers.start("two").await.unwrap()];
    let mut page = Page::open(&chromium, addr, 1000);
    // As any page would, with nothing of ours.
    page.eval(
        "window.told = [];
         window.plain = new EventSource('/api/jobs/one,two/events');
         for (const name of EVENTS) plain.addEventListener(name, (event) =>
             told.push({ name, id: event.lastEventId, ...JSON.parse(event.data) }));
         follow = () => {}; jobStream?.close();",
    );
    requests.lock().unwrap().clear();
    let [one, two] = jobs;
    tokio::join!(work(one, 150), work(two, 100));
    page.eventually("the browser gives up", |page| {
        page.eval("plain.readyState === EventSource.CLOSED") == true
    });

    let told = page.eval("told");
    let told = told.as_array().unwrap();
    for (job, lines) in [("one", 150), ("two", 100)] {
        let of: Vec<&Value> = told.iter().filter(|told| told["job"] == job).collect();
        let count = |name: &str| of.iter().filter(|told| told["name"] == name).count();
        assert_eq!((count("snapshot"), count("gap"), count("finished")), (1, 0, 1), "{job}");
        let seen: Vec<u64> = of
            .iter()
            .filter(|told| told["name"] == "log")
            .map(|told| told["data"]["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(seen, (1..=lines).collect::<Vec<_>>(), "{job}");
    }
    let requests = requests.lock().unwrap();
    let (last, status) = requests.last().unwrap();
    assert_eq!((last.as_deref(), *status), (told.last().unwrap()["id"].as_str(), 204), "{requests:?}");
    assert!(requests.len() >= 2 && requests[..requests.len() - 1].iter().all(|(_, status)| *status == 200));
    let ids: Vec<&str> = told.iter().map(|told| told["id"].as_str().unwrap()).collect();
    for (id, _) in requests.iter().filter_map(|(id, status)| Some((id.as_deref()?, status))) {
        assert!(ids.contains(&id), "the browser goes on with an id that it was told: {id}");
    }
}
