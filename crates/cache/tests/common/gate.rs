//! A loader that waits until it is let go.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cenote_cache::Cx;
use cenote_testkit::eventually_async;
use tokio::sync::watch;

use super::SOON;

type Loading = Pin<Box<dyn Future<Output = io::Result<Option<String>>> + Send>>;

/// Counts the loaders that began and those whose futures are gone; they end when it opens.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    began: AtomicU64,
    gone: AtomicU64,
    open: watch::Sender<bool>,
}

struct Passing(Arc<Inner>);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
    }
}

impl Gate {
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Inner {
            began: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            open: watch::channel(false).0,
        }))
    }

    pub(crate) fn open(&self) {
        self.0.open.send_replace(true);
    }

    pub(crate) fn began(&self) -> u64 {
        self.0.began.load(Ordering::SeqCst)
    }

    pub(crate) fn gone(&self) -> u64 {
        self.0.gone.load(Ordering::SeqCst)
    }

    pub(crate) async fn has_begun(&self) {
        eventually_async(SOON, "the loader begins", || async { self.began() > 0 }).await;
    }

    /// What happens once it opens is for `end` to say.
    pub(crate) fn then<T, F>(&self, end: F) -> impl Future<Output = T> + Send + 'static + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let inner = self.0.clone();
        async move {
            let passing = Passing(inner);
            passing.0.began.fetch_add(1, Ordering::SeqCst);
            let mut open = passing.0.open.subscribe();
            open.wait_for(|open| *open).await.expect("the gate is kept by those who pass it");
            end()
        }
    }

    /// The loader of one text.
    pub(crate) fn load(&self, text: &str) -> impl FnOnce(Cx<String>) -> Loading + Send + 'static {
        let (gate, text) = (self.clone(), text.to_owned());
        move |_| Box::pin(gate.then(|| Ok(Some(text))))
    }
}
