//! How a process hands over to another one, and how it ends.

use std::path::PathBuf;
use std::time::Duration;

use super::mistake::Mistakes;
use super::sources::Sources;
use super::value;

/// The socket on which processes hand over, if there is one.
pub(super) fn upgrade_sock(sources: &Sources, mistakes: &mut Mistakes) -> Option<PathBuf> {
    let path = sources.flags.upgrade_sock.as_ref();
    if path.is_none() && sources.flags.upgrade {
        let what = "requires --upgrade-sock PATH, the same as for the old process";
        mistakes.add(&sources.place("upgrade"), what);
    }
    mistakes.take(&sources.place("upgrade-sock"), value::socket_path(path?))
}

/// How long an upgrade waits for the other process.
pub(super) fn upgrade_timeout(sources: &Sources, mistakes: &mut Mistakes) -> Duration {
    let timeout = value::duration(&sources.flags.upgrade_timeout);
    mistakes.note(&sources.place("upgrade-timeout"), timeout, Duration::ZERO)
}

/// How long a drain may take.
pub(super) fn drain_timeout(sources: &Sources, mistakes: &mut Mistakes) -> Duration {
    let timeout = value::duration(&sources.flags.drain_timeout);
    mistakes.note(&sources.place("drain-timeout"), timeout, Duration::ZERO)
}

/// How long to go on accepting before a drain begins.
pub(super) fn shutdown_delay(sources: &Sources, mistakes: &mut Mistakes) -> Duration {
    let delay = value::duration_or_zero(&sources.flags.shutdown_delay);
    mistakes.note(&sources.place("shutdown-delay"), delay, Duration::ZERO)
}
