//! How two processes come together for an upgrade, and part.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::offer;
use super::takeover::Takeover;
use crate::address::Address;
use crate::admin::AdminListener;
use crate::control::inbox::ControlCommand;
use crate::control::running::Running;
use crate::control::signals::Signals;
use crate::control::start_error::StartError;
use crate::net::upgrade_socket::{Channel, Owner, UpgradeSocket};

/// Between two looks for another process, or for a signal.
const PAUSE: Duration = Duration::from_millis(20);

/// What has come of an offer to hand over.
pub(crate) enum Offered {
    /// There is no `--upgrade-sock`.
    Nowhere,
    /// The other process has taken over.
    Taken(Taken),
    /// Nothing has changed, and why.
    Failed(String),
    /// A signal came first that says to end.
    Interrupted(ControlCommand),
}

/// A process that has taken over.
pub(crate) struct Taken {
    /// Where connections that rest go.
    pub(crate) channel: Channel,
    /// Where it accepts connections.
    pub(crate) addresses: Vec<String>,
    /// Whether the pid file is its own from now on.
    pub(crate) has_pid_file: bool,
}

/// Looks for another process at `--upgrade-sock` and offers it everything, until it has taken over or
/// the limit has passed.
pub(crate) fn offer(
    running: &Running,
    admin: Option<&AdminListener>,
    pid_file: Option<BorrowedFd<'_>>,
    signals: &Signals,
) -> Offered {
    let config = running.config();
    let Some(path) = &config.upgrade_sock else { return Offered::Nowhere };
    let limit = config.upgrade_timeout;
    log::info!("waiting up to {limit:?} at {} for a new process to take over", path.display());
    let mut watch = PollUntil { deadline: Instant::now() + limit, signals };
    let mut unwelcome = None;
    let join = || {
        let joined = Channel::join(path);
        // What is wrong may be put right while there is time.
        let joined = joined.unwrap_or_else(|error| {
            unwelcome = Some(error);
            None
        });
        if joined.is_none() {
            thread::sleep(PAUSE);
        }
        Ok(joined)
    };
    let joined = watch.until(join).map_err(|offered| match (offered, unwelcome) {
        (Offered::Failed(reason), Some(error)) => {
            Offered::Failed(format!("{reason}: {}: {error}", path.display()))
        }
        (offered, _) => offered,
    });
    let taken = joined.and_then(|channel| {
        let failed = |error: io::Error| Offered::Failed(error.to_string());
        let mut give = || {
            running
                .offer(&channel, admin.map(AdminListener::lend), watch.deadline)
                .map_err(failed)?;
            let addresses = watch.until(|| offer::is_ready(&channel, PAUSE))?;
            let given = offer::give(&channel, running.plan(), pid_file);
            Ok((addresses, given.map_err(failed)?))
        };
        match give() {
            Ok((addresses, has_pid_file)) => Ok(Taken { channel, addresses, has_pid_file }),
            Err(offered) => {
                offer::withdraw(&channel);
                Err(offered)
            }
        }
    });
    taken.map_or_else(|offered| offered, Offered::Taken)
}

/// Waits until another process hands over.
pub(crate) fn wait(
    path: &Path,
    limit: Duration,
    owner: Owner,
    signals: &Signals,
) -> Result<Takeover, StartError> {
    let upgrade_socket = UpgradeSocket::at(path, owner).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        StartError::TakeOver(io::Error::new(error.kind(), what))
    })?;
    log::info!("waiting for up to {limit:?} to be handed over to: SIGQUIT to the old process");
    let mut watch = PollUntil { deadline: Instant::now() + limit, signals };
    watch.until(|| Takeover::receive(&upgrade_socket, PAUSE)).map_err(|offered| {
        StartError::TakeOver(match offered {
            Offered::Failed(reason) if reason == LATE => io::ErrorKind::TimedOut.into(),
            Offered::Failed(reason) => io::Error::other(reason),
            _ => io::ErrorKind::Interrupted.into(),
        })
    })
}

/// Why no process was found.
const LATE: &str = "nobody has come in time";

/// How long to look for something.
struct PollUntil<'a> {
    deadline: Instant,
    signals: &'a Signals,
}

impl PollUntil<'_> {
    /// Looks again and again until there is something.
    fn until<T>(&mut self, mut look: impl FnMut() -> io::Result<Option<T>>) -> Result<T, Offered> {
        loop {
            match look() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => return Err(Offered::Failed(error.to_string())),
            }
            if let Some(asked) = self.signals.ending() {
                return Err(Offered::Interrupted(asked));
            }
            if Instant::now() >= self.deadline {
                return Err(Offered::Failed(LATE.to_owned()));
            }
        }
    }
}

/// Begins to accept from what was handed over, as soon as the old process has given it away.
pub(crate) fn settle(
    inheritance: Takeover,
    running: &mut Running,
    admin: Option<&Address>,
    signals: &Signals,
    claim: impl FnOnce(Option<OwnedFd>) -> bool,
) -> Result<(), StartError> {
    if signals.ending().is_some() {
        return Err(StartError::TakeOver(io::ErrorKind::Interrupted.into()));
    }
    let settled = inheritance.settle(running.addresses().chain(admin), running.plan(), claim);
    let settled = settled.map_err(StartError::TakeOver)?;
    running.accept();
    match settled {
        Some(channel) => running.take_in(channel).map_err(StartError::TakeOver),
        None => Ok(()),
    }
}
