//! The service in this process or in its own, and a plain HTTP client to talk to it.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod browser;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cenote::{CloseReport, Error, FallbackLru, Pool, PoolBuilder};
use cenote_service::App;
use cenote_testkit::eventually;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough on any machine; nothing waits for so long unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The field `name` of the JSON body.
    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no text {name} in {self:?}")).to_owned()
    }
}

/// One request on a connection of its own.
#[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole HTTP answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    Ok(Response { status, head: head.to_owned(), body: body.to_owned() })
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Response {
    request(addr, "GET", path, &[], "").await.expect("the service answers")
}

pub(crate) async fn post(addr: SocketAddr, path: &str, body: &str) -> Response {
    let headers = [("content-type", "application/json")];
    request(addr, "POST", path, &headers, body).await.expect("the service answers")
}

pub(crate) async fn put(addr: SocketAddr, path: &str, body: &str) -> Response {
    let headers = [("content-type", "application/json")];
    request(addr, "PUT", path, &headers, body).await.expect("the service answers")
}

/// A pool as the service builds it, for a server at `url`.
pub(crate) fn pool(url: impl Into<String>) -> PoolBuilder {
    Pool::builder().url(url).fallback(FallbackLru::default())
}

/// The service in this process.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    pub(crate) pool: Pool,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<CloseReport, Error>>,
}

impl Service {
    pub(crate) async fn start(pool: Pool) -> Self {
        Self::start_app(pool.clone(), App::new(pool).unwrap()).await
    }

    /// `app` must be on `pool`.
    pub(crate) async fn start_app(pool: Pool, app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopping = async {
            let _ = stopped.await;
            "stopped by the test"
        };
        let task = tokio::spawn(cenote_service::serve(listener, app, stopping));
        Self { addr, pool, stop, task }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        get(self.addr, path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response {
        post(self.addr, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Response {
        put(self.addr, path, body).await
    }

    /// Waits until readiness reports this state.
    pub(crate) async fn wait_for(&self, state: &str) {
        cenote_testkit::eventually_async(LIMIT, state, || async {
            self.get("/health/ready").await.text("state") == state
        })
        .await;
    }

    /// Waits until it stops by itself.
    pub(crate) async fn wait(self) -> Result<CloseReport, Error> {
        let _stop = self.stop;
        self.task.await.unwrap()
    }

    pub(crate) async fn stop(self) -> Result<CloseReport, Error> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

/// The service as its own process. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with only these variables, on a port that the system chooses unless `PORT` is among them.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cenote-service"));
        command.env_clear().env("PORT", "0").envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log }
    }

    /// Standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where it listens, once it does.
    pub(crate) fn addr(&self) -> SocketAddr {
        let mut found = None;
        eventually(LIMIT, "the service listens", || {
            let log = self.log();
            found = log
                .split_once("listening on http://")
                .and_then(|(_, rest)| rest.split_once('\n').and_then(|(addr, _)| addr.trim().parse().ok()));
            found.is_some()
        });
        found.unwrap()
    }

    /// The next line on standard output.
    pub(crate) fn said(&mut self) -> String {
        let mut line = String::new();
        let output = self.child.stdout.as_mut().unwrap();
        // Never more than one line is there, so none is lost with the buffer.
        BufReader::new(output).read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh").args(["-c", r#"kill -TERM "$1""#, "kill", &pid]).status().unwrap().success()
        );
    }

    /// Waits for its end, and returns its exit and all of standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut exit = None;
        eventually(LIMIT, "the service ends", || {
            exit = self.child.try_wait().unwrap();
            exit.is_some()
        });
        // The thread that reads ends with the pipe, and lets go of the text.
        eventually(LIMIT, "standard error ends", || Arc::strong_count(&self.log) == 1);
        (exit.unwrap(), self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
