//! The poll machine of a transfer: the request's direction and the answer's in one task.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::Instant;

use super::presence::Presence;
use super::request_log::RequestLog;
use super::retry::{AttemptLimits, Attempts};
use super::transfer_state::{DownloadState, Interruption, UploadState, Waiting};
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind};
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::stream::{ReadHalf, kind_of};
use crate::relay::copy::{Broken, End, Meter};
use crate::termination::ExchangePhase;

/// What the two directions of a transfer share.
pub struct Directions<'a> {
    request_log: Option<&'a RequestLog>,
    attempts: &'a Attempts<'a>,
    presence: &'a Presence,
    activity: &'a Activity,
    /// When the request had been sent, or the wait for a head began.
    sent_at: Activity,
    up: &'a Meter<'a>,
    down: &'a Meter<'a>,
    upload: Cell<UploadState>,
    download: Cell<DownloadState>,
    /// After how many bytes the client waits for a 100, if it does and none has come.
    held_back_at: Cell<Option<u64>>,
}

impl<'a> Directions<'a> {
    /// Both about to begin. What moves either way touches `activity`; after `held_back_at` bytes the
    /// client waits for a 100.
    pub fn new(
        request_log: Option<&'a RequestLog>,
        attempts: &'a Attempts<'a>,
        presence: &'a Presence,
        (activity, up, down): (&'a Activity, &'a Meter<'a>, &'a Meter<'a>),
        held_back_at: Option<u64>,
    ) -> Self {
        Self {
            request_log,
            attempts,
            presence,
            activity,
            sent_at: Activity::new(),
            up,
            down,
            upload: Cell::new(UploadState::Running),
            download: Cell::new(DownloadState::Head),
            held_back_at: Cell::new(held_back_at),
        }
    }

    /// What has become of the request.
    pub fn upload(&self) -> UploadState {
        self.upload.get()
    }

    /// What is logged of the request, if anything is.
    pub fn request_log(&self) -> Option<&'a RequestLog> {
        self.request_log
    }

    /// What has gone to the client.
    pub fn down(&self) -> &'a Meter<'a> {
        self.down
    }

    /// How many bytes of it have gone to the endpoint.
    pub fn sent_bytes(&self) -> u64 {
        self.up.bytes()
    }

    /// The client has been sent an interim answer.
    pub fn passed_on(&self) {
        self.presence.renew();
    }

    /// It was a 100.
    pub fn stop_holding_back(&self) {
        self.held_back_at.set(None);
    }

    /// The upload has ended, in this way; says whether that ends the exchange.
    pub fn uploaded(&self, ended: Result<(), Broken>) -> Result<(), Interruption> {
        self.upload.set(UploadState::after(ended, self.download.get())?);
        self.presence.renew();
        Ok(())
    }

    /// Sends the request, then waits for the client to leave. Ends only if the exchange is to end.
    pub async fn client_side(
        &self,
        mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        mut left: Pin<&mut impl Future<Output = Kind>>,
    ) -> Interruption {
        let sending = poll_fn(|cx| match upload.as_mut().poll(cx) {
            // While the endpoint takes nothing, the client is not read from.
            Poll::Pending if self.up.waits_for() == End::Sink => {
                left.as_mut().poll(cx).map(|kind| Err(Broken { end: End::Source, kind }))
            }
            ended => ended,
        });
        if self.upload.get() == UploadState::Running {
            let ended = sending.await;
            if let Err(interruption) = self.uploaded(ended) {
                return interruption;
            }
            self.sent_at.touch();
            if self.download.get() == DownloadState::Head {
                self.await_head();
            }
        }
        Interruption::ClientLeft(left.await)
    }

    /// The request has been sent at once, at this moment if it is known.
    pub fn uploaded_at(&self, now: Option<Instant>) -> Result<(), Interruption> {
        now.inspect(|now| self.sent_at.touch_at(*now));
        self.uploaded(Ok(()))
    }

    /// The wait for the head of another answer begins.
    pub fn begin_answer(&self) {
        self.download.set(DownloadState::Head);
        self.activity.touch();
        self.sent_at.touch();
        self.await_answer();
    }

    /// The head of an answer is waited for, however many steps that takes.
    pub fn await_answer(&self) {
        if self.upload.get() != UploadState::Running {
            self.await_head();
        }
    }

