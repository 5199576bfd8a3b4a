//! What the control thread is asked for, by signals, by the admin listener, by the watch over
//! certificates and by discovery, until it is done.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Config;

/// How many requests of the admin listener may wait: as many as it has connections.
const REQUESTS_MAX: usize = 32;

/// What has become of a reload, or why it was refused.
pub(crate) type Outcome = Result<Reloaded, Vec<String>>;

/// What has become of a reload that was not refused.
#[derive(Debug, Default)]
pub(crate) struct Reloaded {
    /// What it changes.
    pub changes: Vec<String>,
    /// What is no mistake in the configuration, but may not be what was meant.
    pub warnings: Vec<String>,
}

/// Whether a reload is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// It is.
    Follow,
    /// Only what it would change is asked for.
    Preview,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum ControlCommand {
    /// SIGHUP: to read the configuration again.
    Reload,
    /// The same, by somebody who waits for the outcome.
    ReloadFor(Reload, oneshot::Sender<Outcome>),
    /// To follow this configuration, by somebody who waits for the outcome.
    Adopt(Box<Config>, SyncSender<Outcome>),
    /// Certificates or the keys of session tickets have been renewed.
    Renewal,
    /// Endpoints have been found.
    Discovery,
    /// SIGUSR1: to reopen the log files.
    Reopen,
    /// SIGUSR2, which means nothing here.
    Ignored,
    /// SIGQUIT: to hand over to another process, or to drain if there is nowhere to meet it.
    HandOver,
    /// SIGTERM: to drain.
    Drain,
    /// SIGINT.
    EndAtOnce,
}

impl ControlCommand {
    /// Whether once is enough, however often it was asked for.
    fn is_idempotent(&self) -> bool {
        !matches!(self, Self::ReloadFor(..) | Self::Adopt(..) | Self::Drain | Self::EndAtOnce)
    }

    /// Whether it ends the process.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Drain | Self::EndAtOnce)
    }
}

/// Commands in the order in which they came. A signal always finds room.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<VecDeque<ControlCommand>>,
    arrived: Condvar,
}

impl Inbox {
    /// Takes a command that a signal, the watch over certificates or discovery stands for.
    pub(super) fn signal(&self, command: ControlCommand) {
        let mut waiting = self.lock();
        let is_same = |known: &&ControlCommand| discriminant(*known) == discriminant(&command);
        // A second SIGTERM is another one; what a third would say has been said.
        let most = if command.is_idempotent() { 1 } else { 2 };
        if waiting.iter().filter(is_same).count() < most {
            waiting.push_back(command);
            self.arrived.notify_one();
        }
    }

    /// Takes a request of the admin listener, unless too many wait.
    pub(crate) fn request(&self, command: ControlCommand) -> Result<(), ControlCommand> {
        let mut waiting = self.lock();
        if waiting.iter().filter(|known| !known.is_idempotent()).count() >= REQUESTS_MAX {
            return Err(command);
        }
        waiting.push_back(command);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next command, as soon as there is one.
    pub(super) fn next(&self) -> ControlCommand {
        let mut waiting = self.lock();
        loop {
            if let Some(command) = waiting.pop_front() {
                return command;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next command that comes within `limit`.
    pub(super) fn next_within(&self, limit: Duration) -> Option<ControlCommand> {
        let waiting = self.lock();
        let waited = self.arrived.wait_timeout_while(waiting, limit, |waiting| waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    /// A command to end, if one has come; what else has come waits, but a hand-over, which that
    /// makes void.
    pub(super) fn end(&self) -> Option<ControlCommand> {
        let mut waiting = self.lock();
        let place = waiting.iter().position(ControlCommand::is_end)?;
        let command = waiting.remove(place);
        waiting.retain(|command| !matches!(command, ControlCommand::HandOver));
        command
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// A panic elsewhere leaves a whole queue.
    fn lock(&self) -> MutexGuard<'_, VecDeque<ControlCommand>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_finds_room_whatever_the_admin_listener_asks_for() {
        let inbox = Inbox::default();
        let request = || ControlCommand::ReloadFor(Reload::Preview, oneshot::channel().0);
        for _ in 0..REQUESTS_MAX {
            assert!(inbox.request(request()).is_ok());
        }
        assert!(inbox.request(request()).is_err());
        for _ in 0..100 {
            inbox.signal(ControlCommand::Reload);
        }
        inbox.signal(ControlCommand::Drain);
        assert!(matches!(inbox.end(), Some(ControlCommand::Drain)));
        for _ in 0..REQUESTS_MAX {
            assert!(matches!(inbox.next(), ControlCommand::ReloadFor(..)));
        }
        assert!(matches!(inbox.next(), ControlCommand::Reload));
        assert!(inbox.is_empty());
    }
}
