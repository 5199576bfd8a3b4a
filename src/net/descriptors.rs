//! What is done when file descriptors run out. They are the process's, so all workers are asked: idle
//! connections to endpoints are closed, since others have more use for their descriptors.

use std::io;

use tokio::sync::Notify;

static WANTED: Notify = Notify::const_new();

/// Whether an error says that there are no more of them, in this process or on this machine.
pub fn are_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The error that says so.
pub fn exhausted() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}

/// Asks every worker to close idle connections.
pub fn ask() {
    WANTED.notify_waiters();
}

/// Waits until [`ask`] is called.
pub async fn asked() {
    WANTED.notified().await;
}
