//! The metrics of the process and of its threads.

use std::time::Duration;

use super::exposition::{Exposition, Type};
use super::machine::Process;
use crate::control::state::ControlState;
use crate::metrics::Metrics;
use crate::upstream::health::Tick;
use crate::worker::SWEEP_INTERVAL;

/// How far behind workers are at `now`, how often they were, and how evenly they are loaded.
pub(super) fn of_workers(out: &mut Exposition, control_state: &ControlState, now: Tick) {
    let workers = control_state.metrics.iter();
    let lag = workers.map(|worker| lag(worker, now)).max().unwrap_or_default();
    let help = "How long the worker that is furthest behind has been held up.";
    out.one("evener_worker_lag_seconds", Type::Gauge, help, lag.as_secs_f64());
    let help = "How often a worker was held up for more than a second.";
    let stalls = control_state.sum(|all| &all.stalls);
    out.one("evener_worker_stalls_total", Type::Counter, help, stalls);
    let help = "Client connections of the thread that has most.";
    out.one("evener_thread_connections_max", Type::Gauge, help, control_state.loads.most());
}

/// How long ago a worker should have done what it does once a second.
fn lag(worker: &Metrics, now: Tick) -> Duration {
    let age = Duration::from_millis(now.as_millis().saturating_sub(worker.swept.get()));
    age.saturating_sub(SWEEP_INTERVAL)
}

/// What the kernel reports; nothing where it does not.
pub(super) fn of_process(out: &mut Exposition) {
    let Some(process) = Process::read() else { return };
    let help = "User and system time of all threads.";
    out.one("process_cpu_seconds_total", Type::Counter, help, process.cpu_seconds);
    let name = "process_resident_memory_bytes";
    out.one(name, Type::Gauge, "Memory in use.", process.resident_bytes);
    out.one("process_open_fds", Type::Gauge, "Open descriptors.", process.open_fds);
    out.one("process_max_fds", Type::Gauge, "Limit on open descriptors.", process.max_fds);
    let help = "Start time of the process since the Unix epoch.";
    out.one("process_start_time_seconds", Type::Gauge, help, process.start_seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_behind_once_it_has_missed_its_second() {
        let (worker, at) = (Metrics::new(), Tick::from_millis);
        worker.swept.set(5_000);
        assert_eq!(lag(&worker, at(4_999)), Duration::ZERO);
        assert_eq!(lag(&worker, at(6_000)), Duration::ZERO);
        assert_eq!(lag(&worker, at(6_250)), Duration::from_millis(250));
        worker.swept.set(Metrics::ENDED);
        assert_eq!(lag(&worker, at(60_000)), Duration::ZERO);
    }
}
