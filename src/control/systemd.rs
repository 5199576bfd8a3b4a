//! What systemd is told (`sd_notify(3)`), and the sockets it has opened (`sd_listen_fds(3)`).
//! Without systemd nothing is told, and there are no sockets.

use std::io;
use std::thread;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::Socket;

use super::listeners::InheritedListener;
use super::workers::WorkerHandles;
use crate::address::Address;

/// What becomes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemdState {
    /// It accepts connections.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// It ends when what runs has.
    Stopping,
}

/// Says what becomes of the process; of the one that took over from another, too.
pub(crate) fn tell(stage: SystemdState) {
    let pid = NotifyState::MainPid(std::process::id());
    let told = match stage {
        SystemdState::Ready => sd_notify::notify(&[NotifyState::Ready, pid]),
        SystemdState::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        SystemdState::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        log::warn!("systemd cannot be told: {error}");
    }
}

/// Says that the process is alive for as long as every worker answers, if that is asked for
/// (`WatchdogSec=`): on a thread of its own, since the others may have to wait for files or names.
pub(crate) fn watch(workers: WorkerHandles) -> io::Result<()> {
    let Some(interval) = sd_notify::watchdog_enabled() else { return Ok(()) };
    let watching = move || {
        loop {
            if let Some(index) = workers.stuck(interval / 4) {
                log::error!(
                    "worker {index} does not answer; systemd is not told that the process is alive"
                );
            } else if sd_notify::notify(&[NotifyState::Watchdog]).is_err() {
                return;
            }
            thread::sleep(interval / 4);
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).spawn(watching)?;
    Ok(())
}

/// The listening sockets that this process was started with, by their addresses. To be asked for
/// once, before there are threads: they are taken out of the environment.
pub(crate) fn activated() -> io::Result<Vec<InheritedListener>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len()).map(|index| take(&mut passed, index)).collect()
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<InheritedListener> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    if let Ok(listener) = passed.take_tcp_listener(index) {
        let listener = listener.ok_or_else(gone)?;
        let address = Address::Tcp(listener.local_addr()?);
        return Ok(InheritedListener::activated(address, Socket::from(listener)));
    }
    let listener = passed.take_unix_listener(index)?.ok_or_else(gone)?;
    let address = listener.local_addr()?;
    let path = address.as_pathname().ok_or_else(gone)?;
    Ok(InheritedListener::activated(Address::Unix(path.to_owned()), Socket::from(listener)))
}
