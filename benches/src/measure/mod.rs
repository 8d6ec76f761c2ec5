//! A number of tasks on one client for a fixed time, and what that showed.

pub(crate) mod latency;
mod load;
pub(crate) mod process;

use std::time::Duration;

use self::latency::Percentiles;
pub(crate) use self::load::{Call, Keep, Load, calls, load};

/// What one round showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Of the calls that were answered before the round's end.
    pub(crate) ops_per_s: f64,
    /// Of every call that was begun in the round, however late it was answered.
    pub(crate) latency: Percentiles,
    /// Of this process; `None` where the system does not tell, or where other tasks had a part in it.
    pub(crate) cpu_us_per_op: Option<f64>,
    /// Calls of the extra tasks, in a second.
    pub(crate) extra_calls_per_s: f64,
}

impl Round {
    /// `load` was kept, and ran for `duration`.
    pub(crate) fn of(load: Load, duration: Duration) -> Self {
        let seconds = duration.as_secs_f64();
        let all = (load.latencies.len() * load.ops_per_call) as f64;
        // Every task ends with the one call that was answered after the end.
        let in_time = ((load.latencies.len() - load.tasks) * load.ops_per_call) as f64;
        let cpu = load.cpu.filter(|_| load.extra_calls == 0);
        Self {
            ops_per_s: in_time / seconds,
            cpu_us_per_op: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / all),
            extra_calls_per_s: load.extra_calls as f64 / seconds,
            latency: Percentiles::of(load.latencies),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_answered_after_the_end_count_as_latency_and_not_as_throughput() {
        let load = Load {
            tasks: 2,
            latencies: vec![1_000, 1_000, 2_000, 40_000, 2_000, 50_000],
            ops_per_call: 10,
            extra_calls: 0,
            cpu: Some(Duration::from_micros(120)),
        };
        let round = Round::of(load, Duration::from_millis(100));
        assert_eq!(round.ops_per_s, 400.0);
        assert_eq!(round.latency.p99, 50.0);
        assert_eq!(round.cpu_us_per_op, Some(2.0));
    }

    #[test]
    fn processor_time_that_is_shared_with_extra_tasks_is_not_reported() {
        let cpu = Some(Duration::from_millis(1));
        let load = Load { tasks: 1, latencies: vec![1_000; 3], ops_per_call: 1, extra_calls: 4, cpu };
        let round = Round::of(load, Duration::from_millis(500));
        assert_eq!((round.cpu_us_per_op, round.extra_calls_per_s), (None, 8.0));
    }
}
