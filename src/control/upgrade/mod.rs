//! Upgrade without loss: one process hands its listeners, what it knows of its endpoints and its
//! connections at rest to another, and ends when the rest has.
//!
//! ```text
//! old, at SIGQUIT                         new, started with -u
//!   joins the meeting                       waits at --upgrade-sock
//!   Hello, Listener…, Health…, Offered ──▶  reads its configuration, binds, starts its workers
//!   leaves the listeners  ◀── Ready         could accept
//!   Health…, Yours (the pid file) ───────▶  takes over
//!   has handed over       ◀── Mine          accepts
//!   HandedOff (a connection) … ──────────▶  serves it
//!   ends when nothing is left
//! ```
//!
//! Until the new process has said Mine nothing has changed for the old one, and the new one has accepted
//! nothing: whatever goes wrong, the old one goes on, and the new one ends. Between the two the
//! kernel's queues hold what comes.

pub(crate) mod arrivals;
pub(crate) mod meeting;
pub(super) mod message;
pub(crate) mod offer;
pub(crate) mod takeover;
