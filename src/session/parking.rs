//! A client connection between requests: all that is kept of it, and how long it may rest.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::accepted::Accepted;
use super::client_info::ClientInfo;
use crate::drain::{DrainPhase, IDLE_GRACE, SessionGuard};
use crate::net::deadline::{Epoch, PackedInstant, Timer};
use crate::net::hand_off::HandOffClosed;
use crate::net::limiter::ConnectionPermit;
use crate::net::stream::{Mobility, Stream};
use crate::plan::handle::{LetGo, PlanHandle};
use crate::plan::listener::Listener;

/// What a client that rests is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its first request.
    First,
    /// The next one.
    Next,
}

/// How closely requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So closely that what the work on them needs is kept for the next.
    Brisk,
    /// Not so.
    Leisurely,
}

/// Requests that follow each other in less than this are taken to go on that way.
const BRISK: Duration = Duration::from_millis(100);

/// For how long what the work on requests needs is kept when they no longer do: a timer that is set again for
/// each second, and 2.5 KiB.
const REST: Duration = Duration::from_secs(1);

/// How long a client may be idle, however many empty lines it sends meanwhile.
pub struct IdleDeadline {
    /// For what it is waited.
    pub wait: Wait,
    /// When that is; unless it is known, the clock is read only once a wait is needed.
    end: Option<Instant>,
}

impl IdleDeadline {
    /// Of a wait for the next request that follows an answer, which may be idle for `keepalive`. The answer was
    /// sent at that moment, if it is known.
    #[inline]
    pub fn after(answered: Option<Instant>, keepalive: Duration) -> Self {
        Self { wait: Wait::Next, end: answered.map(|answered| answered + keepalive) }
    }

    /// When it ends, by the plan in force when that is first asked; soon, if the connection is to end anyway.
    pub fn end(&mut self, handle: &PlanHandle) -> Instant {
        let limit = || {
            let timeouts = handle.get().plan.timeouts;
            match self.wait {
                Wait::First => timeouts.header,
                Wait::Next => timeouts.keepalive,
            }
        };
        let end = self.end.get_or_insert_with(|| Instant::now() + limit());
        if handle.get().drain.phase() == DrainPhase::Leaving {
            *end = (*end).min(Instant::now() + IDLE_GRACE);
        }
        *end
    }

    /// When a rest is over that is the beginning of a wait until `end`, which is `keepalive` long.
    pub fn rest_end(end: Instant, keepalive: Duration) -> Instant {
        keepalive.checked_sub(REST).and_then(|more| end.checked_sub(more)).unwrap_or(end)
    }

    /// How closely a request that began then has followed the one before.
    pub fn pace_of(&self, began: Instant, keepalive: Duration) -> Pace {
        match (self.wait, self.end) {
            (Wait::First, _) => Pace::Leisurely,
            (Wait::Next, Some(end)) if began + keepalive > end + BRISK => Pace::Leisurely,
            (Wait::Next, _) => Pace::Brisk,
        }
    }

    /// The same in less memory.
    pub fn packed(self, handle: &PlanHandle) -> PackedDeadline {
        let epoch = handle.get().epoch();
        PackedDeadline { wait: self.wait, end: self.end.map(|end| epoch.packed(end)) }
    }
}

/// An [`IdleDeadline`] as a session keeps it.
pub struct PackedDeadline {
    wait: Wait,
    end: Option<PackedInstant>,
}

impl PackedDeadline {
    /// As it was.
    pub fn unpacked(&self, epoch: Epoch) -> IdleDeadline {
        let end = self.end.map(|end| epoch.unpacked(end));
        IdleDeadline { wait: self.wait, end }
    }
}

/// How a wait between requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// There is something to read.
    Readable,
    /// It is to go to another process, with whatever has come.
    Leaving,
    /// It takes a timer to wait for what is left of it.
    EndsSoon,
    /// It has ended, or is to end.
    Over,
}

/// All that is kept of a client connection while it rests.
pub struct Session<F> {
    /// The connection.
    pub stream: Stream,
    /// Its place among all connections.
    pub permit: ConnectionPermit,
    /// Its place among the sessions of its worker.
    pub guard: SessionGuard,
    /// Where it came in.
    pub listener: Rc<Listener<F>>,
    /// Who it is from.
    pub client_info: ClientInfo,
    /// How long it may rest.
    pub deadline: PackedDeadline,
}

