//! The balancer as a library: with filters of one's own, as a process or within one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::address::Address;
use crate::config::Config;
use crate::config::admin::Token;
use crate::config::errors::ConfigErrors;
use crate::config::mistake::{Mistake, Place};
use crate::control::dry_run::DryRun;
use crate::control::error_logging::log_to;
use crate::control::process::{Background, Identity, enter_background, raise_file_limit};
use crate::control::signals::{ControlLine, Signals};
use crate::control::{
    self, RunOptions, StartError, Upgrade, WorkerMain, rules_worker, worker_main,
};
use crate::filters::Filters;
use crate::filters::chain::Chain;
use crate::filters::rules::Rules;

/// How long what was said last may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A balancer that is about to run.
///
/// [`Evener::run`] makes the process a balancer, like the program `evener`; [`Evener::start`] runs one within a
/// process that has its own plans.
///
/// ```no_run
/// use evener::{Config, Evener};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let config = Config::from_words(["--listen", "127.0.0.1:8080", "--route", "/=10.0.0.1:80"])?;
///     Ok(Evener::new(config).run()?)
/// }
/// ```
#[must_use]
pub struct Evener {
    config: Config,
    main: WorkerMain,
    signals: Option<Signals>,
}

impl Evener {
    /// With this configuration, and no filters but its rules.
    pub fn new(config: Config) -> Self {
        Self { config, main: rules_worker(), signals: None }
    }

    /// With these filters, after the rules of the configuration. One value serves all threads. For several, see
    /// [`Chain`]; a second call replaces the first.
    pub fn filters<F: Filters>(self, filters: F) -> Self {
        Self { main: worker_main(Arc::new(Chain(Rules, filters))), ..self }
    }

    /// With signals that have been taken already, before there were other threads.
    #[doc(hidden)]
    pub fn signals(self, signals: Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// Checks what a start takes besides a valid configuration: the user and group to become, and the admin listener's
    /// token. Tries what else it takes from this machine: addresses to listen at, and places of logs, of the PID file
    /// and of the upgrade socket, without listening, creating a file or disturbing a process that runs.
    ///
    /// Returns the configuration, with what may not be what was meant in its warnings, and what would keep
    /// [`Evener::run`] from starting, if anything would.
    pub fn check(self) -> Result<(Config, Vec<StartError>), ConfigErrors> {
        let mut config = self.config;
        let identity = settle_identity(&mut config)?;
        token(&config)?;
        let DryRun { refusals, warnings } = DryRun::of(&config, identity);
        config.warnings.extend(warnings);
        Ok((config, refusals))
    }

    /// Runs until a signal ends it, as `docs/operations.md` describes: SIGTERM drains, SIGINT ends at once, SIGHUP
    /// reads the configuration again if it came from words or a file, SIGUSR1 reopens the logs, SIGQUIT hands over.
    /// What is logged goes to the error log of the configuration, unless the program has installed a logger.
    ///
    /// To be called before the program starts other threads, which would get the signals instead.
    pub fn run(self) -> Result<(), RunError> {
        let Self { mut config, main, signals } = self;
        let thread = |error| RunError::Start(StartError::Thread(error));
        let signals = signals.map_or_else(Signals::take, Ok).map_err(thread)?;
        let identity = settle_identity(&mut config)?;
        let token = token(&config)?;
        let mut daemon = None;
        if config.launch.daemon {
            match enter_background().map_err(thread)? {
                Background::Starter(0) => return Ok(()),
                Background::Starter(code) => return Err(RunError::Background(code)),
                Background::Daemon(this) => daemon = Some(this),
            }
        }
        let error_log = log_to(config.error_log.as_deref(), config.log_level, identity)?;
        raise_file_limit();
        let upgrade = if config.launch.upgrade { Upgrade::TakeOver } else { Upgrade::Fresh };
        let around = RunOptions {
            identity: Some(identity),
            error_log: Some(error_log.clone()),
            daemon,
            token,
            upgrade,
            main,
            signals,
            started: None,
        };
        let ended = control::run(config, around);
        error_log.flush(LAST_WORDS);
        Ok(ended?)
    }

    /// Starts it on threads of its own and returns once it accepts connections. The process stays the caller's: no
    /// signal is taken, no user assumed, nothing told to systemd, and what is logged goes to the logger of the program.
    /// Only the number of descriptors is raised to what the process may have, which the limits on connections go by.
    pub fn start(self) -> Result<EvenerHandle, RunError> {
        let Self { config, main, .. } = self;
        let token = token(&config)?;
        raise_file_limit();
        let signals = Signals::none();
        let line = signals.line();
        let (sender, receiver) = sync_channel(1);
        let told = sender.clone();
        let started: control::Started = Box::new(move |running, _| {
            // Whoever started it waits.
            let _ = told.send(Ok(running.addresses().cloned().collect::<Vec<_>>()));
        });
        let around = RunOptions {
            identity: None,
            error_log: None,
            daemon: None,
            token,
            upgrade: Upgrade::Fresh,
            main,
            signals,
            started: Some(started),
        };
        let work = move || {
            if let Err(error) = control::run(config, around) {
                let _ = sender.send(Err(error));
            }
        };
        let spawned = thread::Builder::new().name("control".to_owned()).spawn(work);
        let thread = spawned.map_err(StartError::Thread)?;
        let gone = |_| Err(StartError::Thread(io::Error::other("it has panicked")));
        let addresses = receiver.recv().unwrap_or_else(gone)?;
        Ok(EvenerHandle { addresses, line, thread: Some(thread) })
    }
}

/// A balancer that runs within a process. Dropping it drains it, like [`EvenerHandle::stop`].
pub struct EvenerHandle {
    addresses: Vec<Address>,
    line: ControlLine,
    thread: Option<JoinHandle<()>>,
}

impl EvenerHandle {
    /// Where it listens, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The first of them that is not a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        })
    }

