//! Resource usage of this process, from proc(5); unknown on systems without it.

use std::fs;
use std::sync::OnceLock;

/// Resource usage of this process.
pub(crate) struct Process {
    /// User and system time of all threads, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
    /// The number of open descriptors.
    pub(crate) open_fds: usize,
    /// The limit on open descriptors.
    pub(crate) max_fds: u64,
    /// The start time, in seconds since the Unix epoch.
    pub(crate) start_seconds: f64,
}

impl Process {
    /// Reads the current values; `None` without proc(5).
    ///
    /// The start time is computed once: the kernel derives `btime` from the clock, and a start time that moves with
    /// each correction of it would look like restarts.
    pub(crate) fn read() -> Option<Self> {
        static START: OnceLock<Option<f64>> = OnceLock::new();
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let hertz = rustix::param::clock_ticks_per_second();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Some(Self {
            cpu_seconds: cpu_seconds(&stat, hertz)?,
            resident_bytes: number_after(&status, "VmRSS:")? * 1024,
            // Without the descriptor that reads the directory.
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count() - 1,
            max_fds: limit.current.unwrap_or(u64::MAX),
            start_seconds: (*START.get_or_init(|| {
                start_seconds(&stat, &fs::read_to_string("/proc/stat").ok()?, hertz)
            }))?,
        })
    }
}

/// A field of `proc_pid_stat(5)`, by its number there. The second one, in parentheses, may contain
/// anything.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str, hertz: u64) -> Option<f64> {
    Some(seconds(field(stat, 14)? + field(stat, 15)?, hertz))
}

fn start_seconds(stat: &str, machine: &str, hertz: u64) -> Option<f64> {
    let boot = number_after(machine, "btime")?;
    Some(seconds(boot * hertz + field(stat, 22)?, hertz))
}

#[expect(clippy::cast_precision_loss, reason = "exact for the next million years")]
fn seconds(ticks: u64, hertz: u64) -> f64 {
    ticks as f64 / hertz as f64
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_a_name_with_parentheses() {
        let stat = "7 (a) b ( c) S 1 1 1 0 -1 4 5 6 7 8 250 50 0 0 20 0 4 0 1234 9 9";
        assert_eq!(cpu_seconds(stat, 100), Some(3.0));
        assert_eq!(start_seconds(stat, "cpu 1\nbtime 1000\n", 100), Some(1012.34));
        assert_eq!(number_after("Name: x\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_its_figures() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 100_000 && process.open_fds > 2);
        assert!(process.max_fds >= 3 && process.start_seconds > 1e9);
    }
}
