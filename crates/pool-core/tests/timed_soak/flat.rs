//! What must not grow: sockets, tasks, memory.

use std::alloc::System;
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::runtimes::Runtimes;
use crate::stage::Stage;

/// Sockets of this process for each connection: the pool's, its second handle, and the proxy's two.
const SOCKETS_EACH: usize = 4;

/// What has ended takes a moment to go.
const SOON: Duration = Duration::from_secs(10);

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Clone, Copy)]
pub(crate) struct Measure {
    connections: usize,
    /// Known on Linux only.
    sockets: Option<usize>,
    tasks: usize,
    /// On the heap and not given back.
    heap: usize,
    /// What the system counts as ours: with thread stacks, and with what the allocator keeps of what it was given back.
    resident: usize,
}

impl Measure {
    /// With the gate shut and the pool at rest.
    pub(crate) fn take(stage: &Stage, runtimes: &Runtimes) -> Self {
        Self {
            connections: stage.pool.status().connections_in_use,
            sockets: sockets(),
            tasks: runtimes.alive_tasks(),
            heap: heap(),
            resident: resident(),
        }
    }
}

impl Measure {
    /// Waits until what is measured `now` is no more than this: a connection more may have its sockets and its task,
    /// and memory may be a tenth more and 4 MB. What the system counts may be 16 MB more, as what the allocator keeps
    /// differs by the largest that a fault has made anyone hold.
    pub(crate) fn assert_not_outgrown(&self, now: impl Fn() -> Self) -> Self {
        let give_up = Instant::now() + SOON;
        loop {
            let now = now();
            let most = |kilobytes: usize, more: usize| kilobytes + kilobytes / 10 + more;
            if now.beside().iter().zip(self.beside()).all(|(now, then)| *now <= then)
                && now.heap <= most(self.heap, 4_096)
                && now.resident <= most(self.resident, 16_384)
            {
                return now;
            }
            assert!(Instant::now() < give_up, "now {now}; then {self}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sockets and tasks beside those of the connections.
    fn beside(&self) -> [usize; 2] {
        let sockets =
            self.sockets.map_or(0, |sockets| sockets.saturating_sub(SOCKETS_EACH * self.connections));
        [sockets, self.tasks.saturating_sub(self.connections)]
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, sockets, tasks, heap, resident } = self;
        write!(
            f,
            "{connections} connections, {} sockets, {tasks} tasks, {heap} kB of heap, {resident} kB",
            sockets.unwrap_or_default()
        )
    }
}

fn sockets() -> Option<usize> {
    let open = fs::read_dir("/proc/self/fd").ok()?;
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Some(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

fn heap() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated) / 1_024
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    resident.and_then(|number| number.parse().ok()).unwrap_or_default()
}
