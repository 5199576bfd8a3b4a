//! What the control thread is asked for. SIGHUP reloads, SIGUSR1 opens the log files anew, SIGQUIT hands
//! over; SIGTERM drains; SIGINT, or a second signal, ends at once (as systemd and people expect).

use std::collections::VecDeque;
use std::io;
use std::mem::{discriminant, take};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::running::Running;
use super::systemd::{self, SystemdState};
use crate::log::access_log::AccessLog;
use crate::log::error_log::ErrorLog;
use crate::net::upgrade_socket::Channel;
use crate::worker::command::WorkerCommand;

/// How much may be asked for at once: twice what the admin listener has connections, and signals.
const ASKED_MAX: usize = 64;

/// How long the end waits for workers that were told to hurry, and for the access log behind them,
/// which takes a second if nobody reads it.
const HURRY_LIMIT: Duration = Duration::from_secs(2);

/// What has become of a reload: what it changes, or why it was refused.
pub(crate) type Outcome = Result<Vec<String>, Vec<String>>;

/// Whether a reload is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// It is.
    Follow,
    /// Only what it would change is asked for.
    Preview,
}

/// What is asked for, by a signal or by the admin listener.
#[derive(Debug)]
pub(crate) enum ControlCommand {
    /// SIGHUP: to read the configuration anew.
    Reload,
    /// The same, by somebody who waits for the outcome.
    ReloadFor(Reload, oneshot::Sender<Outcome>),
    /// SIGUSR1: to open the log files anew.
    Reopen,
    /// SIGQUIT: to hand over to another process, or to end gently if there is nowhere to meet it.
    HandOver,
    /// SIGTERM: to end gently.
    Drain,
    /// SIGINT.
    EndAtOnce,
}

/// The signals of this process, as they come.
pub(crate) struct Signals {
    received: Receiver<ControlCommand>,
    sender: SyncSender<ControlCommand>,
    /// Put off while something else was going on.
    later: VecDeque<ControlCommand>,
}

