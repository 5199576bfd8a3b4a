//! One attempt's transfer: the request going up and the answer coming down, side by side.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::Instant;

use super::attempt::{self, Answer, Finality, RequestTraits};
use super::client::{AfterExchange, ClientConnection};
use super::record;
use super::request_log::{RequestLog, RequestTiming, TrafficGuard};
use super::transfer_state::{DownloadState, Interruption, UploadState, Waiting};
use crate::access_log::ExchangePhase;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Progress, Side, Stage};
use crate::http::h1::scan::Scan;
use crate::http::message::head::Version;
use crate::id::RouteId;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::delivery::CloseKind;
use crate::net::pool::Lease;
use crate::net::stream::{ReadHalf, WriteHalf};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::{Body, relay};
use crate::relay::copy::{Broken, End, Meter};
use crate::relay::head::read_head;
use crate::upstream::settings::UpstreamTimeouts;

/// Interim responses passed on before the final one must come.
const INTERIM_MAX: usize = 16;

/// A request whose head has been read and encoded for the endpoint.
pub struct Request {
    /// What its answer needs to know of it.
    pub traits: RequestTraits,
    /// The route it takes, if there is one.
    pub route: Option<RouteId>,
    /// What of its body is not in `outgoing`.
    pub body: Body,
    /// The head as it goes to the endpoint, and the first bytes of the body: kept until an answer
    /// comes, so that another endpoint can be sent the same.
    pub outgoing: Buffer,
    /// When and how it came.
    pub timing: RequestTiming,
}

/// How an attempt failed.
pub struct FailedAttempt {
    /// What ended it.
    pub fault: Fault,
    /// How far it had come.
    pub progress: Progress,
    /// What becomes of the client's connection if it has seen the beginning of an answer.
    pub begun: Option<AfterExchange>,
    /// Whether the connection had been idle and ended before any byte of an answer.
    pub was_stale: bool,
}

/// How an attempt succeeded.
pub enum Completed {
    /// With an answer, whole.
    Answered {
        /// The answer.
        answer: Answer,
        /// What had become of the request by then.
        upload: UploadState,
        /// Whether more than the answer had come.
        surplus: bool,
    },
    /// With a tunnel; the client has been sent the 101.
    Upgraded {
        /// What has come from the endpoint after its head.
        early: Buffer,
    },
}

/// Sends the request and receives the answer, both at once.
pub async fn run(
    client: &mut ClientConnection<'_>,
    request: &mut Request,
    context: &WorkerContext,
    timeouts: &UpstreamTimeouts,
    lease: &mut Lease,
) -> Result<Completed, FailedAttempt> {
    let ClientConnection { stream, input, timer, .. } = client;
    let Request { traits, body, outgoing, route, timing } = request;
    let request_log = timing.request_log();
    let kept = body.passed();
    let activity = Activity::new();
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    let (mut client_read, client_write) = stream.split();
    let (upstream_read, mut upstream_write) = lease.stream.split();
    let phase = if body.has_ended() { ExchangePhase::ResponseHead } else { ExchangePhase::Request };
    let known = outgoing.len() as u64;
    let traffic = TrafficGuard::begin((&context.metrics, request_log), phase, known, (&up, &down));
    let mut transfer = Transfer {
        both: BothWays {
            request_log,
            timeouts,
            activity: &activity,
            sent_at: Activity::new(),
            up: &up,
            down: &down,
            upload: Cell::new(UploadState::Running),
            held_back_at: Cell::new((traits.expects && kept == 0).then_some(known)),
        },
        context,
        route: *route,
        timer,
        client_write,
        upstream_read,
        received: Buffer::new(),
        out: Buffer::new(),
        heard: false,
        begun: None,
    };
    let ended = {
        let upload = pin!(async {
            up.write(&mut upstream_write, outgoing.filled()).await?;
            outgoing.settle();
            relay(body, input, &mut client_read, &mut upstream_write, &up).await
        });
        transfer.run(upload, *traits).await
    };
    drop(traffic);
    let (heard, upload, begun) = (transfer.heard, transfer.both.upload.get(), transfer.begun);
    count_broken_off(context, upload);
    if upload != UploadState::Done {
        // However its connection is closed now, the request must not look whole.
        lease.stream.set_reset_on_close(true);
    }
    let carried = lease.carried;
    lease.carried += up.bytes();
    let fault = match ended {
        Ok(completed) => return Ok(completed),
        Err(fault) => fault,
    };
    let is_underway = heard || body.passed() > kept;
    let sent = if up.bytes() == 0 { Progress::Unsent } else { Progress::Unanswered };
    let progress = if is_underway { Progress::Underway } else { sent };
    let attempt = FailedAttempt { fault, progress, begun, was_stale: false };
    Err(attempt.investigated(lease, carried, upload, traits.method.is_idempotent(), timer).await)
}

