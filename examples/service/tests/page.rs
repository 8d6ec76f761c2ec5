//! The page, as text and in a headless Chromium.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use cenote::{FallbackLru, Pool};
use cenote_service::{App, BUTTONS, CHART, Demo, INDEX_HTML, JOBS, SCRIPT, STYLE, Wish};
use cenote_testkit::{Server, dead_port};
use common::browser::{Page, chromium};
use common::{Service, pool};

#[tokio::test]
async fn the_page_and_its_five_files_are_served_and_nothing_is_fetched_from_elsewhere() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    for (path, kind, text) in [
        ("/", "text/html; charset=utf-8", INDEX_HTML),
        ("/app.js", "text/javascript; charset=utf-8", SCRIPT),
        ("/try.js", "text/javascript; charset=utf-8", BUTTONS),
        ("/jobs.js", "text/javascript; charset=utf-8", JOBS),
        ("/chart.js", "text/javascript; charset=utf-8", CHART),
        ("/style.css", "text/css; charset=utf-8", STYLE),
    ] {
        let file = service.get(path).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(kind)));
        assert_eq!(file.body, text);
        assert!(
            !text.contains("http://") && !text.contains("https://") && !text.contains("@import"),
            "{path}"
        );
        assert!(
            !text.contains("style=\"") && !text.contains("<style") && !text.contains("innerHTML"),
            "{path}"
        );
    }
    let page = service.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn every_id_that_the_script_uses_is_on_the_page_once() {
    let of = |script: &'static str| between(script, "byId(\"").chain(between(script, "write(\""));
    let used: BTreeSet<&str> = of(SCRIPT).chain(of(BUTTONS)).chain(of(JOBS)).collect();
    assert!(used.len() > 20, "{used:?}");
    for id in used {
        assert_eq!(INDEX_HTML.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    for label in between(INDEX_HTML, "for=\"").chain(between(INDEX_HTML, "aria-labelledby=\"")) {
        assert_eq!(INDEX_HTML.matches(&format!(" id=\"{label}\"")).count(), 1, "{label}");
    }
}

fn between<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn every_state_of_the_pool_has_a_sentence_and_a_shape() {
    for state in ["idle", "connecting", "ready", "degraded", "embedded", "closed"] {
        assert!(SCRIPT.contains(&format!("\n  {state}: \"")), "{state} has no sentence");
        assert!(STYLE.contains(&format!(".now[data-state=\"{state}\"] .shape")), "{state} has no shape");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_the_state_in_words() {
    let Some(chromium) = chromium() else { return };
    let server = Server::start();
    let ready = Service::start(pool(server.url()).build().unwrap()).await;
    ready.wait_for("ready").await;
    let mut page = Page::open(&chromium, ready.addr, 1000);
    page.shows("state", "ready");
    page.shows("meaning", "Redis answers.");
    page.shows("asked", "Live: told at each change.");
    page.shows("url", &server.url());
    page.shows("connections-text", "of 20 in use");
    page.shows("flags-hint", "Cached in Redis");
    page.shows("who", "Now: Redis.");
    page.shows("journal", "Empty");
    page.shows("chart-words", "The last ");
    assert!(page.is_visible("server") && !page.is_visible("demo"), "nobody may take this Redis away");

    let away = Service::start(pool(format!("redis://ada:hunter2@{}/0", dead_port())).build().unwrap()).await;
    away.wait_for("degraded").await;
    let mut page = Page::open(&chromium, away.addr, 1000);
    page.shows("state", "degraded");
    page.shows("asked", "Readiness answers 200");
    page.shows("last-error", "refused");
    page.shows("who", "Now: the fallback");
    assert!(!page.eval("document.documentElement.outerHTML").as_str().unwrap().contains("hunter2"));

    let required = pool(server.url()).required(true).connect_timeout(common::LIMIT).build().unwrap();
    let required = Service::start(required).await;
    required.wait_for("ready").await;
    let mut page = Page::open(&chromium, required.addr, 1000);
    page.shows("state", "ready");
    server.kill();
    page.shows("asked", "Readiness answers 503");
    page.shows("meaning", "Redis is required");

    let embedded = Service::start(Pool::embedded(FallbackLru::default())).await;
    let mut page = Page::open(&chromium, embedded.addr, 1000);
    page.shows("state", "embedded");
    page.shows("meaning", "this process's memory answers");
    page.shows("flags-hint", "in this process's memory");
    assert!(page.is_visible("tier-fallback") && !page.is_visible("tier-redis"));
    page.shows("webhook-hint", "refused without Redis");
    let needing = page.eval(
        "[...document.querySelectorAll('[data-needs-redis]')].filter((e) => e.checkVisibility()).length",
    );
    assert_eq!(needing, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_what_its_buttons_brought() {
    let Some(chromium) = chromium() else { return };
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let mut page = Page::open(&chromium, service.addr, 1000);
    page.eval("byId('flags-form').requestSubmit()");
    page.shows("log", "Flags: computed");
    page.eval("byId('subscription-form').requestSubmit()");
    page.shows("log", "Subscription: billing");
    page.click("change");
    page.shows("log", "Change: applied");
    page.click("rush");
    page.shows("log", "5 at once");
    page.click("search");
    page.shows("log", "Search: redis");
    page.click("search-more");
    page.shows("log", "Search: 429");
    page.eventually("the limit's figures are told", |page| {
        page.eval("document.querySelector('[data-limit=redis_allowed]').textContent") != "0"
    });
    page.click("webhook");
    page.shows("log", "Webhook: handled");
    page.click("webhook-again");
    page.shows("log", "Webhook: duplicate");
    assert_eq!(server.observer().get::<i64>(&["GET", "webhook:handled"]), 1);
    page.click("keep");
    page.shows("log", "Flags: l1");
    page.shows("by-redis", "(100 %)");
    page.shows("reads", "reads a second");
    page.eventually("the caches' figures are told", |page| {
        let figure = |page: &mut Page, name: &str| {
            let cell = format!("document.querySelector('[data-cache=subscriptions][data-figure={name}]')");
            page.eval(&format!("Number({cell}.textContent)")).as_u64().unwrap()
        };
        figure(page, "l1_hits") > 0
            && figure(page, "misses") > 1
            && figure(page, "loads") > 1
            && figure(page, "coalesced") > 0
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_redis_taken_away_and_brought_back_by_its_button() {
    let Some(chromium) = chromium() else { return };
    let (service, server) = with_demo().await;
    let mut page = Page::open(&chromium, service.addr, 1000);
    let mut phone = Page::open(&chromium, service.addr, 390);
    page.click("keep");
    page.shows("by-redis", "(100 %)");
    page.shows("state", "ready");
    for seconds in [40, 25] {
        service.post(&format!("/api/jobs?seconds={seconds}"), "").await;
    }
    page.shows("jobs-stream", "2 under way");
    phone.shows("jobs-stream", "2 under way");
    look(&mut page, &mut phone, "page");

    page.click("demo-button");
    page.shows("state", "degraded");
    page.shows("who", "Now: the fallback");
    page.shows("log", "Flags: fallback");
    page.shows("journal", "written while Redis was away");
    page.eventually("there are keys to remove", |page| page.text("pending-keys") != "0");
    page.shows("log", "Change: pending");
    page.eventually("the fallback's part is told", |page| page.text("tier-fallback") != "0");
    page.shows("chart-words", "Redis did not answer at");
    page.shows("demo-button", "Bring Redis back");
    page.shows("jobs", "told by this process while Redis is away");
    page.shows("asked", "Live: told at each change.");
    phone.shows("state", "degraded");
    phone.shows("demo-button", "Bring Redis back");
    look(&mut page, &mut phone, "page-degraded");

    page.click("demo-button");
    page.shows("state", "ready");
    page.shows("who", "Now: Redis.");
    page.shows("journal", "Empty");
    // Once, unless the machine is so slow that something was written in between.
    page.eventually("it was replayed", |page| page.text("replays") != "0 times");
    page.shows("last-error-title", "(over)");
    page.shows("log", "Change: applied");
    page.shows("demo-button", "Take Redis away");
    phone.shows("state", "ready");
    assert!(server.is_running());
    look(&mut page, &mut phone, "page-again");
    for page in [&mut page, &mut phone] {
        let room = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(room, 0, "nothing is wider than the window");
    }
}

/// A service whose page may take its Redis away.
async fn with_demo() -> (Service, std::sync::Arc<Server>) {
    let server = std::sync::Arc::new(Server::builder().persistent().start());
    let pool = pool(server.url()).build().unwrap();
    let owned = server.clone();
    let demo = Demo::new(move |wish| {
        match wish {
            Wish::Away => owned.kill(),
            Wish::Back => drop(owned.restart()),
        }
        Ok(())
    });
    let app = App::new(pool.clone()).unwrap().with_demo(Some(demo));
    let service = Service::start_app(pool, app).await;
    service.wait_for("ready").await;
    (service, server)
}

/// Keeps what both look like, once there is something on the chart, if anybody asked for pictures.
fn look(page: &mut Page, phone: &mut Page, name: &str) {
    if std::env::var_os("CENOTE_SCREENSHOTS").is_some() {
        std::thread::sleep(Duration::from_secs(8));
    }
    page.screenshot(name);
    phone.screenshot(&format!("{name}-phone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_whose_stream_breaks_asks_instead_and_says_so() {
    let Some(chromium) = chromium() else { return };
    let broken =
        "window.EventSource = class { constructor() { setTimeout(() => this.onerror()); } close() {} };";
    let addr = serve_with(Pool::embedded(FallbackLru::default()), broken).await;
    let mut page = Page::open(&chromium, addr, 1000);
    page.shows("state", "embedded");
    page.shows("asked", "The live stream broke: asked every second instead.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_says_when_the_service_itself_does_not_answer() {
    let Some(chromium) = chromium() else { return };
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    let mut page = Page::open(&chromium, service.addr, 1000);
    page.shows("state", "embedded");
    service.stop().await.unwrap();
    page.shows("state", "no answer");
    page.shows("meaning", "No answer from the service since");
}

/// The service, with something added to the page's script.
async fn serve_with(pool: Pool, script: &str) -> SocketAddr {
    // Before the page's own, which begins to ask at its end.
    let script = SCRIPT.replacen("\"use strict\";", &format!("\"use strict\";{script}"), 1);
    let javascript = [(header::CONTENT_TYPE, "text/javascript")];
    let app = Router::new()
        .route("/app.js", get(move || async move { (javascript, script) }))
        .fallback_service(App::new(pool).unwrap().router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}
