//! The credentials of a pool: where they come from, and which ones were given last.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Credentials, CredentialsProvider, Renewal};
use crate::telemetry::Meters;
use crate::timer;

const PANICKED: &str = "the credentials provider panicked";

pub(crate) struct Keyring {
    provider: Option<Arc<dyn CredentialsProvider>>,
    /// The URL's, or what the provider gave last.
    latest: Mutex<Latest>,
    /// How often the provider was asked.
    asked: AtomicU64,
    /// How long the provider may take when nobody waits for it any more.
    patience: Duration,
    /// The log has it already.
    warned: AtomicBool,
    /// Redis refused them to a connection that is open: the next one that is made will fail.
    refused: AtomicBool,
    meters: Meters,
}

#[derive(Default)]
struct Latest {
    credentials: Option<Credentials>,
    /// The number of the question to which they are the answer: one that was asked before, and is answered later, may
    /// be about what was true before.
    asked: u64,
}

/// What a dial logs in with, and what renews that.
pub(crate) struct Login {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) renewal: Option<Renewal>,
    /// The provider gave them just now.
    pub(crate) is_fresh: bool,
}

impl Keyring {
    pub(crate) fn new(
        fixed: Option<Credentials>,
        provider: Option<Arc<dyn CredentialsProvider>>,
        patience: Duration,
        meters: Meters,
    ) -> Arc<Self> {
        let latest = Mutex::new(Latest { credentials: fixed, asked: 0 });
        Arc::new(Self {
            provider,
            latest,
            asked: AtomicU64::new(0),
            patience,
            warned: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            meters,
        })
    }

    /// Somebody gives other credentials at other times.
    pub(crate) fn may_change(&self) -> bool {
        self.provider.is_some()
    }

    pub(crate) fn latest(&self) -> Option<Credentials> {
        self.latest.lock().credentials.clone()
    }

    /// For a dial that may take `limit`, of which there must be something left.
    pub(crate) async fn login(self: &Arc<Self>, limit: Duration) -> Result<Login, String> {
        let Some(provider) = &self.provider else {
            return Ok(Login { credentials: self.latest(), renewal: None, is_fresh: false });
        };
        // Before they are asked for: a change in between is not missed.
        let Ok(changes) = catch_unwind(AssertUnwindSafe(|| provider.changes())) else {
            return Err(PANICKED.to_owned());
        };
        let changes = changes.map(mark_seen);
        let (given, is_fresh) = match self.ask(limit / 2).await {
            Ok(given) => (given, true),
            Err(why) => match self.latest() {
                Some(latest) => {
                    self.warn(&why, "the credentials provider fails: those it gave before are used");
                    (latest, false)
                }
                None => return Err(why),
            },
        };
        let renewal = changes.map(|changes| Renewal::new(self.clone(), given.clone(), changes));
        Ok(Login { credentials: Some(given), renewal, is_fresh })
    }

    /// In a task of its own: what comes late is there for the next who asks, and a panic is nobody else's.
    pub(super) async fn ask(self: &Arc<Self>, limit: Duration) -> Result<Credentials, String> {
        let keyring = self.clone();
        let asked = tokio::spawn(async move { keyring.ask_now().await });
        match timer::within(limit, asked).await {
            Some(Ok(given)) => given,
            Some(Err(_)) => Err(PANICKED.to_owned()),
            None => Err(format!("the credentials provider gave none within {limit:?}")),
        }
    }

    async fn ask_now(&self) -> Result<Credentials, String> {
        let Some(provider) = &self.provider else {
            return Err("there is no credentials provider".to_owned());
        };
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        match timer::within(self.patience, provider.credentials()).await {
            Some(Ok(given)) => Ok(self.keep(given, asked)),
            Some(Err(why)) => Err(format!("the credentials provider has none: {why}")),
            None => Err("the credentials provider gave none".to_owned()),
        }
    }

    /// What there is then: these, or those that were asked for later.
    fn keep(&self, given: Credentials, asked: u64) -> Credentials {
        let mut latest = self.latest.lock();
        if asked < latest.asked
            && let Some(newer) = &latest.credentials
        {
            return newer.clone();
        }
        *latest = Latest { credentials: Some(given.clone()), asked };
        given
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    fn scrub(&self, text: &str) -> String {
        self.latest.lock().credentials.as_ref().map_or_else(|| text.to_owned(), |latest| latest.scrub(text))
    }

    /// Once, until they are taken again.
    pub(super) fn warn(&self, cause: &str, what: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let cause = self.scrub(cause);
            tracing::warn!(target: "cenote", %cause, "{what}");
        }
    }

    /// Redis refused these to a connection that is open.
    pub(super) fn refused(&self, given: &Credentials) {
        if self.latest().as_ref() == Some(given) {
            self.refused.store(true, Ordering::Relaxed);
            self.meters.credentials_refused(true);
        }
    }

    /// The provider gave these and Redis takes them: what fails after that is news. Others than the last say nothing of those.
    pub(crate) fn accepted(&self, given: &Credentials) {
        let has_told = self.warned.load(Ordering::Relaxed) || self.refused.load(Ordering::Relaxed);
        if has_told && self.latest().as_ref() == Some(given) {
            self.warned.store(false, Ordering::Relaxed);
            if self.refused.swap(false, Ordering::Relaxed) {
                self.meters.credentials_refused(false);
            }
        }
    }
}

fn mark_seen(mut changes: watch::Receiver<()>) -> watch::Receiver<()> {
    changes.mark_unchanged();
    changes
}