impl FailedAttempt {
    /// The same with what the connection can still tell, if that matters: whether it had gone stale
    /// and whether a request that must not be repeated can have arrived. Before it was written,
    /// `carried` bytes had been.
    async fn investigated(
        self,
        lease: &Lease,
        carried: u64,
        upload: UploadState,
        is_idempotent: bool,
        timer: &mut Timer,
    ) -> Self {
        let Self { fault, progress, .. } = self;
        let has_closed = fault.side == Side::Upstream
            && matches!(fault.kind, Kind::Closed | Kind::Reset | Kind::Broken);
        if !has_closed || progress == Progress::Underway {
            return self;
        }
        let is_in_doubt = progress == Progress::Unanswered && !is_idempotent;
        let progress = if is_in_doubt {
            let how = close_kind(fault.kind, upload);
            attempt::progress_of_unanswered(&lease.stream, carried, how, timer).await
        } else {
            progress
        };
        Self { progress, was_stale: lease.is_reused, ..self }
    }
}

fn count_broken_off(context: &WorkerContext, upload: UploadState) {
    if let UploadState::BrokenOff(Kind::Rejected(reject)) = upload {
        context.metrics.rejects[reject as usize].add(1);
    }
}

fn close_kind(kind: Kind, upload: UploadState) -> CloseKind {
    match (kind, upload) {
        // The kernel reports a reset once: after that, even a reset looks like an end.
        (_, UploadState::Reset) => CloseKind::Otherwise,
        (Kind::Closed, _) => CloseKind::InOrder,
        _ => CloseKind::Otherwise,
    }
}

/// A transfer under way.
struct Transfer<'a> {
    both: BothWays<'a>,
    context: &'a WorkerContext,
    route: Option<RouteId>,
    timer: &'a mut Timer,
    client_write: WriteHalf<'a>,
    upstream_read: ReadHalf<'a>,
    /// What has come from the endpoint and not been used.
    received: Buffer,
    /// What is to go to the client.
    out: Buffer,
    /// Whether any byte of an answer has come.
    heard: bool,
    /// Set once the client has been sent bytes of the final answer.
    begun: Option<AfterExchange>,
}

impl Transfer<'_> {
    async fn run(
        &mut self,
        mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        traits: RequestTraits,
    ) -> Result<Completed, Fault> {
        let mut interim = 0;
        loop {
            let length = self.head(upload.as_mut()).await?;
            let is_sent = self.both.upload.get() == UploadState::Done;
            // An answer that comes while the request is still being sent may mean that the client
            // never sends the rest of it.
            let persists = traits.persists && is_sent && !self.context.is_draining();
            let traits = RequestTraits { persists, ..traits };
            let limits = &self.context.plan.limits;
            self.out.clear();
            let mut answer =
                attempt::read_answer(&mut self.received, length, traits, limits, &mut self.out)
                    .map_err(bad_answer)?;
            // An endpoint that answers a request it has not read may take its body for the next.
            answer.upstream_persists &= is_sent;
            match answer.finality {
                Finality::Final => return self.finish(upload, answer).await,
                Finality::Upgrade if is_sent => return self.switch(upload, answer.status).await,
                Finality::Upgrade => return Err(bad_answer(Reject::UnaskedUpgrade)),
                Finality::Interim if interim == INTERIM_MAX => {
                    return Err(bad_answer(Reject::TooManyInterim));
                }
                // RFC 9110 §15.2: an HTTP/1.0 client must not be sent one.
                Finality::Interim if traits.version == Version::Http10 => {}
                Finality::Interim => self.pass_on_interim(upload.as_mut(), answer.status).await?,
            }
            interim += 1;
        }
    }

    /// The final answer begins to go to the client.
    fn answered(&self, status: u16) {
        record::response(self.context, self.route, self.both.request_log, status);
        if let Some(request_log) = self.both.request_log {
            request_log.behind(self.both.down.bytes());
        }
    }

    /// Waits for the head of an answer while the request is on its way; returns its length.
    async fn head(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    ) -> Result<usize, Fault> {
        let length = {
            let Self { both, context, timer, upstream_read: from, received, .. } = self;
            // A head that drips keeps nothing going: only the request's bytes put the deadline off.
            let dripping = Activity::new();
            let meter = Meter::new(&dripping);
            let reading = pin!(async {
                if let (Some(request_log), true) = (both.request_log, received.is_empty()) {
                    if meter.read(from, received).await? == 0 {
                        return Err(Broken { end: End::Source, kind: Kind::Closed });
                    }
                    request_log.heard();
                }
                let read =
                    read_head(from, received, Scan::response(), &context.plan.limits, &meter);
                read.await.map_err(|kind| Broken { end: End::Source, kind })
            });
            both.activity.touch();
            both.sent_at.touch();
            if both.upload.get() != UploadState::Running {
                both.await_head();
            }
            both.drive(timer, upload, DownloadState::Head, reading).await
        };
        self.heard |= !self.received.is_empty();
        length
    }

    async fn pass_on_interim(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        status: u16,
    ) -> Result<(), Fault> {
        // One that is cut must not be followed by an answer of ours.
        self.begun = Some(AfterExchange::Reset);
        self.send(upload, DownloadState::Interim, None).await?;
        self.begun = None;
        if status == 100 {
            self.both.held_back_at.set(None);
        }
        Ok(())
    }

    async fn switch(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        status: u16,
    ) -> Result<Completed, Fault> {
        self.begun = Some(AfterExchange::Reset);
        self.answered(status);
        self.send(upload, DownloadState::Switching, None).await?;
        Ok(Completed::Upgraded { early: std::mem::take(&mut self.received) })
    }

    async fn finish(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        mut answer: Answer,
    ) -> Result<Completed, Fault> {
        // A body that breaks the rules in its first bytes can still be answered with a 502.
        let body = &mut answer.body;
        let is_unframed = body.is_unframed();
        let room = self.out.spare_mut().len();
        let ready = body.admit(&mut self.received, room).map_err(bad_answer)?;
        self.out.append(&self.received.filled()[..ready]);
        body.pass(&mut self.received, ready);
        let cut = answer.ends_with_connection;
        self.begun = Some(if cut { AfterExchange::Reset } else { AfterExchange::Linger });
        self.answered(answer.status);
        // Also if the process ends before the body does.
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(true);
        }
        self.send(upload, DownloadState::Body, Some(&mut answer.body)).await?;
        let upload = self.both.upload.get();
        // The kernel reports a reset once; if the upload met it, the answer seems to end in order.
        if is_unframed && upload == UploadState::Reset {
            return Err(Fault::upstream(Stage::ResponseBody, Kind::Reset));
        }
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(false);
        }
        let surplus = !self.received.is_empty();
        Ok(Completed::Answered { answer, upload, surplus })
    }

    /// Sends `out` to the client, and then what is left of the body of the final answer, while the
    /// request is on its way.
    async fn send(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        state: DownloadState,
        body: Option<&mut Body>,
    ) -> Result<(), Fault> {
        let Self { both, timer, client_write, upstream_read, received, out, .. } = self;
        both.activity.touch();
        let sending = pin!(async {
            both.down.write(client_write, out.filled()).await?;
            out.clear();
            match body {
                Some(body) => relay(body, received, upstream_read, client_write, both.down).await,
                None => Ok(()),
            }
        });
        both.drive(timer, upload, state, sending).await
    }
}

