//! From start to end: listen first, connect beside it, and close the pool last.

use std::future::{Future, pending};
use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt;
use cenote::{CloseReport, Error, FallbackLru, Pool, State};
use cenote_pubsub_progress::sse::WriteTimeoutListener;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::{metrics, settings};

/// How long requests may go on once the service was asked to stop.
const GRACE: Duration = Duration::from_secs(4);

/// Runs the service as the environment configures it, until SIGINT or SIGTERM.
///
/// The exit code is 2 for a configuration that cannot be used, and 1 for a required Redis that is not there or
/// a port that is not free; standard error then ends with one sentence that says what to change.
pub async fn run() -> ExitCode {
    log_to_stderr();
    // Before the pool: what is built hears of the recorder that is there.
    let recorder = metrics::recorder();
    let configured = settings::port().and_then(|port| {
        let pool = Pool::builder().env().fallback(FallbackLru::default()).build();
        let app = App::new(pool.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        Ok((port, app))
    });
    let (port, app) = match configured {
        Ok(configured) => configured,
        Err(sentence) => return fail(2, &sentence),
    };
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => listener,
        Err(error) => {
            return fail(1, &format!("cannot listen on 127.0.0.1:{port}: {error}; set PORT to a free one"));
        }
    };
    match serve(listener, app.with_demo(settings::demo()).with_metrics(recorder), signal()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

/// Serves `app` on `listener` until `stop` resolves, then lets requests finish and closes the pool.
///
/// Requests are answered at once, while the pool still connects.
///
/// # Errors
///
/// The pool could not start: Redis is required and away.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = &'static str>,
) -> Result<CloseReport, Error> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(target: "service", "listening on http://{address}");
    }
    let stopping = CancellationToken::new();
    let app = app.stopping(stopping.clone());
    let pool = app.pool.clone();
    let upkeep = app.metrics.clone().map(|metrics| tokio::spawn(metrics::upkeep(metrics)));
    // Small answers, each written at once: waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    // A client that stops reading is cut off, rather than kept for ever.
    let listener = WriteTimeoutListener::new(listener);
    let server =
        axum::serve(listener, app.router()).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let mut serving = tokio::spawn(server.into_future());
    let failed = tokio::select! {
        why = stop => {
            tracing::info!(target: "service", "{why}: finishing the requests under way");
            None
        }
        error = start(&pool) => Some(error),
    };
    stopping.cancel();
    if timeout(GRACE, &mut serving).await.is_err() {
        tracing::warn!(target: "service", "some requests did not finish within {GRACE:?}: they are cut");
        serving.abort();
    }
    let report = pool.close().await;
    upkeep.iter().for_each(tokio::task::JoinHandle::abort);
    tracing::info!(
        target: "service",
        cut_connections = report.cut_connections,
        cut_calls = report.cut_calls,
        waited_ms = report.waited.as_millis() as u64,
        "stopped"
    );
    failed.map_or(Ok(report), Err)
}

/// Resolves only when the pool cannot start.
async fn start(pool: &Pool) -> Error {
    match pool.start().await {
        Err(error) => return error,
        Ok(State::Ready) => tracing::info!(target: "service", "start-up complete: Redis is ready"),
        Ok(State::Embedded) => {
            tracing::info!(target: "service", "start-up complete: without Redis, this process's memory answers");
        }
        Ok(state) => tracing::warn!(
            target: "service",
            state = state.name(),
            "start-up complete: Redis is away and not required; serving without it until it answers"
        ),
    }
    pending().await
}

async fn signal() -> &'static str {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(target: "service", %error, "SIGINT cannot be watched");
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => "interrupted",
        () = terminate() => "asked to terminate",
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(error) => {
            tracing::warn!(target: "service", %error, "SIGTERM cannot be watched");
            pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminate() {
    pending().await
}

fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another subscriber may be there already, in tests.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

fn fail(code: u8, sentence: &str) -> ExitCode {
    eprintln!("cenote-service: {sentence}");
    ExitCode::from(code)
}
