//! How busy the machine was: a task that wants to run all the time, and notes when it could not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{NOISE, ms};

const BEAT: Duration = ms(1);
/// A machine that has nothing else to do is never so late.
const USUAL: Duration = ms(4);

pub(crate) struct Pulse {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    task: JoinHandle<()>,
}

impl Pulse {
    pub(crate) fn start() -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let beats = late.clone();
        let task = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                tokio::time::sleep(BEAT).await;
                let delay = began.elapsed().saturating_sub(USUAL);
                if !delay.is_zero() {
                    beats.lock().push((began, delay));
                }
            }
        });
        Self { late, task }
    }

    /// How long this process could not run between the two, as far as that counts as noise.
    pub(crate) fn lost(&self, from: Instant, to: Instant) -> Duration {
        let late = self.late.lock();
        let within = late.iter().filter(|(began, delay)| *began + *delay >= from && *began <= to);
        within.map(|(_, delay)| *delay).sum::<Duration>().min(NOISE)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