    /// Follows another configuration from now on, without closing a connection, and says what that changes. If it is
    /// refused, nothing has changed; the reasons are the error. Blocks until all workers have followed.
    pub fn reload(&self, config: Config) -> Result<Vec<String>, Vec<String>> {
        self.line.adopt(config).map(|reloaded| reloaded.changes)
    }

    /// Takes no more connections and returns once what runs has finished, for up to the configuration's
    /// `drain_timeout`.
    pub fn stop(mut self) {
        self.line.drain();
        self.join();
    }

    /// Cuts what runs, and returns when that is done.
    pub fn stop_at_once(mut self) {
        self.line.end();
        self.join();
    }

    fn join(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the control thread has panicked");
        }
    }
}

impl Drop for EvenerHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.line.drain();
            self.join();
        }
    }
}

/// Why a balancer did not run.
#[derive(Debug)]
pub enum RunError {
    /// What is configured cannot be: a user that does not exist, or a token that cannot be read.
    Config(ConfigErrors),
    /// It could not start, such as at a port in use.
    Start(StartError),
    /// The process in the background has ended with this code, and said why.
    Background(u8),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Background(code) => write!(f, "the process in the background has ended: {code}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<ConfigErrors> for RunError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<StartError> for RunError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Whom to become, and what to say about it.
fn settle_identity(config: &mut Config) -> Result<Identity, ConfigErrors> {
    let launch = &config.launch;
    let identity = Identity::find(launch.user.as_deref(), launch.group.as_deref())
        .map_err(|what| wrong(&launch.identity_place, what))?;
    let files = config.plan.tls.as_ref().map_or_else(Vec::new, |tls| tls.files());
    config.warnings.extend(identity.warnings(files.iter().map(|file| &*file.path)));
    Ok(identity)
}

/// The token of the admin listener. Read once: whom the process becomes need not be able to.
fn token(config: &Config) -> Result<Option<Token>, ConfigErrors> {
    let path = config.admin.as_ref().and_then(|admin| admin.token_file.as_ref());
    path.map(|path| Token::read(path))
        .transpose()
        .map_err(|what| wrong(&config.launch.token_place, what))
}

fn wrong(place: &Place, what: String) -> ConfigErrors {
    ConfigErrors::from(vec![Mistake { place: place.clone(), what }])
}
