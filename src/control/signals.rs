//! The signals of this process. They are blocked in every thread from the first line of `main`, and one
//! thread takes them as they come: nothing is lost while the process starts, and none has its default
//! action, which would end it. SIGHUP reloads, SIGUSR1 reopens the log files, SIGQUIT hands over;
//! SIGTERM drains; SIGINT, or a second signal that ends, ends at once (as systemd and people expect).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use rustix::process::{WaitOptions, getpid, waitpid};

use super::inbox::{ControlCommand, Inbox, Outcome};
use super::systemd::{self, SystemdState};
use super::workers::Interrupt;
use crate::config::Config;

/// How long the process may take to end after SIGINT, whatever it is stuck in.
const END_LIMIT: Duration = Duration::from_millis(2900);

/// What a command is made of.
const COMMANDS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGINT,
];

/// The signals of this process, as they come.
pub struct Signals {
    pub(super) inbox: Arc<Inbox>,
    pub(super) interrupt: Interrupt,
    /// Whether commands are being taken: until then a signal to end has its default action.
    is_attended: Arc<AtomicBool>,
    /// Whether the process is ours.
    is_taken: bool,
}

impl Signals {
    /// Those of a process that belongs to somebody else: none come.
    pub(crate) fn none() -> Self {
        Self {
            inbox: Arc::default(),
            interrupt: Interrupt::default(),
            is_attended: Arc::default(),
            is_taken: false,
        }
    }

    /// Where the balancer that heeds these is told something.
    pub(crate) fn line(&self) -> ControlLine {
        ControlLine { inbox: Arc::clone(&self.inbox), interrupt: self.interrupt.clone() }
    }

    /// Whether they have been taken: the process is ours, and its state is what systemd is told.
    pub(crate) fn are_taken(&self) -> bool {
        self.is_taken
    }

    /// Says what becomes of the process, if it is ours.
    pub(crate) fn tell(&self, state: SystemdState) {
        if self.is_taken {
            systemd::tell(state);
        }
    }

    /// Takes the signals over from their default actions. To be called before there is any other
    /// thread: those that are started later inherit what is blocked.
    pub fn take() -> io::Result<Self> {
        let mut taken = SigSet::from_iter(COMMANDS);
        if is_init() {
            taken.add(Signal::SIGCHLD);
        }
        let mut blocked = taken;
        // A file that has reached its limit is an error of that write (setrlimit(2)); by default it
        // would end the process.
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block()?;
        let signals = Self { is_taken: true, ..Self::none() };
        let (inbox, interrupt) = (Arc::clone(&signals.inbox), signals.interrupt.clone());
        let is_attended = Arc::clone(&signals.is_attended);
        let work = move || {
            while let Ok(signal) = taken.wait() {
                if signal == Signal::SIGCHLD {
                    reap(&is_attended);
                    continue;
                }
                let command = command(signal);
                if command.is_end() && !is_attended.load(Ordering::SeqCst) {
                    end_by(signal);
                }
                let is_now = matches!(command, ControlCommand::EndAtOnce);
                inbox.signal(command);
                if is_now {
                    interrupt.set();
                    thread::sleep(END_LIMIT);
                    log::error!("what is stuck is not waited for any longer");
                    exit(0);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(work)?;
        Ok(signals)
    }

    /// Gives the signals their default actions back, for a job that is not a balancer. Init has none:
    /// there the signals to end still do so.
    pub fn give_back(self) -> io::Result<()> {
        let ends = [Signal::SIGTERM, Signal::SIGINT];
        let given = COMMANDS.into_iter().filter(|signal| !is_init() || !ends.contains(signal));
        given.chain([Signal::SIGXFSZ]).collect::<SigSet>().thread_unblock()?;
        if !self.inbox.is_empty() {
            // One came while it was not known yet what the job is.
            end_by(Signal::SIGHUP);
        }
        Ok(())
    }

    /// From now on commands are taken.
    pub(crate) fn attend(&self) {
        self.is_attended.store(true, Ordering::SeqCst);
        reap(&self.is_attended);
    }

    /// Whether any signal has come, for a job that each of them ends.
    pub(crate) fn came(&self) -> bool {
        self.inbox.next_within(Duration::ZERO).is_some()
    }

    /// A signal to end, if one has come; others wait.
    pub(crate) fn ending(&self) -> Option<ControlCommand> {
        self.inbox.end()
    }
}

/// Where a balancer is told something by the program it runs in.
pub(crate) struct ControlLine {
    inbox: Arc<Inbox>,
    interrupt: Interrupt,
}

impl ControlLine {
    /// Has it drain and end.
    pub(crate) fn drain(&self) {
        self.inbox.signal(ControlCommand::Drain);
    }

    /// Has it end at once.
    pub(crate) fn end(&self) {
        self.inbox.signal(ControlCommand::EndAtOnce);
        self.interrupt.set();
    }

    /// Has it follow this configuration, and waits for what comes of that.
    pub(crate) fn adopt(&self, config: Config) -> Outcome {
        let (sender, outcome) = sync_channel(1);
        let gone = |_| Err(vec!["it has ended".to_owned()]);
        match self.inbox.request(ControlCommand::Adopt(Box::new(config), sender)) {
            Ok(()) => outcome.recv().unwrap_or_else(gone),
            Err(_) => Err(vec!["too many reloads wait".to_owned()]),
        }
    }
}

fn command(signal: Signal) -> ControlCommand {
    match signal {
        Signal::SIGHUP => ControlCommand::Reload,
        Signal::SIGUSR1 => ControlCommand::Reopen,
        Signal::SIGUSR2 => ControlCommand::Ignored,
        Signal::SIGQUIT => ControlCommand::HandOver,
        Signal::SIGTERM => ControlCommand::Drain,
        _ => ControlCommand::EndAtOnce,
    }
}

/// Whether this is the first process of its machine or container: no signal has a default action
/// there, and orphans become its children.
fn is_init() -> bool {
    getpid().is_init()
}

/// Ends this process by the signal's default action, as if it had never been caught.
fn end_by(signal: Signal) {
    let mut given = SigSet::empty();
    given.add(signal);
    let _ = given.thread_unblock().and_then(|()| raise(signal));
    // Only init is still there.
    exit(128 + signal as i32);
}

#[expect(clippy::exit, reason = "main may be stuck in what cannot be interrupted")]
fn exit(code: i32) {
    std::process::exit(code);
}

/// Reaps ended children if this process is PID 1, but only once commands are being handled: until
/// then a process that goes on in the background is waited for by its PID.
fn reap(is_attended: &AtomicBool) {
    if is_init() && is_attended.load(Ordering::SeqCst) {
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
    }
}