    /// Does a step of the answer, `work`, with the client's side going on meanwhile.
    ///
    /// Not an async function: that would keep its arguments twice.
    pub fn drive<T>(
        &self,
        timer: &mut Timer,
        mut client_side: Pin<&mut impl Future<Output = Interruption>>,
        download: DownloadState,
        mut work: Pin<&mut impl Future<Output = Result<T, Broken>>>,
    ) -> impl Future<Output = Result<T, Fault>> {
        if download != DownloadState::Head {
            self.download.set(download);
            self.activity.touch();
        }
        let both = poll_fn(move |cx| {
            // The request first: it may be what the answer waits for. A client that only waits is
            // looked after only when the answer has to be waited for as well.
            let is_running = self.upload.get() == UploadState::Running;
            if is_running && let Poll::Ready(interruption) = client_side.as_mut().poll(cx) {
                return Poll::Ready(Err(interruption));
            }
            match work.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(done.map_err(Interruption::Download)),
                Poll::Pending if is_running => Poll::Pending,
                Poll::Pending => client_side.as_mut().poll(cx).map(Err),
            }
        });
        let mut driven = timer.until(|| self.deadline(), both);
        poll_fn(move |cx| {
            let ended = Pin::new(&mut driven).poll(cx);
            ended.map(|ended| self.ended(ended, download))
        })
    }

    /// Waits for the first bytes of the answer to a request that has been sent. The same as a step of
    /// [`Directions::drive`] in one poll, since nearly every exchange waits for this and for nothing else: 200
    /// instructions less.
    pub fn first_bytes(
        &self,
        timer: &mut Timer,
        mut client_side: Pin<&mut impl Future<Output = Interruption>>,
        from: &mut ReadHalf<'_>,
        received: &mut Buffer,
    ) -> impl Future<Output = Result<(), Fault>> {
        let source = |kind| Interruption::Download(Broken { end: End::Source, kind });
        let reading = poll_fn(move |cx| match from.poll_read(cx, received) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(source(Kind::Closed))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(source(kind_of(&error)))),
            Poll::Pending => client_side.as_mut().poll(cx).map(Err),
        });
        let mut waiting = timer.until(|| self.deadline(), reading);
        poll_fn(move |cx| {
            let ended = Pin::new(&mut waiting).poll(cx);
            ended.map(|ended| self.ended(ended, DownloadState::Head))
        })
    }

    /// What a step of the answer has come to.
    #[inline]
    fn ended<T>(
        &self,
        ended: Result<Result<T, Interruption>, Elapsed>,
        download: DownloadState,
    ) -> Result<T, Fault> {
        let ended = ended.unwrap_or_else(|Elapsed| Err(self.timed_out()));
        ended.map_err(|interruption| interruption.fault(self.upload.get(), download))
    }

    /// The request has been sent, as far as it will be: its answer is what is waited for.
    fn await_head(&self) {
        if let Some(request_log) = self.request_log {
            request_log.enter(ExchangePhase::ResponseHead);
        }
    }

    /// Whether the client sends no more of its request before it is sent a 100: a request is then as
    /// good as sent.
    fn is_held_back(&self) -> bool {
        Some(self.up.bytes()) == self.held_back_at.get() && self.up.waits_for() == End::Source
    }

    fn deadline(&self) -> Instant {
        let ends = [self.left_at(), self.presence.expires()];
        ends.into_iter().flatten().fold(self.stalled_at(), Instant::min)
    }

    /// When something must have moved.
    fn stalled_at(&self) -> Instant {
        let AttemptLimits { timeouts, head, by } = self.attempts.limits();
        let answered_by = |since: Instant| by.map_or(since + head, |by| by.min(since + head));
        match (self.download.get(), self.upload.get()) {
            (DownloadState::Head, UploadState::Running) if self.is_held_back() => {
                answered_by(self.activity.last())
            }
            (DownloadState::Head, UploadState::Running)
            | (DownloadState::Interim | DownloadState::Switching | DownloadState::Body, _) => {
                self.activity.last() + timeouts.idle
            }
            (
                DownloadState::Head,
                UploadState::Done
                | UploadState::Refused
                | UploadState::Reset
                | UploadState::BrokenOff(_),
            ) => answered_by(self.sent_at.last()),
        }
    }

    /// When a client that has ended its direction is taken to have left. While it is still being
    /// read from, or is slow to take what there is for it, other deadlines apply.
    fn left_at(&self) -> Option<Instant> {
        match (self.download.get(), self.upload.get(), self.down.waits_for()) {
            (_, UploadState::Running, _)
            | (
                DownloadState::Interim | DownloadState::Switching | DownloadState::Body,
                _,
                End::Sink,
            ) => None,
            (DownloadState::Head, ..) => self.presence.deadline(),
            (DownloadState::Interim | DownloadState::Switching | DownloadState::Body, ..) => {
                self.presence.deadline_after(self.activity.last())
            }
        }
    }

    fn timed_out(&self) -> Interruption {
        let (left, stalled) = (self.left_at(), self.stalled_at());
        let is_first = |at: Instant| at <= left.map_or(stalled, |left| left.min(stalled));
        if self.presence.expires().is_some_and(is_first) {
            return Interruption::ClientLeft(Kind::Deadline);
        }
        if left.is_some_and(|left| left <= stalled) {
            return Interruption::ClientLeft(Kind::Closed);
        }
        let (up, down) = (self.up.waits_for(), self.down.waits_for());
        Interruption::TimedOut(Waiting { up, down, is_held_back: self.is_held_back() })
    }
}
