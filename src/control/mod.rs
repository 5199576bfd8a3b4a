//! The control thread: starts the workers and the checks, reloads, and ends it all on a signal.

pub(crate) mod carry_over;
mod certificate_watch;
mod discovered;
pub(crate) mod dry_run;
mod ending;
pub mod error_logging;
pub(crate) mod inbox;
pub(crate) mod listeners;
mod pid_file;
pub mod process;
pub(crate) mod reload;
pub(crate) mod running;
pub mod signals;
pub(crate) mod start_error;
pub(crate) mod state;
pub(crate) mod systemd;
pub(crate) mod upgrade;
pub(crate) mod workers;

pub use running::{Running, start};
pub use start_error::StartError;
pub use workers::{WorkerMain, rules_worker, worker_main};

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

use crate::address::Address;
use crate::admin::{self, AdminListener};
use crate::config::Config;
use crate::config::admin::Token;
use crate::config::loader::Loader;
use crate::discovery::{Discovery, FIRST_LIMIT};
use crate::log::error_log::ErrorLog;
use certificate_watch::CertificateWatch;
use ending::Remains;
use inbox::{ControlCommand, Outcome, Reload};
use pid_file::{Claim, PidFile};
use process::{Daemon, Errors, Identity};
use reload::{Loaded, load, preview, reload, renew};
use signals::Signals;
use state::ControlState;
use systemd::SystemdState;
use upgrade::meeting::{self, Offered, Taken};
use upgrade::takeover::Takeover;

/// What a balancer is started with besides its configuration.
pub(crate) struct RunOptions {
    /// Whom to become.
    pub identity: Option<Identity>,
    /// Where it logs, if that is a log of its own.
    pub error_log: Option<ErrorLog>,
    /// Whom to tell that it runs, if it is to go on in the background.
    pub daemon: Option<Daemon>,
    /// What clients of the admin listener have to know.
    pub token: Option<Token>,
    /// Whether another process is to hand over to it.
    pub upgrade: Upgrade,
    /// What its workers do.
    pub main: WorkerMain,
    /// The signals of the process.
    pub signals: Signals,
    /// Who is told that it runs.
    pub started: Option<Started>,
}

/// What is done once a balancer runs, with the address of its admin listener if it has one.
pub(crate) type Started = Box<dyn FnOnce(&Running, Option<&Address>) + Send>;

/// How a process comes by its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It binds them.
    Fresh,
    /// It takes them over from a process that runs.
    TakeOver,
}

