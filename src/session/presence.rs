//! Whether the client is still there while it is not read from.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Kind;
use crate::net::socket::HangUp;
use crate::relay::ends::Source;

/// What is known of that.
///
/// A client that ends its direction may be gone, or may have said all and still be reading: it is
/// waited for, but not for long.
#[derive(Debug)]
pub struct Presence {
    /// How long a client that has ended its direction is answered while there is nothing to pass on
    /// to it; without a limit if `None`.
    half_close: Option<Duration>,
    /// When it ended its direction, or when something was passed on to it after that.
    half_closed: Cell<Option<Instant>>,
    /// Until when it waits at all.
    expires: Option<Instant>,
}

impl Presence {
    /// Of a client that is there, and waits until `expires`.
    pub fn new(half_close: Option<Duration>, expires: Option<Instant>) -> Self {
        Self { half_close, half_closed: Cell::new(None), expires }
    }

    /// Waits until the client is gone and returns how it went. That it has ended its direction is
    /// noted: from then on there is a [`Presence::deadline`].
    ///
    /// Not an async function: that would keep its arguments twice.
    pub fn left<'a>(&'a self, client: Source<'a>) -> impl Future<Output = Kind> + use<'a> {
        async move {
            if self.half_closed.get().is_none() {
                match client.hung_up().await {
                    HangUp::Gone => return client.parting(),
                    HangUp::HalfClosed => self.half_closed.set(Some(Instant::now())),
                }
            }
            client.gone_after_half_close().await;
            client.parting()
        }
    }

    /// Something has been passed on to the client, or can be only now.
    pub fn renew(&self) {
        if self.half_closed.get().is_some() {
            self.half_closed.set(Some(Instant::now()));
        }
    }

    /// Until when it waits at all, if it has said so.
    pub fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Until when a client is waited for to which nothing is passed on, and how it has left then.
    pub fn end(&self) -> Option<(Instant, Kind)> {
        let left = self.deadline().map(|at| (at, Kind::Closed));
        let expired = self.expires.map(|at| (at, Kind::Deadline));
        left.into_iter().chain(expired).min_by_key(|(at, _)| *at)
    }

    /// Until when something must have been passed on to a client that has ended its direction.
    pub fn deadline(&self) -> Option<Instant> {
        self.half_closed.get()?.checked_add(self.half_close?)
    }

    /// The same if something was passed on to it at `last`.
    pub fn deadline_after(&self, last: Instant) -> Option<Instant> {
        self.half_closed.get()?.max(last).checked_add(self.half_close?)
    }
}