/// What the two directions of a transfer share.
struct BothWays<'a> {
    request_log: Option<&'a RequestLog>,
    timeouts: &'a UpstreamTimeouts,
    activity: &'a Activity,
    /// When the request had been sent, or the wait for a head began.
    sent_at: Activity,
    up: &'a Meter<'a>,
    down: &'a Meter<'a>,
    upload: Cell<UploadState>,
    /// After how many bytes the client waits for a 100, if it does and none has come.
    held_back_at: Cell<Option<u64>>,
}

impl BothWays<'_> {
    /// Does a step of the answer, `work`, and goes on with the upload meanwhile.
    ///
    /// Not an async function: that would keep its arguments twice.
    fn drive<T>(
        &self,
        timer: &mut Timer,
        mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        download: DownloadState,
        mut work: Pin<&mut impl Future<Output = Result<T, Broken>>>,
    ) -> impl Future<Output = Result<T, Fault>> {
        let both = poll_fn(move |cx| {
            if self.upload.get() == UploadState::Running
                && let Poll::Ready(ended) = upload.as_mut().poll(cx)
            {
                self.upload.set(UploadState::after(ended, download)?);
                self.sent_at.touch();
                if download == DownloadState::Head {
                    self.await_head();
                }
            }
            work.as_mut().poll(cx).map_err(Interruption::Download)
        });
        let mut driven = timer.until(move || self.deadline(download), both);
        poll_fn(move |cx| {
            let ended = Pin::new(&mut driven).poll(cx);
            ended.map(|ended| {
                let ended = ended.unwrap_or_else(|Elapsed| Err(self.timed_out()));
                ended.map_err(|interruption| interruption.fault(self.upload.get(), download))
            })
        })
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

    fn deadline(&self, download: DownloadState) -> Instant {
        let timeouts = self.timeouts;
        match (download, self.upload.get()) {
            (DownloadState::Head, UploadState::Running) if self.is_held_back() => {
                self.activity.last() + timeouts.response
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
            ) => self.sent_at.last() + timeouts.response,
        }
    }

    fn timed_out(&self) -> Interruption {
        let (up, down) = (self.up.waits_for(), self.down.waits_for());
        Interruption::TimedOut(Waiting { up, down, is_held_back: self.is_held_back() })
    }
}

fn bad_answer(reject: Reject) -> Fault {
    Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject))
}