/// Runs a balancer until it is told to end.
pub(crate) fn run(mut config: Config, around: RunOptions) -> Result<(), StartError> {
    let RunOptions { identity, error_log, daemon, token, upgrade, main, signals, started } = around;
    let mut inheritance = activated(&signals)?;
    signals.attend();
    let inbox = Arc::clone(&signals.inbox);
    let discovery = Discovery::new(move || inbox.signal(ControlCommand::Discovery));
    let unanswered = discovery.prepare(&mut config, FIRST_LIMIT);
    config.warnings.extend(unanswered);
    let (pid_path, mut claim) = (config.pid_file.clone(), Claim::Nothing);
    let (asked_for, mut admin) = (config.admin.clone(), None);
    let logs_to_file = config.error_log.is_some();
    let owner = identity.map_or((None, None), Identity::owner);
    if upgrade == Upgrade::TakeOver
        && let Some(path) = &config.upgrade_sock
    {
        inheritance = Some(meeting::wait(path, config.upgrade_timeout, owner, &signals)?);
    }
    let left = inheritance.as_mut().and_then(|inheritance| inheritance.admin.take());
    let loader = config.loader.take();
    let bound = start(config, main, inheritance.as_mut(), || {
        // Its place may be one that only whom we are now can write to.
        if let Some(path) = &pid_path {
            claim = claim_pid_file(path, upgrade)?;
        }
        admin =
            asked_for.map(|admin| AdminListener::bind(&admin.address, left, token)).transpose()?;
        identity.map_or(Ok(()), Identity::assume).map_err(StartError::Identity)
    });
    if bound.is_err() {
        admin.iter().for_each(admin::BoundAdmin::abandon);
    }
    let mut running = bound?;
    running.interrupted_by(signals.interrupt.clone());
    let pid_file;
    if let Some(inheritance) = inheritance {
        let admin = admin.as_ref().map(admin::BoundAdmin::address);
        let predecessor = inheritance.predecessor();
        let inherit = |file| claim.inherit(file);
        meeting::settle(inheritance, &mut running, admin, &signals, inherit)?;
        pid_file = claim.settle(predecessor);
    } else {
        pid_file = claim.settle(None);
    }
    announce(&running);
    if signals.are_taken() {
        systemd::watch(running.workers().clone()).map_err(StartError::Thread)?;
    }
    discovery.follow(&running.config().discovery);
    let control_state = Arc::new(ControlState::new(&running, discovery.clone()));
    let open = |bound: admin::BoundAdmin| {
        bound.open(Arc::clone(&control_state), Arc::clone(&signals.inbox))
    };
    let admin = admin.map(open).transpose().map_err(StartError::Thread)?;
    let watch = CertificateWatch::start(Arc::clone(&signals.inbox)).map_err(StartError::Thread)?;
    watch.follow(running.plan().tls.clone(), running.config().watch_interval);
    signals.tell(SystemdState::Ready);
    if let Some(started) = started {
        started(&running, admin.as_ref().map(AdminListener::address));
    }
    if let Some(daemon) = daemon {
        let errors = if logs_to_file { Errors::Elsewhere } else { Errors::Standard };
        daemon.ready(errors).map_err(StartError::Thread)?;
    }
    let (shared, looking) = (control_state, discovery.clone());
    let control =
        Control { running, loader, shared, watch, discovery, admin, error_log, signals, pid_file };
    control.work();
    looking.end();
    Ok(())
}

/// The sockets that systemd has opened for this process. To be asked for before there are threads, since that
/// changes the environment.
fn activated(signals: &Signals) -> Result<Option<Takeover>, StartError> {
    if !signals.are_taken() {
        return Ok(None);
    }
    let activated = systemd::activated().map_err(StartError::TakeOver)?;
    Ok((!activated.is_empty()).then(|| Takeover::of_listeners(activated)))
}

/// Says where it listens, and what may not be what was meant.
fn announce(running: &Running) {
    for address in running.addresses() {
        log::info!("listening on {address}, {} threads", running.config().threads);
    }
    for warning in &running.config().warnings {
        log::warn!("{warning}");
    }
}

fn claim_pid_file(path: &Path, upgrade: Upgrade) -> Result<Claim, StartError> {
    let claimed = match upgrade {
        Upgrade::Fresh => Claim::fresh(path),
        Upgrade::TakeOver => Claim::successor(path),
    };
    claimed.map_err(|error: io::Error| StartError::File(path.to_owned(), error))
}

/// Who is told what has become of a reload. Whoever asked may have gone.
enum Answer {
    Nobody,
    Later(oneshot::Sender<Outcome>),
    Waiting(SyncSender<Outcome>),
}

impl Answer {
    fn tell(self, outcome: Outcome) {
        match self {
            Self::Nobody => {}
            Self::Later(sender) => drop(sender.send(outcome)),
            Self::Waiting(sender) => drop(sender.send(outcome)),
        }
    }
}

/// The control thread at work.
struct Control {
    running: Running,
    /// Reads the configuration again.
    loader: Option<Arc<Loader>>,
    shared: Arc<ControlState>,
    watch: CertificateWatch,
    discovery: Discovery,
    admin: Option<AdminListener>,
    error_log: Option<ErrorLog>,
    signals: Signals,
    pid_file: Option<PidFile>,
}

