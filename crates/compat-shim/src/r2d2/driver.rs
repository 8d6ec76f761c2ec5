//! The thread that does the work of synchronous callers.

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

static DRIVER: OnceLock<Option<Runtime>> = OnceLock::new();
static WARNED: AtomicBool = AtomicBool::new(false);

/// The runtime of its own thread: it runs whatever happens to the runtimes of the callers, and for as long as the process.
pub(super) fn handle() -> RedisResult<&'static Handle> {
    let build = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().thread_name("cenote-sync").build().ok()
    };
    let missing =
        || RedisError::from(io::Error::other("the thread for synchronous Redis calls cannot be started"));
    DRIVER.get_or_init(build).as_ref().map(Runtime::handle).ok_or_else(missing)
}

/// Waits, on this thread, for what the other does. `None`: for as long as it takes.
pub(super) fn run<T, F>(limit: Option<Duration>, work: F) -> RedisResult<T>
where
    T: Send + 'static,
    F: Future<Output = RedisResult<T>> + Send + 'static,
{
    warn_in_async_code();
    let (done, result) = sync_channel(1);
    let task = handle()?.spawn(async move {
        let _ = done.send(work.await);
    });
    let received = match limit {
        Some(limit) => result.recv_timeout(limit),
        None => result.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    received.unwrap_or_else(|why| {
        task.abort();
        Err(match why {
            RecvTimeoutError::Timeout => io::Error::from(io::ErrorKind::TimedOut),
            RecvTimeoutError::Disconnected => io::Error::from(io::ErrorKind::BrokenPipe),
        }
        .into())
    })
}

fn warn_in_async_code() {
    let Ok(here) = Handle::try_current() else { return };
    if here.runtime_flavor() == RuntimeFlavor::CurrentThread && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "cenote::compat",
            "a synchronous Redis call in a runtime with one thread: everything there waits until it is answered"
        );
    }
}
