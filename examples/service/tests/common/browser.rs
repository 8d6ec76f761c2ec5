//! A headless Chromium, told what to do through a pair of pipes: no driver, no port, no further crate.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::LIMIT;

/// Chromium's own: names are in `PATH`, or where macOS keeps applications.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// `None`, with a line that says so, where there is none; on CI that is a failure.
pub(crate) fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let applications = ["Google Chrome", "Chromium"]
        .map(|name| PathBuf::from(format!("/Applications/{name}.app/Contents/MacOS/{name}")));
    let found = env::split_paths(&path)
        .flat_map(|dir| NAMES.map(|name| dir.join(name)))
        .chain(applications)
        .find(|program| program.is_file());
    if found.is_none() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "not run: chromium is not installed");
        eprintln!("not run: chromium is not installed");
    }
    found
}

/// A page in a browser of its own, which ends when this is dropped.
pub(crate) struct Page {
    browser: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    width: u32,
    profile: PathBuf,
}

impl Page {
    /// Opens the page of the service at `addr`, in a window so wide.
    ///
    /// Chromium reads orders from file descriptor 3 and answers on 4; the shell makes those of what we can give.
    pub(crate) fn open(chromium: &PathBuf, addr: SocketAddr, width: u32) -> Self {
        let profile =
            env::temp_dir().join(format!("cenote-page-{}-{}-{width}", std::process::id(), addr.port()));
        let mut browser = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .arg(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (orders, answers) = (browser.stdin.take().unwrap(), browser.stdout.take().unwrap());
        let answers = BufReader::new(answers);
        let mut page = Self { browser, orders, answers, session: None, next: 0, width, profile };
        let target = page.order("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.order("Target.attachToTarget", &attach);
        page.session = session["sessionId"].as_str().map(str::to_owned);
        page.window(900);
        page.order("Page.enable", &json!({}));
        page.order("Page.navigate", &json!({ "url": format!("http://{addr}/") }));
        page.eventually("the page is there", |page| page.eval("document.readyState === 'complete'") == true);
        page
    }

    fn window(&mut self, height: u64) {
        let window =
            json!({ "width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.order("Emulation.setDeviceMetricsOverride", &window);
    }

    /// What a piece of JavaScript is worth.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let order = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.order("Runtime.evaluate", &order);
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What the element with this id shows.
    pub(crate) fn text(&mut self, id: &str) -> String {
        let shown = self.eval(&format!("document.getElementById({id:?}).textContent"));
        shown.as_str().unwrap_or_else(|| panic!("no {id}: {shown}")).to_owned()
    }

    pub(crate) fn is_visible(&mut self, id: &str) -> bool {
        self.eval(&format!("document.getElementById({id:?}).checkVisibility()")) == true
    }

    pub(crate) fn click(&mut self, id: &str) {
        self.eval(&format!("document.getElementById({id:?}).click()"));
    }

    /// Waits until the element shows this, at least.
    pub(crate) fn shows(&mut self, id: &str, text: &str) {
        self.tells(id, text, |page| page.text(id));
    }

    /// Waits until what is told contains this text.
    pub(crate) fn tells(&mut self, who: &str, text: &str, mut told: impl FnMut(&mut Self) -> String) {
        let give_up = Instant::now() + LIMIT;
        loop {
            let told = told(self);
            if told.contains(text) {
                return;
            }
            assert!(Instant::now() < give_up, "{who} shows {told:?}, not {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn eventually(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let give_up = Instant::now() + LIMIT;
        while !is_so(self) {
            assert!(Instant::now() < give_up, "never: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keeps what the whole page looks like, if `CENOTE_SCREENSHOTS` names a folder.
    pub(crate) fn screenshot(&mut self, name: &str) {
        let Some(folder) = env::var_os("CENOTE_SCREENSHOTS") else { return };
        self.window(900);
        let height = self.eval("document.documentElement.scrollHeight").as_u64().unwrap();
        self.window(height);
        let picture = self.order("Page.captureScreenshot", &json!({}));
        let bytes = from_base64(picture["data"].as_str().unwrap());
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// One order and its answer; events are passed over. Both end with a zero byte.
    fn order(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut order = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        write!(self.orders, "{order}\0").unwrap();
        self.orders.flush().unwrap();
        loop {
            let mut message = Vec::new();
            self.answers.read_until(0, &mut message).unwrap();
            assert_eq!(message.pop(), Some(0), "{method}: chromium has ended");
            let message: Value = serde_json::from_slice(&message).unwrap();
            if message["id"] == self.next {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Orderly, so that its own processes end too; it closes the pipe when it has.
        let _ = write!(self.orders, "{}\0", json!({ "id": 0, "method": "Browser.close" }));
        let _ = std::io::copy(&mut self.answers, &mut std::io::sink());
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = (bits << 6) | LETTERS.iter().position(|other| *other == letter).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
