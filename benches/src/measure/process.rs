//! What this process has used so far.

use std::time::Duration;

/// Processor time of all threads, spent by the program and for it in the system.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let used = [usage.user_time(), usage.system_time()];
    used.iter()
        .map(|time| {
            Some(Duration::new(time.tv_sec().try_into().ok()?, 1000 * u32::try_from(time.tv_usec()).ok()?))
        })
        .sum()
}

/// Processor time of all threads: not known on this system.
#[cfg(not(unix))]
pub(crate) fn cpu_time() -> Option<Duration> {
    None
}

/// How many files may be open: from now on as many as the system lets this process have, and those it starts.
#[cfg(unix)]
pub(crate) fn raise_open_files() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).ok()?;
    Some(most)
}

/// How many files may be open: not known on this system.
#[cfg(not(unix))]
pub(crate) fn raise_open_files() -> Option<u64> {
    None
}

/// The most memory this process ever had resident, in MB. Linux only: elsewhere the figure is inherited from
/// whoever started it.
pub(crate) fn peak_rss_mb() -> Option<f64> {
    megabytes("VmHWM:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// What it has resident now, in MB. Linux only.
pub(crate) fn rss_mb() -> Option<f64> {
    megabytes("VmRSS:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

fn megabytes(name: &str, status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_kib_and_given_in_mb() {
        let status = "Name:\tbench\nVmPeak:\t  999999 kB\nVmHWM:\t   12500 kB\nVmRSS:\t   11000 kB\n";
        assert_eq!(megabytes("VmHWM:", status), Some(12.8));
        assert_eq!(megabytes("VmRSS:", status), Some(11.264));
        assert_eq!(megabytes("VmHWM:", "Name:\tbench\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_memory_and_time() {
        let before = cpu_time().unwrap();
        let busy = std::time::Instant::now();
        while busy.elapsed() < Duration::from_millis(20) {}
        assert!(cpu_time().unwrap() > before);
        assert!(peak_rss_mb().unwrap() > 1.0);
    }
}
