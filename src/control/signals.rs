//! SIGTERM drains; SIGINT, or a second signal, ends at once (as systemd and people expect).

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::running::{Running, remove_socket_files};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Drain,
    EndAtOnce,
}

/// The signals of this process, as they come.
pub(super) struct Signals(Receiver<Asked>);

impl Signals {
    /// Takes the signals over from their default action.
    pub(super) fn install() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut term, mut int) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let (sender, receiver) = sync_channel(4);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let asked = tokio::select! {
                        _ = term.recv() => Asked::Drain,
                        _ = int.recv() => Asked::EndAtOnce,
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

    /// Whether a signal has come within `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> bool {
        !matches!(self.0.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }

    /// Waits for a signal and does what it asks for.
    pub(super) fn end(&mut self, running: Running, drain_timeout: Duration) {
        if self.0.recv() != Ok(Asked::Drain) {
            log::info!("ending at once");
            return remove_socket_files(&running.addresses);
        }
        log::info!("draining for up to {drain_timeout:?}; a second signal ends at once");
        let (done, drained) = sync_channel(1);
        thread::spawn(move || done.send(running.drain(drain_timeout)));
        loop {
            match drained.recv_timeout(Duration::from_millis(20)) {
                Ok(0) => return log::info!("drained"),
                Ok(cut) => return log::warn!("the drain limit has passed: {cut} sessions cut"),
                Err(RecvTimeoutError::Disconnected) => return log::error!("the drain failed"),
                Err(RecvTimeoutError::Timeout) if self.wait(Duration::ZERO) => {
                    return log::warn!("second signal: ending at once");
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