impl<F> Session<F> {
    /// One that waits for this.
    pub fn new(accepted: Accepted<F>, client_info: ClientInfo, wait: Wait) -> Self {
        let Accepted { stream, permit, guard, listener, peer: _ } = accepted;
        let deadline = PackedDeadline { wait, end: None };
        Self { stream, permit, guard, listener, client_info, deadline }
    }

    /// The connection, as one that has just been accepted, and who it is from.
    pub fn into_accepted(self) -> (Accepted<F>, ClientInfo) {
        let Self { stream, permit, guard, listener, client_info, deadline: _ } = self;
        let peer = client_info.peer();
        (Accepted { stream, peer, permit, guard, listener }, client_info)
    }

    /// Rests without a timer, as far as the worker sees to the end of that.
    pub fn park(&mut self) -> impl Future<Output = Parked> {
        poll_fn(|cx| match poll_ended(&self.stream, &self.guard, cx) {
            Poll::Pending => self.poll_end(),
            ended @ Poll::Ready(_) => ended,
        })
    }

    fn poll_end(&mut self) -> Poll<Parked> {
        let handle = &self.listener.handle;
        let epoch = handle.get().epoch();
        let mut deadline = self.deadline.unpacked(epoch);
        let end = epoch.second(deadline.end(handle));
        self.deadline = deadline.packed(handle);
        if self.guard.rest_until(end) { Poll::Pending } else { Poll::Ready(Parked::EndsSoon) }
    }

    /// Rests, to the end of that.
    pub async fn park_to_the_end(&mut self) -> Parked {
        let Self { stream, guard, listener, deadline: packed, .. } = self;
        let epoch = listener.handle.get().epoch();
        let (mut timer, mut deadline) = (Timer::new(), packed.unpacked(epoch));
        let waiting = poll_fn(|cx| poll_ended(stream, guard, cx));
        let rested = timer.until(|| deadline.end(&listener.handle), waiting).await;
        *packed = deadline.packed(&listener.handle);
        rested.unwrap_or(Parked::Over)
    }

    /// Goes to another process, if one takes it and no request comes before that.
    pub async fn leave(&self) -> Result<LetGo, HandOffClosed> {
        let Self { stream, client_info, listener, deadline, .. } = self;
        let handed_off = client_info.handed_off(listener.id, deadline.wait == Wait::Next);
        listener.handle.let_go(stream, &handed_off).await
    }
}

/// Ready once something other than its deadline has ended a rest.
fn poll_ended(stream: &Stream, guard: &SessionGuard, cx: &mut Context<'_>) -> Poll<Parked> {
    match (stream.poll_readable(cx), guard.phase()) {
        (_, DrainPhase::Leaving) if stream.mobility() == Mobility::Moves => {
            Poll::Ready(Parked::Leaving)
        }
        (Poll::Ready(Ok(())), _) => Poll::Ready(Parked::Readable),
        (Poll::Ready(Err(_)), _) | (Poll::Pending, DrainPhase::Closing) => {
            Poll::Ready(Parked::Over)
        }
        (Poll::Pending, _) => Poll::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPALIVE: Duration = Duration::from_secs(75);

    #[test]
    fn a_rest_ends_a_second_after_its_wait_began_or_with_it() {
        let began = Instant::now();
        for (keepalive, expected) in [(75_000, 1000), (1000, 1000), (300, 300)] {
            let keepalive = Duration::from_millis(keepalive);
            let end = IdleDeadline::rest_end(began + keepalive, keepalive);
            assert_eq!(end, began + Duration::from_millis(expected), "{keepalive:?}");
        }
    }

    #[test]
    fn requests_less_than_a_tenth_of_a_second_apart_are_brisk() {
        let now = Instant::now();
        for (wait, waited, expected) in [
            (Wait::First, None, Pace::Leisurely),
            (Wait::First, Some(1), Pace::Leisurely),
            (Wait::Next, None, Pace::Brisk),
            (Wait::Next, Some(100), Pace::Brisk),
            (Wait::Next, Some(101), Pace::Leisurely),
        ] {
            let end = waited.map(|waited| now + KEEPALIVE - Duration::from_millis(waited));
            let idle_deadline = IdleDeadline { wait, end };
            assert_eq!(idle_deadline.pace_of(now, KEEPALIVE), expected, "{wait:?} {waited:?}");
        }
    }
}
