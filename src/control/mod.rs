//! The control thread: starts the workers, checks the endpoints, reloads, and ends it all on a
//! signal.

mod checks;
pub mod demo;
pub mod error_log;
pub mod origin;
pub mod process;
mod running;
mod signals;
mod succession;
mod systemd;
mod upgrade;

pub use running::{Running, StartError, start};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Config, Loader};
use crate::net::handover::{Channel, Meeting, Owner};
use error_log::ErrorLog;
use process::{Daemon, Errors, Identity, PidFile};
use signals::{Asked, Signals};
use systemd::Stage;
use upgrade::Inheritance;

/// What a balancer is started with besides its configuration.
pub struct Surroundings {
    /// Reads the configuration anew for a reload.
    pub loader: Loader,
    /// Whom to become.
    pub identity: Option<Identity>,
    /// Where it logs, if to a file.
    pub error_log: Option<ErrorLog>,
    /// Whom to tell that it runs, if it is to go on in the background.
    pub daemon: Option<Daemon>,
    /// Whether another process is to hand over to it.
    pub upgrade: Upgrade,
}

/// How a process comes by its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It binds them.
    Fresh,
    /// It takes them over from a process that runs.
    TakeOver,
}

/// Between two looks for another process, or for a signal.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs a balancer until a signal ends it.
pub fn run(config: Config, around: Surroundings) -> Result<(), StartError> {
    let Surroundings { loader, identity, error_log, daemon, upgrade } = around;
    // Before there are threads: it changes the environment.
    let activated = systemd::activated().map_err(StartError::TakeOver)?;
    let mut inheritance = (!activated.is_empty()).then(|| Inheritance::of_listeners(activated));
    let mut signals = Signals::install().map_err(StartError::Thread)?;
    let (path, mut pid_file) = (config.pid_file.clone(), None);
    let owner = identity.map_or((None, None), Identity::owner);
    if upgrade == Upgrade::TakeOver
        && let Some(path) = &config.upgrade_sock
    {
        inheritance = Some(wait(path, config.upgrade_timeout, owner, &mut signals)?);
    }
    let write = |path: PathBuf| {
        let written = PidFile::write(&path);
        written.map_err(|error| StartError::File(path, error))
    };
    let mut running = start(config, inheritance.as_mut(), || {
        // Its place may be one that only whom we are now can write to.
        if upgrade == Upgrade::Fresh
            && let Some(path) = path.clone()
        {
            pid_file = Some(write(path)?);
        }
        identity.map_or(Ok(()), Identity::assume).map_err(StartError::Identity)
    })?;
    if let Some(inheritance) = inheritance {
        if signals.ending().is_some() {
            return Err(StartError::TakeOver(io::ErrorKind::Interrupted.into()));
        }
        let settled = inheritance.settle(running.addresses()).map_err(StartError::TakeOver)?;
        running.accept();
        if let Some(channel) = settled {
            running.take_in(channel).map_err(StartError::TakeOver)?;
        }
        if upgrade == Upgrade::TakeOver
            && let Some(path) = path
        {
            // Too late to go back: a file that cannot be written is said, and that is all.
            pid_file = write(path).map_err(|error| log::error!("{error}")).ok();
        }
    }
    for address in running.addresses() {
        log::info!("listening on {address}, {} threads", running.config().threads);
    }
    systemd::watch(running.commands().to_vec()).map_err(StartError::Thread)?;
    systemd::tell(Stage::Ready);
    if let Some(daemon) = daemon {
        let errors = if error_log.is_some() { Errors::Elsewhere } else { Errors::Standard };
        daemon.ready(errors).map_err(StartError::Thread)?;
    }
    loop {
        match signals.next() {
            Asked::Reload => match load(&loader, &running, &mut signals) {
                Loaded::Read(next) => {
                    reload(&mut running, next);
                    systemd::tell(Stage::Ready);
                }
                Loaded::Interrupted(Asked::EndAtOnce) => break end_at_once(&running),
                Loaded::Interrupted(_) => break signals.drain(running),
            },
            Asked::Reopen => error_log.iter().for_each(ErrorLog::reopen),
            Asked::HandOver => match offer(&running, &mut signals) {
                Offered::Nowhere | Offered::Interrupted(Asked::Drain) => {
                    break signals.drain(running);
                }
                Offered::Interrupted(_) => break end_at_once(&running),
                Offered::Taken(channel, addresses) => {
                    break signals.hand_over(running, channel, addresses);
                }
                Offered::Failed(reason) => log::error!("not handed over, going on: {reason}"),
            },
            Asked::Drain => break signals.drain(running),
            Asked::EndAtOnce => break end_at_once(&running),
        }
    }
    drop(pid_file);
    Ok(())
}

