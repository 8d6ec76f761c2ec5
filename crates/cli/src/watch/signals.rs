//! By which a watch is ended.

use crate::exit::Exit;

/// Until somebody ends it.
#[cfg(unix)]
pub(super) async fn interrupt() -> Exit {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return ctrl_c().await };
    tokio::select! {
        exit = ctrl_c() => exit,
        _ = terminate.recv() => Exit::Terminated,
    }
}

/// Until somebody ends it.
#[cfg(not(unix))]
pub(super) async fn interrupt() -> Exit {
    ctrl_c().await
}

async fn ctrl_c() -> Exit {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Exit::Interrupted
}
