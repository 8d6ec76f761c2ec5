//! An import that takes its time: what a worker does with its job. It downloads a file, reads its rows, and stores them.

use std::time::Duration;

use cenote_pubsub_progress::{Child, JobHandle};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const BYTES: u64 = 24_000_000;
const ROWS: u64 = 12_000;
/// In how many steps each part goes.
const STEPS: u64 = 60;
/// How much longer each part takes than the others.
const WEIGHTS: [u32; 3] = [3, 2, 5];

/// Why it did not come to its end.
enum Ended {
    /// Somebody asked it to stop.
    Cancelled,
    /// The service stops.
    Stopping,
}

/// Works on `job` for about so long. If the service stops it lets go of it, and watchers are told that it was abandoned.
pub(crate) async fn run(job: JobHandle, length: Duration, stopping: CancellationToken) {
    let import =
        Import { cancelled: job.cancellation(), stopping, pause: length / WEIGHTS.iter().sum::<u32>(), job };
    let told = match import.work().await {
        Ok(()) => import.job.finish(json!({ "rows": ROWS, "left_out": 3 })).await,
        Err(Ended::Cancelled) => import.job.cancelled().await,
        Err(Ended::Stopping) => return,
    };
    if let Err(error) = told {
        tracing::warn!(target: "service", job = import.job.id(), %error, "somebody else has this import now");
    }
}

struct Import {
    job: JobHandle,
    cancelled: CancellationToken,
    stopping: CancellationToken,
    /// Of a part with the weight of 1.
    pause: Duration,
}

impl Import {
    async fn work(&self) -> Result<(), Ended> {
        let parts =
            [("download", "bytes", BYTES), ("rows read", "rows", ROWS), ("rows stored", "rows", ROWS)];
        let [download, read, store] = [0, 1, 2].map(|index: usize| {
            let ((name, unit, total), weight) = (parts[index], WEIGHTS[index]);
            self.job.child(name).weight(f64::from(weight)).unit(unit).total(total).clone()
        });
        self.job.phase("downloading");
        self.part("downloaded", &download, BYTES, WEIGHTS[0], |_| None).await?;
        self.job.phase("reading");
        self.part("read", &read, ROWS, WEIGHTS[1], |step| {
            (step % 20 == 7).then(|| format!("row {}: no address, left out", step * ROWS / STEPS + 41))
        })
        .await?;
        self.job.phase("storing");
        self.part("stored", &store, ROWS, WEIGHTS[2], |_| None).await
    }

    async fn part(
        &self,
        what: &str,
        child: &Child,
        total: u64,
        weight: u32,
        warning: impl Fn(u64) -> Option<String>,
    ) -> Result<(), Ended> {
        let pause = self.pause * weight / STEPS as u32;
        for step in 1..=STEPS {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return Err(Ended::Cancelled),
                () = self.stopping.cancelled() => return Err(Ended::Stopping),
                () = sleep(pause) => {}
            }
            child.set(total * step / STEPS);
            if let Some(warning) = warning(step) {
                self.job.warn(&warning);
            }
            if step % 20 == 0 {
                self.job.log(&format!("{what} {} of {total}", total * step / STEPS));
            }
        }
        child.finish();
        Ok(())
    }
}