fn end_at_once(running: &Running) {
    log::info!("ending at once");
    running::remove_socket_files(running.addresses());
}

/// What has come of an offer to hand over.
enum Offered {
    /// There is no `--upgrade-sock`.
    Nowhere,
    /// The other process accepts connections, at these addresses.
    Taken(Channel, Vec<String>),
    /// Nothing has changed, and why.
    Failed(String),
    /// A signal came first that says to end.
    Interrupted(Asked),
}

/// Looks for another process at `--upgrade-sock` and offers it everything, until it has taken over or
/// the limit has passed.
fn offer(running: &Running, signals: &mut Signals) -> Offered {
    let config = running.config();
    let Some(path) = &config.upgrade_sock else { return Offered::Nowhere };
    let limit = config.upgrade_timeout;
    log::info!("handing over to who comes to {} within {limit:?}", path.display());
    let mut watch = Watch { deadline: Instant::now() + limit, signals };
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
        running.offer(&channel, watch.deadline).map_err(failed)?;
        let addresses = watch.until(|| upgrade::is_ready(&channel, PAUSE))?;
        upgrade::give(&channel).map_err(failed)?;
        Ok((channel, addresses))
    });
    taken.map_or_else(|offered| offered, |(channel, addresses)| Offered::Taken(channel, addresses))
}

/// Waits until another process hands over.
fn wait(
    path: &Path,
    limit: Duration,
    owner: Owner,
    signals: &mut Signals,
) -> Result<Inheritance, StartError> {
    let meeting = Meeting::at(path, owner).map_err(StartError::TakeOver)?;
    log::info!("waiting for up to {limit:?} to be handed over to: SIGQUIT to the old process");
    let mut watch = Watch { deadline: Instant::now() + limit, signals };
    watch.until(|| Inheritance::receive(&meeting, PAUSE)).map_err(|offered| {
        StartError::TakeOver(match offered {
            Offered::Failed(reason) if reason == LATE => io::ErrorKind::TimedOut.into(),
            Offered::Failed(reason) => io::Error::other(reason),
            _ => io::ErrorKind::Interrupted.into(),
        })
    })
}

/// Why nobody was found.
const LATE: &str = "nobody has come in time";

/// How long to look for something.
struct Watch<'a> {
    deadline: Instant,
    signals: &'a mut Signals,
}

impl Watch<'_> {
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

/// A configuration that was read anew.
enum Loaded {
    /// Or why it makes no sense.
    Read(Result<Config, Vec<String>>),
    /// A signal came first that says to end.
    Interrupted(Asked),
}

/// Reads it on a thread of its own: a file system or a name server may take its time, and a signal
/// to end does not wait for them.
fn load(loader: &Loader, running: &Running, signals: &mut Signals) -> Loaded {
    systemd::tell(Stage::Reloading);
    let (done, read) = sync_channel(1);
    let (loader, threads) = (loader.clone(), running.config().threads);
    let reading = thread::Builder::new().name("reload".to_owned());
    if let Err(error) = reading.spawn(move || {
        // Nobody waits for it any more if a signal has come.
        let _ = done.send(loader.reload(threads));
    }) {
        return Loaded::Read(Err(vec![format!("cannot start a thread: {error}")]));
    }
    loop {
        match read.recv_timeout(Duration::from_millis(20)) {
            Ok(next) => return Loaded::Read(next),
            Err(RecvTimeoutError::Disconnected) => {
                return Loaded::Read(Err(vec!["reading it has failed".to_owned()]));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(asked) = signals.ending() {
            return Loaded::Interrupted(asked);
        }
    }
}

fn reload(running: &mut Running, next: Result<Config, Vec<String>>) {
    let known: Vec<_> = running.addresses().cloned().collect();
    let next = match next {
        Ok(next) => next,
        Err(reasons) => {
            for reason in reasons {
                log::error!("reload refused, nothing has changed: {reason}");
            }
            return;
        }
    };
    let level = next.log_level;
    let reloaded = running.reload(next);
    if reloaded.is_ok() && std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(level);
    }
    match reloaded {
        Ok(changes) if changes.is_empty() => log::info!("reloaded: nothing is different"),
        Ok(changes) => {
            for change in &changes {
                log::info!("reload: {change}");
            }
            for address in running.addresses().filter(|address| !known.contains(address)) {
                log::info!("listening on {address}");
            }
            log::info!("reloaded: {} changes", changes.len());
        }
        Err(error) => log::error!("reload refused, nothing has changed: {error}"),
    }
}
