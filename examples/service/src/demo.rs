//! Taking Redis away, and bringing it back: what `cargo xtask demo` allows its page.
//!
//! The service ends no process. It asks whoever started it, who owns that Redis, with a word on standard output:
//! `away` or `back`. Without `CENOTE_DEMO=1` it asks nobody, and the two paths do not exist.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::app::App;
use crate::problem::Problem;

/// Where Redis is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Ended, with its data kept on disk.
    Away,
    /// Started again.
    Back,
}

impl Wish {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Back => "back",
        }
    }
}

type Ask = dyn Fn(Wish) -> io::Result<()> + Send + Sync;

/// A way to ask for a Redis that goes and comes.
pub struct Demo {
    ask: Box<Ask>,
    last: watch::Sender<Wish>,
}

impl Demo {
    /// Asks with `ask`, which must not block for long.
    pub fn new(ask: impl Fn(Wish) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { ask: Box::new(ask), last: watch::Sender::new(Wish::Back) }
    }

    /// Asks on standard output.
    pub(crate) fn on_stdout() -> Self {
        Self::new(|wish| {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", wish.word())?;
            out.flush()
        })
    }

    /// Follows what was wished last.
    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.last.subscribe()
    }
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("last", &*self.last.borrow()).finish_non_exhaustive()
    }
}

pub(crate) async fn away(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    wish(app.demo, &headers, Wish::Away)
}

pub(crate) async fn back(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    wish(app.demo, &headers, Wish::Back)
}

fn wish(demo: Option<Arc<Demo>>, headers: &HeaderMap, wish: Wish) -> Result<Json<Value>, Problem> {
    let Some(demo) = demo else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", "This service does not own its Redis."));
    };
    if !is_from_own_page(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "Only the page of this service may do that, opened at 127.0.0.1 or localhost. By hand: add the header \
             sec-fetch-site: same-origin",
        ));
    }
    (demo.ask)(wish).map_err(|error| {
        let detail = format!("Whoever started this service does not listen any more: {error}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", detail)
    })?;
    tracing::info!(target: "service", "the page asked for Redis to be {}", wish.word());
    demo.last.send_replace(wish);
    Ok(Json(json!({ "redis": wish.word() })))
}

/// Another site's page can send a POST here, but not without the browser saying whose it is; and a name of that
/// site that was made to mean this machine is not one of ours.
fn is_from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let Some(host) = text(header::HOST.as_str()).filter(|host| is_this_machine(host)) else { return false };
    let site = text("sec-fetch-site");
    let origin = text(header::ORIGIN.as_str());
    let is_own = origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    is_own && site.is_none_or(|site| site == "same-origin") && (site.is_some() || origin.is_some())
}

fn is_this_machine(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_page_is_believed() {
        let asked = |named: &[(&'static str, &str)]| {
            let headers = named
                .iter()
                .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()));
            is_from_own_page(&headers.collect())
        };
        let here = ("host", "127.0.0.1:3000");
        assert!(asked(&[here, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:3000")]));
        assert!(asked(&[here, ("origin", "http://127.0.0.1:3000")]), "an older browser");
        assert!(asked(&[("host", "localhost:3000"), ("origin", "http://localhost:3000")]));
        assert!(asked(&[("host", "[::1]"), ("sec-fetch-site", "same-origin")]));
        for refused in [
            &[here][..],
            &[("sec-fetch-site", "same-origin")],
            &[here, ("sec-fetch-site", "cross-site")],
            &[here, ("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")],
            &[here, ("sec-fetch-site", "none")],
            &[here, ("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
            &[here, ("origin", "null")],
            &[here, ("origin", "http://127.0.0.1:8080")],
            &[("host", "evil.example:3000"), ("origin", "http://evil.example:3000")],
            &[("host", "evil.example:3000"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(!asked(refused), "{refused:?}");
        }
    }
}
