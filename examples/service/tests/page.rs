//! The page, as text and in a headless Chromium.

mod common;

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use cenote::{FallbackLru, Pool};
use cenote_service::{INDEX_HTML, SCRIPT, STYLE, router};
use cenote_testkit::{Server, dead_port, eventually};
use common::{LIMIT, Service, pool};

#[tokio::test]
async fn the_page_and_its_two_files_are_served_and_nothing_is_fetched_from_elsewhere() {
    let service = Service::start(Pool::embedded(FallbackLru::default())).await;
    for (path, kind, text) in [
        ("/", "text/html; charset=utf-8", INDEX_HTML),
        ("/app.js", "text/javascript; charset=utf-8", SCRIPT),
        ("/style.css", "text/css; charset=utf-8", STYLE),
    ] {
        let file = service.get(path).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(kind)));
        assert_eq!(file.body, text);
        assert!(
            !text.contains("http://") && !text.contains("https://") && !text.contains("@import"),
            "{path}"
        );
    }
    let policy = service.get("/").await;
    assert!(policy.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
}

#[test]
fn every_id_that_the_script_uses_is_on_the_page_once() {
    let used: BTreeSet<&str> = between(SCRIPT, "byId(\"").chain(between(SCRIPT, "write(\"")).collect();
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
    let page = chromium.show(ready.addr);
    assert_shows(&page, "state", "ready");
    assert_shows(&page, "meaning", "Redis answers.");
    assert_shows(&page, "url", &server.url());
    assert_shows(&page, "connections-text", "of 20 in use");
    assert_shows(&page, "flags-hint", "Cached in Redis");
    assert!(!page.contains(" hidden=\"\""), "{page}");

    let away = Service::start(pool(format!("redis://ada:hunter2@{}/0", dead_port())).build().unwrap()).await;
    away.wait_for("degraded").await;
    let page = chromium.show(away.addr);
    assert_shows(&page, "state", "degraded");
    assert_shows(&page, "asked", "Readiness answers 200");
    assert_shows(&page, "last-error", "refused");
    assert!(!page.contains("hunter2"), "{page}");

    let required = pool(server.url()).required(true).build().unwrap();
    let required = Service::start(required).await;
    required.wait_for("ready").await;
    server.kill();
    required.wait_for("degraded").await;
    let page = chromium.show(required.addr);
    assert_shows(&page, "asked", "Readiness answers 503");
    assert_shows(&page, "meaning", "Redis is required");

    let embedded = Service::start(Pool::embedded(FallbackLru::default())).await;
    let page = chromium.show(embedded.addr);
    assert_shows(&page, "state", "embedded");
    assert_shows(&page, "meaning", "this process's memory answers");
    assert_shows(&page, "flags-hint", "in this process's memory");
    assert_shows(&page, "webhook-hint", "refused without Redis");
    let needing = INDEX_HTML.matches("data-needs-redis").count();
    assert_eq!((needing, page.matches("data-needs-redis=\"\" hidden").count()), (7, 7), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_what_its_buttons_brought() {
    let Some(chromium) = chromium() else { return };
    let server = Server::start();
    let pressing = r#"
        setTimeout(() => byId("flags-form").requestSubmit(), 50);
        setTimeout(() => byId("webhook").click(), 400);
        setTimeout(() => byId("webhook-again").click(), 900);
    "#;
    let page = chromium.show(serve_with(pool(server.url()).build().unwrap(), pressing).await);
    for line in ["Flags: computed", "Webhook: handled", "Webhook: duplicate"] {
        assert!(page.contains(line), "{line} is missing from {page}");
    }
    assert_eq!(server.observer().get::<i64>(&["GET", "webhook:handled"]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_says_when_the_service_itself_does_not_answer() {
    let Some(chromium) = chromium() else { return };
    let failing = "const real = fetch; window.fetch = (path) => Promise.reject(new TypeError(path));";
    let addr = serve_with(Pool::embedded(FallbackLru::default()), failing).await;
    let page = chromium.show(addr);
    assert_shows(&page, "state", "no answer");
    assert_shows(&page, "meaning", "No answer from the service since");
}

/// The service, with something added to the page's script.
async fn serve_with(pool: Pool, script: &str) -> SocketAddr {
    // Before the page's own, which begins to ask at its end.
    let script = SCRIPT.replacen("\"use strict\";", &format!("\"use strict\";{script}"), 1);
    let javascript = [(header::CONTENT_TYPE, "text/javascript")];
    let app = Router::new()
        .route("/app.js", get(move || async move { (javascript, script) }))
        .fallback_service(router(pool));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}

/// The element's text, as far as no other element is in it.
fn assert_shows(page: &str, id: &str, text: &str) {
    let (_, rest) = page.split_once(&format!(" id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    let shown = rest.split_once('>').and_then(|(_, rest)| rest.split_once('<')).unwrap_or_default().0;
    assert!(shown.contains(text), "{id} shows {shown:?}, not {text:?}");
}

struct Chromium(PathBuf);

/// `None`, with a line that says so, where there is none; on CI that is a failure.
fn chromium() -> Option<Chromium> {
    let path = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let applications = ["Google Chrome", "Chromium"]
        .map(|name| PathBuf::from(format!("/Applications/{name}.app/Contents/MacOS/{name}")));
    let found = env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .chain(applications)
        .find(|program| program.is_file());
    if found.is_none() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "not run: chromium is not installed");
        eprintln!("not run: chromium is not installed");
    }
    found.map(Chromium)
}

impl Chromium {
    /// Opens the page, lets two and a half seconds of its clock pass, and returns what has become of it.
    fn show(&self, addr: SocketAddr) -> String {
        let profile = env::temp_dir().join(format!("cenote-page-{}-{}", std::process::id(), addr.port()));
        let output = profile.with_extension("html");
        let mut child = Command::new(&self.0)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2500", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("http://{addr}/"))
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        eventually(LIMIT * 3, &format!("chromium (process {pid}) is done"), || {
            child.try_wait().unwrap().is_some()
        });
        let page = std::fs::read_to_string(&output).unwrap();
        let _ = std::fs::remove_dir_all(&profile);
        let _ = std::fs::remove_file(&output);
        page
    }
}