impl Signals {
    /// Takes the signals over from their default action.
    pub(crate) fn install() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut term, mut quit, mut int, mut hup, mut usr1) = {
            let _entered = runtime.enter();
            // A file that has reached its limit is an error of that write (setrlimit(2)); by default
            // it would end the process. To listen for the signal is to take its action away.
            drop(signal(SignalKind::from_raw(libc::SIGXFSZ))?);
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::quit())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined1())?,
            )
        };
        let (sender, received) = sync_channel(ASKED_MAX);
        let others = sender.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let asked = tokio::select! {
                        _ = term.recv() => ControlCommand::Drain,
                        _ = quit.recv() => ControlCommand::HandOver,
                        _ = int.recv() => ControlCommand::EndAtOnce,
                        _ = hup.recv() => ControlCommand::Reload,
                        _ = usr1.recv() => ControlCommand::Reopen,
                    };
                    // Nobody listens any more only when the process is ending.
                    if sender.send(asked).is_err() {
                        return;
                    }
                }
            });
        })?;
        Ok(Self { received, sender: others, later: VecDeque::new() })
    }

    /// For who asks without a signal.
    pub(crate) fn sender(&self) -> SyncSender<ControlCommand> {
        self.sender.clone()
    }

    /// Whether a signal to end has come within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> bool {
        let asked = self.received.recv_timeout(limit);
        matches!(
            asked,
            Ok(ControlCommand::HandOver | ControlCommand::Drain | ControlCommand::EndAtOnce)
                | Err(RecvTimeoutError::Disconnected)
        )
    }

    /// A signal to end, if one has come; others are put off.
    pub(crate) fn ending(&mut self) -> Option<ControlCommand> {
        for asked in self.received.try_iter() {
            let is_same = |known: &ControlCommand| discriminant(known) == discriminant(&asked);
            match asked {
                ControlCommand::Drain | ControlCommand::EndAtOnce => return Some(asked),
                // One more reload is enough, however often it was asked for.
                ControlCommand::Reload | ControlCommand::Reopen | ControlCommand::HandOver
                    if self.later.iter().any(is_same) => {}
                // As many as the admin listener has connections.
                ControlCommand::Reload
                | ControlCommand::Reopen
                | ControlCommand::HandOver
                | ControlCommand::ReloadFor(..) => {
                    self.later.push_back(asked);
                }
            }
        }
        None
    }

    /// Waits for a signal.
    pub(crate) fn next(&mut self) -> ControlCommand {
        // The thread that sends lives as long as the process.
        self.later
            .pop_front()
            .or_else(|| self.received.recv().ok())
            .unwrap_or(ControlCommand::EndAtOnce)
    }

    /// Drains for as long as is configured, or until another signal says to end.
    pub(crate) fn drain(&mut self, running: Running, error_log: &ErrorLog) {
        let limit = running.config().drain_timeout;
        systemd::tell(SystemdState::Stopping);
        let workers = Workers::of(&running);
        log::info!("draining for up to {limit:?}; a second signal ends at once");
        self.finish(&workers, error_log, move || running.drain(limit));
    }

    /// Ends as soon as every request that is cut has its line, or soon anyway.
    pub(crate) fn end_at_once(running: Running) {
        log::info!("ending at once");
        let workers = Workers::of(&running);
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(running.drain(Duration::ZERO)));
        workers.end(&drained);
    }

    /// Leaves everything to another process, and drains what cannot go.
    pub(crate) fn hand_over(
        &mut self,
        running: Running,
        error_log: &ErrorLog,
        channel: Channel,
        addresses: Vec<String>,
    ) {
        let limit = running.config().drain_timeout;
        let workers = Workers::of(&running);
        log::info!("handed over; what still runs ends within {limit:?}");
        self.finish(&workers, error_log, move || running.hand_over(&channel, &addresses, limit));
    }

    /// Waits for the end of what runs, which says how many sessions were cut.
    fn finish(
        &mut self,
        workers: &Workers,
        error_log: &ErrorLog,
        ending: impl FnOnce() -> usize + Send + 'static,
    ) {
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(ending()));
        // What was put off before is answered as if it came now, but for what ends: that is under way.
        for asked in take(&mut self.later) {
            workers.answer(asked, error_log);
        }
        loop {
            match drained.recv_timeout(Duration::from_millis(20)) {
                Ok(0) => return log::info!("drained"),
                Ok(cut) => return log::warn!("the drain limit has passed: {cut} sessions cut"),
                Err(RecvTimeoutError::Disconnected) => return log::error!("the drain failed"),
                Err(RecvTimeoutError::Timeout) => match self.received.try_recv() {
                    Err(_) => {}
                    Ok(
                        asked @ (ControlCommand::Reopen
                        | ControlCommand::Reload
                        | ControlCommand::ReloadFor(..)),
                    ) => {
                        workers.answer(asked, error_log);
                    }
                    Ok(
                        ControlCommand::HandOver
                        | ControlCommand::Drain
                        | ControlCommand::EndAtOnce,
                    ) => {
                        log::warn!("second signal: ending at once");
                        workers.hurry();
                        return workers.end(&drained);
                    }
                },
            }
        }
    }
}

/// What is left of a configuration's run when it ends.
struct Workers {
    commands: Vec<mpsc::Sender<WorkerCommand>>,
    access_log: Option<AccessLog>,
}

impl Workers {
    fn of(running: &Running) -> Self {
        Self { commands: running.commands().to_vec(), access_log: running.access_log().cloned() }
    }

    /// Does what can still be done while they end.
    fn answer(&self, asked: ControlCommand, error_log: &ErrorLog) {
        match asked {
            ControlCommand::Reopen => {
                error_log.reopen();
                self.access_log.as_ref().inspect(|log| log.reopen());
            }
            ControlCommand::Reload => log::warn!("not reloaded: draining"),
            ControlCommand::ReloadFor(_, outcome) => {
                // Whoever asked may have gone.
                let _ = outcome.send(Err(vec!["draining".to_owned()]));
            }
            ControlCommand::HandOver | ControlCommand::Drain | ControlCommand::EndAtOnce => {}
        }
    }

    /// Waits for them no longer than they may need to say what was cut.
    fn end(&self, drained: &Receiver<usize>) {
        if let Ok(cut @ 1..) = drained.recv_timeout(HURRY_LIMIT) {
            log::warn!("{cut} sessions cut");
        }
        self.access_log.as_ref().inspect(|log| log.close());
    }

    /// Has them end now.
    fn hurry(&self) {
        for worker in &self.commands {
            // One that takes no commands any more has ended.
            let _ = worker.try_send(WorkerCommand::Drain { deadline: Instant::now() });
        }
    }
}
