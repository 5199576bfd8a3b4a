//! How a balancer ends: gently, at once, or in favour of another process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::inbox::ControlCommand;
use super::running::Running;
use super::signals::Signals;
use super::systemd::SystemdState;
use super::workers::WorkerHandles;
use crate::log::access_log::AccessLog;
use crate::log::error_log::ErrorLog;
use crate::net::upgrade_socket::Channel;
use crate::otlp::exporter::SpanExporter;
use crate::worker::command::WorkerCommand;

/// How long the end waits for workers that were told to hurry. The access log takes a second more if
/// its reader has stopped, spans as long at most and meanwhile, and all must be over within 3 s.
const HURRY_LIMIT: Duration = Duration::from_millis(1500);

/// Between two looks for the end, or for a signal.
const PAUSE: Duration = Duration::from_millis(20);

/// What is left of a balancer when it ends.
pub(super) struct Remains<'a> {
    workers: WorkerHandles,
    access_log: Option<AccessLog>,
    spans: Option<SpanExporter>,
    error_log: Option<&'a ErrorLog>,
    signals: &'a Signals,
}

impl<'a> Remains<'a> {
    pub(super) fn of(
        running: &Running,
        error_log: Option<&'a ErrorLog>,
        signals: &'a Signals,
    ) -> Self {
        let (workers, access_log) = (running.workers().clone(), running.access_log().cloned());
        let spans = running.spans().cloned();
        Self { workers, access_log, spans, error_log, signals }
    }

    /// Goes on accepting for as long as is configured, or until another signal to end comes: load
    /// balancers in front must notice that connections are to go elsewhere. Whether to end at once
    /// then.
    pub(super) fn delay(&self, delay: Duration) -> bool {
        self.signals.tell(SystemdState::Stopping);
        log::info!("not ready any more, accepting for another {delay:?}; SIGTERM ends the wait");
        let deadline = Instant::now() + delay;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(asked) = self.signals.inbox.next_within(left) else { return false };
            let is_now = matches!(asked, ControlCommand::EndAtOnce);
            if self.answer(asked) {
                return is_now;
            }
        }
    }

    /// Drains for as long as is configured, or until another signal says to end.
    pub(super) fn drain(&self, running: Running) {
        let limit = running.config().drain_timeout;
        self.signals.tell(SystemdState::Stopping);
        log::info!("draining for up to {limit:?}; a second signal ends at once");
        self.finish(move || running.drain(limit));
    }

    /// Ends as soon as every request that is cut has its line, or soon anyway.
    pub(super) fn end_at_once(&self, running: Running) {
        log::info!("ending at once");
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(running.drain(Duration::ZERO)));
        self.end(&drained);
    }

    /// Leaves everything to another process, and drains what cannot go.
    pub(super) fn hand_over(&self, running: Running, channel: Channel, addresses: Vec<String>) {
        let limit = running.config().drain_timeout;
        log::info!("handed over; what still runs ends within {limit:?}");
        self.finish(move || running.hand_over(&channel, &addresses, limit));
    }

    /// Waits for the end of what runs, which says how many sessions were cut.
    fn finish(&self, ending: impl FnOnce() -> usize + Send + 'static) {
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(ending()));
        loop {
            match drained.recv_timeout(PAUSE) {
                Ok(0) => return log::info!("drained"),
                Ok(cut) => return log::warn!("the drain limit has passed: {cut} sessions cut"),
                Err(RecvTimeoutError::Disconnected) => return log::error!("the drain failed"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Some(asked) = self.signals.inbox.next_within(Duration::ZERO) {
                if self.answer(asked) {
                    log::warn!("second signal: ending at once");
                    self.hurry();
                    return self.end(&drained);
                }
            }
        }
    }

    /// Does what can still be done; whether it is another signal to end.
    fn answer(&self, asked: ControlCommand) -> bool {
        match asked {
            ControlCommand::Reopen => {
                self.error_log.inspect(|log| log.reopen());
                self.access_log.as_ref().inspect(|log| log.reopen());
            }
            ControlCommand::Reload => log::warn!("not reloaded: draining"),
            ControlCommand::ReloadFor(_, outcome) => {
                // The client that asked may have gone.
                let _ = outcome.send(Err(vec!["draining".to_owned()]));
            }
            ControlCommand::Adopt(_, outcome) => {
                let _ = outcome.send(Err(vec!["draining".to_owned()]));
            }
            // Hardly anyone shakes hands any more.
            ControlCommand::Renewal | ControlCommand::Discovery => {}
            ControlCommand::Ignored => log::warn!("SIGUSR2 has no meaning here: ignored"),
            ControlCommand::HandOver | ControlCommand::Drain | ControlCommand::EndAtOnce => {
                return true;
            }
        }
        false
    }

    /// Waits for the workers no longer than they may need to say what was cut.
    fn end(&self, drained: &Receiver<usize>) {
        if let Ok(cut @ 1..) = drained.recv_timeout(HURRY_LIMIT) {
            log::warn!("{cut} sessions cut");
        }
        self.spans.as_ref().inspect(|spans| spans.begin_close());
        self.access_log.as_ref().inspect(|log| log.close());
        self.spans.as_ref().inspect(|spans| spans.close());
    }

    /// Has the workers end now.
    fn hurry(&self) {
        for worker in self.workers.senders() {
            // One that takes no commands any more has ended, or is stuck.
            let _ = worker.try_send(WorkerCommand::Drain { deadline: Instant::now() });
        }
    }
}
