//! SIGHUP reloads; SIGTERM drains; SIGINT, or a second signal, ends at once (as systemd and people expect).

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::access_log::AccessLog;
use super::running::Running;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGHUP: to read the configuration anew.
    Reload,
    /// SIGUSR1: to open the log files anew.
    Reopen,
    /// SIGTERM or SIGQUIT: to end gently.
    Drain,
    /// SIGINT.
    EndAtOnce,
}

/// The signals of this process, as they come.
pub(super) struct Signals(Receiver<Asked>);

impl Signals {
    /// Takes the signals over from their default action.
    pub(super) fn install() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut term, mut quit, mut int, mut hup, mut usr1) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::quit())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined1())?,
            )
        };
        let (sender, receiver) = sync_channel(4);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let asked = tokio::select! {
                        _ = term.recv() => Asked::Drain,
                        _ = quit.recv() => Asked::Drain,
                        _ = int.recv() => Asked::EndAtOnce,
                        _ = hup.recv() => Asked::Reload,
                        _ = usr1.recv() => Asked::Reopen,
                    };
                    // Nobody listens any more only when the process is ending.
                    if sender.send(asked).is_err() {
                        return;
                    }
                }
            });
        })?;
        Ok(Self(receiver))
    }

    /// Whether a signal to end has come within `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> bool {
        !matches!(self.0.recv_timeout(limit), Ok(Asked::Reload) | Err(RecvTimeoutError::Timeout))
    }

    /// Waits for a signal.
    pub(super) fn next(&mut self) -> Asked {
        // The thread that sends lives as long as the process.
        self.0.recv().unwrap_or(Asked::EndAtOnce)
    }

    /// Drains for as long as is configured, or until another signal says to end.
    pub(super) fn drain(&mut self, running: Running) {
        let limit = running.config().drain_timeout;
        let access_log = running.access_log().cloned();
        log::info!("draining for up to {limit:?}; a second signal ends at once");
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(running.drain(limit)));
        loop {
            match drained.recv_timeout(Duration::from_millis(20)) {
                Ok(0) => return log::info!("drained"),
                Ok(cut) => return log::warn!("the drain limit has passed: {cut} sessions cut"),
                Err(RecvTimeoutError::Disconnected) => return log::error!("the drain failed"),
                Err(RecvTimeoutError::Timeout) => match self.0.try_recv() {
                    Ok(Asked::Reopen) => drop(access_log.as_ref().inspect(|log| log.reopen())),
                    Err(_) => {}
                    Ok(Asked::Reload) => log::warn!("not reloaded: draining"),
                    Ok(Asked::Drain | Asked::EndAtOnce) => {
                        log::warn!("second signal: ending at once");
                        access_log.inspect(AccessLog::close);
                        return;
                    }
                },
            }
        }
    }
}
