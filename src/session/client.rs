//! The client's connection during an exchange, and what becomes of it afterwards.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::client_info::ClientInfo;
use super::presence::Presence;
use super::request_log::RequestLog;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::socket::Unasked;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};
use crate::relay::copy::Meter;

/// How long a client that has been answered may take to stop sending, between two bytes and in
/// all, as in nginx. Closing at once would reset the connection and could destroy the answer on its
/// way (RFC 9112 §9.6).
const LINGER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The client's side of an exchange.
pub struct ClientConnection<'a> {
    /// Its connection.
    pub stream: &'a mut Stream,
    /// Who it is.
    pub client_info: &'a ClientInfo,
    /// What has been read from it and not been used.
    pub input: Buffer,
    /// The session's timer.
    pub timer: &'a mut Timer,
    /// Whether it is still there, during an exchange.
    pub presence: Presence,
}

/// What becomes of the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterExchange {
    /// It carries the next request.
    Reuse,
    /// It is closed; everything was read and written.
    Close,
    /// It is closed once the client has had time to read the answer: it may still be sending.
    Linger,
    /// It is reset, so that the client can tell that the answer was cut short.
    Reset,
}

impl AfterExchange {
    /// The same without waiting for the client.
    #[must_use]
    pub fn hastened(self) -> Self {
        if self == Self::Linger { Self::Close } else { self }
    }
}

impl ClientConnection<'_> {
    /// Whether everything that has come was used: otherwise closing the connection would reset it,
    /// and the reset could overtake our answer. A client that `persists` no longer is not suspected
    /// of sending more: what the reactor has reported is enough.
    pub fn is_quiet(&self, persists: bool) -> bool {
        if persists {
            return self.input.is_empty() && self.stream.is_quiet();
        }
        self.input.is_empty() && self.stream.unasked() != Unasked::Bytes
    }

    /// Does `work`, for which the client waits, until it has ended, `limit` from the first wait has
    /// passed, or the client has left.
    pub async fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, WaitEnded> {
        let Self { stream, timer, presence, .. } = self;
        let (client_read, _) = stream.split();
        let mut left = pin!(presence.left(client_read));
        let either = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => left.as_mut().poll(cx).map(|kind| Err(WaitEnded::ClientLeft(kind))),
        });
        let end = Cell::new(None);
        let deadline = || {
            let due = end.get().unwrap_or_else(|| Instant::now() + limit);
            end.set(Some(due));
            presence.deadline().map_or(due, |left| left.min(due))
        };
        let waited = timer.until(deadline, either).await;
        waited.unwrap_or_else(|Elapsed| {
            let has_left = presence.deadline().is_some_and(|left| Some(left) <= end.get());
            Err(if has_left { WaitEnded::ClientLeft(Kind::Closed) } else { WaitEnded::TimedOut })
        })
    }

    /// Sends a whole buffer, of which each step may take `limit`.
    pub async fn send(
        &mut self,
        out: &Buffer,
        limit: Duration,
        request_log: Option<&RequestLog>,
    ) -> Result<(), Kind> {
        let activity = Activity::new();
        let (_, mut write) = self.stream.split();
        let meter = Meter::new(&activity);
        let writing = pin!(meter.write(&mut write, out.filled()));
        let _sent = request_log.map(|request_log| SentGuard(request_log, &meter));
        match self.timer.while_active(limit, &activity, writing).await {
            Ok(written) => written.map_err(|broken| broken.kind),
            Err(Elapsed) => Err(Kind::TimedOut),
        }
    }
}

/// Why a wait that a client waits for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnded {
    /// Its deadline has passed.
    TimedOut,
    /// The client has left, in this way.
    ClientLeft(Kind),
}

/// Logs how much was sent when it is dropped, even if the task is cancelled.
struct SentGuard<'a>(&'a RequestLog, &'a Meter<'a>);

impl Drop for SentGuard<'_> {
    fn drop(&mut self) {
        self.0.gave(self.1.bytes());
    }
}

/// Reads until the client has seen our end of the connection, so that it reads the answer first.
pub async fn linger((mut read, mut write): (ReadHalf<'_>, WriteHalf<'_>), timer: &mut Timer) {
    let (mut waste, activity) = (Buffer::new(), Activity::new());
    let end = activity.last() + LINGER.1;
    let discarding = pin!(async {
        if write.shutdown().await.is_err() {
            return;
        }
        while matches!(read.read(&mut waste).await, Ok(1..)) {
            waste.clear();
            activity.touch();
        }
    });
    // Whether the client stopped in time makes no difference now.
    let _ = timer.until(|| end.min(activity.last() + LINGER.0), discarding).await;
}