impl Control {
    /// Does what it is asked for until that is to end.
    fn work(mut self) {
        loop {
            let (how, given, answer) = match self.signals.inbox.next() {
                ControlCommand::Reload => (Reload::Follow, None, Answer::Nobody),
                ControlCommand::ReloadFor(how, outcome) => (how, None, Answer::Later(outcome)),
                ControlCommand::Adopt(next, outcome) => {
                    (Reload::Follow, Some(next), Answer::Waiting(outcome))
                }
                ControlCommand::Renewal => {
                    self.renew();
                    continue;
                }
                ControlCommand::Discovery => {
                    self.discovered();
                    continue;
                }
                ControlCommand::Reopen => {
                    self.error_log.as_ref().inspect(|log| log.reopen());
                    self.running.access_log().inspect(|log| log.reopen());
                    continue;
                }
                ControlCommand::Ignored => {
                    log::warn!("SIGUSR2 has no meaning here: ignored");
                    continue;
                }
                ControlCommand::HandOver => match self.offer() {
                    Offered::Nowhere => return self.end(&ControlCommand::Drain),
                    Offered::Interrupted(asked) => return self.end(&asked),
                    Offered::Taken(taken) => return self.hand_over(taken),
                    Offered::Failed(reason) => {
                        log::error!("not handed over, going on: {reason}");
                        continue;
                    }
                },
                asked @ (ControlCommand::Drain | ControlCommand::EndAtOnce) => {
                    return self.end(&asked);
                }
            };
            match self.load(given) {
                Loaded::Read(next) => answer.tell(self.reload(how, next)),
                Loaded::Interrupted(asked) => return self.end(&asked),
            }
        }
    }

    /// Reads the configuration again, unless there is another one already.
    fn load(&self, given: Option<Box<Config>>) -> Loaded {
        let (loader, threads) = (self.loader.clone(), self.running.config().threads);
        let next = move || match (given, loader) {
            (Some(given), _) => Ok(*given),
            (None, Some(loader)) => loader.reload(threads),
            (None, None) => Err(vec!["it was made in code: there is nothing to read".to_owned()]),
        };
        load(next, &self.signals, &self.discovery)
    }

    fn reload(&mut self, how: Reload, next: Result<Box<Config>, Vec<String>>) -> Outcome {
        let told = match how {
            Reload::Follow => {
                let told = reload(&mut self.running, next, &self.shared);
                if told.is_ok() {
                    self.follow_certificates();
                }
                told
            }
            Reload::Preview => preview(&self.running, next),
        };
        self.discovery.follow(&self.running.config().discovery);
        self.signals.tell(SystemdState::Ready);
        told
    }

    fn renew(&mut self) {
        let Some(renewal) = self.watch.take() else { return };
        if renew(&mut self.running, renewal, &self.shared) {
            self.follow_certificates();
        }
    }

    fn discovered(&mut self) {
        let found = self.discovery.take(self.running.plan());
        match self.running.adopt(found) {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                for change in changes {
                    log::info!("discovery: {change}");
                }
                self.shared.renewed(self.running.plan(), false);
            }
            Err(error) => {
                log::warn!("endpoints that were found have to wait: {error}");
                self.discovery.put_back();
            }
        }
    }

    fn follow_certificates(&self) {
        let running = &self.running;
        self.watch.follow(running.plan().tls.clone(), running.config().watch_interval);
    }

    /// Offers everything to another process.
    fn offer(&self) -> Offered {
        let pid_file = self.pid_file.as_ref().map(PidFile::lend);
        meeting::offer(&self.running, self.admin.as_ref(), pid_file, &self.signals)
    }

    /// Leaves everything to a process that has taken over.
    fn hand_over(self, taken: Taken) {
        let Taken { channel, addresses, has_pid_file } = taken;
        let pid_file = self.pid_file;
        // Without its own the new process leaves ours to us.
        let _ours = if has_pid_file { pid_file.map(PidFile::leave).and(None) } else { pid_file };
        self.admin.into_iter().for_each(|admin| admin.leave(&addresses));
        let ending = Remains::of(&self.running, self.error_log.as_ref(), &self.signals);
        ending.hand_over(self.running, channel, addresses);
    }

    fn end(self, asked: &ControlCommand) {
        let ending = Remains::of(&self.running, self.error_log.as_ref(), &self.signals);
        if matches!(asked, ControlCommand::EndAtOnce) {
            return ending.end_at_once(self.running);
        }
        self.shared.drains();
        let delay = self.running.config().shutdown_delay;
        if !delay.is_zero() && ending.delay(delay) {
            return ending.end_at_once(self.running);
        }
        ending.drain(self.running);
    }
}
