//! One attempt's conversation: the request going up and the answer coming down, side by side.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use super::attempt::{self, Answer, Finality, RequestTraits};
use super::client_info::ClientInfo;
use super::record;
use super::request_log::{RequestLog, RequestTiming, Tally};
use crate::access_log::ExchangePhase;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Progress, Stage};
use crate::http::h1::scan::Scan;
use crate::http::message::head::Version;
use crate::id::RouteId;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::delivery::CloseKind;
use crate::net::pool::Lease;
use crate::net::stream::{ReadHalf, Stream, Unasked, WriteHalf};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::{Body, relay};
use crate::relay::copy::{Broken, End, Meter};
use crate::upstream::settings::UpstreamTimeouts;

/// Interim responses passed on before the final one must come.
const INTERIM_MAX: usize = 16;

/// The client's side of an exchange.
pub struct Client<'a> {
    /// Its connection.
    pub stream: &'a mut Stream,
    /// Who it is.
    pub client_info: &'a ClientInfo,
    /// What has been read from it and not been used.
    pub input: Buffer,
    /// The session's timer.
    pub timer: &'a mut Timer,
}

impl Client<'_> {
    /// Whether nothing has come that was not used: closing the connection would answer it with a
    /// reset, and that could overtake our answer. Who said `close` need not be suspected of more:
    /// what the reactor has told is enough.
    pub fn is_quiet(&self, traits: RequestTraits) -> bool {
        if traits.persists {
            return self.input.is_empty() && self.stream.is_quiet();
        }
        self.input.is_empty() && self.stream.unasked() != Unasked::Bytes
    }
}

/// A request whose head has been read and written anew.
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

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It carries the next request.
    Reuse,
    /// It is closed; everything was read and written.
    Close,
    /// It is closed once the client has had time to read the answer: it may still be sending.
    Linger,
    /// It is reset, so that the client can tell that the answer was cut short.
    Cut,
}

impl Next {
    /// The same without waiting for the client.
    #[must_use]
    pub fn hastened(self) -> Self {
        if self == Self::Linger { Self::Close } else { self }
    }
}

/// How an attempt failed.
pub struct FailedAttempt {
    /// What ended it.
    pub fault: Fault,
    /// How far it had come.
    pub progress: Progress,
    /// What becomes of the client's connection if it has seen the beginning of an answer.
    pub begun: Option<Next>,
    /// Whether the connection had been idle and ended before any byte of an answer.
    pub was_stale: bool,
}

/// How an attempt ended well.
pub enum Ended {
    /// With an answer, whole.
    Answered {
        /// The answer.
        answer: Answer,
        /// What had become of the request by then.
        sent: Sent,
        /// Whether more than the answer had come.
        surplus: bool,
    },
    /// With a tunnel; the client has been sent the 101.
    Upgraded {
        /// What has come from the endpoint behind its head.
        early: Buffer,
    },
}

/// What has become of the request on its way to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Still on its way.
    Running,
    /// All of it is sent.
    Done,
    /// The endpoint took no more of it; an answer may have come before that.
    Refused,
    /// The endpoint reset its connection: no end that is read from it now is to be believed.
    Reset,
    /// The client broke it off, in this way, when the answer had begun already.
    BrokenOff(Kind),
}

/// What a client does to the exchange by breaking its request off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakingOff {
    /// It ends it: there is nothing to answer.
    Ends,
    /// It does not matter any more: the answer has begun.
    IsNoted,
}

/// Sends the request and receives the answer, both at once.
pub async fn converse(
    client: &mut Client<'_>,
    request: &mut Request,
    context: &WorkerContext,
    timeouts: &UpstreamTimeouts,
    lease: &mut Lease,
) -> Result<Ended, FailedAttempt> {
    let Client { stream, input, timer, .. } = client;
    let Request { traits, body, outgoing, route, timing } = request;
    let request_log = timing.request_log();
    let kept = body.passed();
    let activity = Activity::new();
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    let (mut client_read, client_write) = stream.split();
    let (upstream_read, mut upstream_write) = lease.stream.split();
    let phase = if body.has_ended() { ExchangePhase::ResponseHead } else { ExchangePhase::Request };
    let tally = Tally::begin((context, request_log), phase, outgoing.len() as u64, (&up, &down));
    let mut talk = Transfer {
        context,
        route: *route,
        request_log,
        timeouts,
        timer,
        activity: &activity,
        up: &up,
        down: &down,
        sent: Cell::new(Sent::Running),
        client_write,
        upstream_read,
        received: Buffer::new(),
        out: Buffer::new(),
        awaited: (traits.expects && kept == 0).then_some(outgoing.len() as u64),
        heard: false,
        begun: None,
    };
    let ended = {
        let upload = pin!(async {
            up.write(&mut upstream_write, outgoing.filled()).await?;
            outgoing.settle();
            relay(body, input, &mut client_read, &mut upstream_write, &up).await
        });
        talk.run(upload, *traits).await
    };
    drop(tally);
    let (heard, sent, begun) = (talk.heard, talk.sent.get(), talk.begun);
    count_breaking_off(context, sent);
    if sent != Sent::Done {
        // However its connection is closed now, the request must not look whole.
        lease.stream.set_reset_on_close(true);
    }
    let (carried, is_reused) = (lease.carried, lease.is_reused);
    lease.carried += up.bytes();
    let fault = match ended {
        Ok(ended) => return Ok(ended),
        Err(fault) => fault,
    };
    let is_parting = matches!(fault.kind, Kind::Closed | Kind::Reset | Kind::Broken);
    let progress = if heard || body.passed() > kept {
        Progress::Underway
    } else if up.bytes() == 0 {
        Progress::Unsent
    } else if traits.method.is_idempotent() || !is_parting {
        Progress::Unanswered
    } else {
        let parting = parting(fault.kind, sent);
        attempt::progress_of_unanswered(&lease.stream, carried, parting, timer).await
    };
    let was_stale = is_reused && is_parting && progress != Progress::Underway;
    Err(FailedAttempt { fault, progress, begun, was_stale })
}

fn count_breaking_off(context: &WorkerContext, sent: Sent) {
    if let Sent::BrokenOff(Kind::Rejected(reject)) = sent {
        context.metrics.rejects[reject as usize].add(1);
    }
}

fn parting(kind: Kind, sent: Sent) -> CloseKind {
    match (kind, sent) {
        // The kernel tells of a reset once: behind it, even that looks like an end.
        (Kind::Closed, Sent::Running | Sent::Done | Sent::Refused | Sent::BrokenOff(_)) => {
            CloseKind::InOrder
        }
        _ => CloseKind::Otherwise,
    }
}

/// What the two directions of an attempt share.
struct Transfer<'a> {
    context: &'a WorkerContext,
    route: Option<RouteId>,
    request_log: Option<&'a RequestLog>,
    timeouts: &'a UpstreamTimeouts,
    timer: &'a mut Timer,
    activity: &'a Activity,
    up: &'a Meter<'a>,
    down: &'a Meter<'a>,
    sent: Cell<Sent>,
    client_write: WriteHalf<'a>,
    upstream_read: ReadHalf<'a>,
    /// What has come from the endpoint and not been used.
    received: Buffer,
    /// What is to go to the client.
    out: Buffer,
    /// The length of what goes up before the client waits for a 100, if it does and none has come.
    awaited: Option<u64>,
    /// Whether any byte of an answer has come.
    heard: bool,
    /// Set once the client has been sent bytes of the final answer.
    begun: Option<Next>,
}

impl Transfer<'_> {
    async fn run(
        &mut self,
        mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        traits: RequestTraits,
    ) -> Result<Ended, Fault> {
        let mut interim = 0;
        loop {
            let length = self.head(upload.as_mut()).await?;
            // An answer that comes while the request is still being sent may mean that the client
            // never sends the rest of it.
            let settled = self.sent.get() == Sent::Done && !self.context.is_draining();
            let traits = RequestTraits { persists: traits.persists && settled, ..traits };
            let limits = &self.context.plan.limits;
            self.out.clear();
            let mut answer =
                attempt::read_answer(&mut self.received, length, traits, limits, &mut self.out)
                    .map_err(bad_answer)?;
            // An endpoint that answers a request it has not read may take its body for the next.
            answer.upstream_persists &= self.sent.get() == Sent::Done;
            interim += usize::from(answer.finality == Finality::Interim);
            match answer.finality {
                Finality::Interim if interim > INTERIM_MAX => {
                    return Err(bad_answer(Reject::TooManyInterim));
                }
                // RFC 9110 §15.2: an HTTP/1.0 client must not be sent one.
                Finality::Interim if traits.version == Version::Http10 => {}
                Finality::Interim => {
                    // One that is cut must not be followed by an answer of ours.
                    self.begun = Some(Next::Cut);
                    self.download(upload.as_mut(), None).await?;
                    self.begun = None;
                    if answer.status == 100 {
                        self.awaited = None;
                    }
                }
                Finality::Final => return self.finish(upload, answer).await,
                Finality::Upgrade if self.sent.get() == Sent::Done => {
                    self.begun = Some(Next::Cut);
                    self.answered(answer.status);
                    self.download(upload, None).await?;
                    let early = std::mem::replace(&mut self.received, Buffer::new());
                    return Ok(Ended::Upgraded { early });
                }
                Finality::Upgrade => return Err(bad_answer(Reject::UnaskedUpgrade)),
            }
        }
    }

    /// The final answer begins to go to the client.
    fn answered(&self, status: u16) {
        record::response(self.context, self.route, self.request_log, status);
        if let Some(request_log) = self.request_log {
            request_log.behind(self.down.bytes());
        }
    }

    /// Waits for the head of an answer while the request is on its way.
    async fn head(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    ) -> Result<usize, Fault> {
        let Self { context, timeouts, timer, activity, up, sent, awaited, request_log, .. } = self;
        // A head that drips keeps nothing going: only the request's bytes put the deadline off.
        let dripping = Activity::new();
        let meter = Meter::new(&dripping);
        activity.touch();
        let (sent_at, request_log) = (Activity::new(), *request_log);
        if let (Some(request_log), true) = (request_log, sent.get() != Sent::Running) {
            request_log.enter(ExchangePhase::ResponseHead);
        }
        // With its head sent and its client waiting for a 100, a request is as good as sent.
        let held_back = || Some(up.bytes()) == *awaited && up.waits_for() == End::Source;
        let deadline = || match sent.get() {
            Sent::Running if held_back() => activity.last() + timeouts.response,
            Sent::Running => activity.last() + timeouts.idle,
            Sent::Done | Sent::Refused | Sent::Reset | Sent::BrokenOff(_) => {
                sent_at.last() + timeouts.response
            }
        };
        let on_sent = || {
            sent_at.touch();
            if let Some(request_log) = request_log {
                request_log.enter(ExchangePhase::ResponseHead);
            }
        };
        let ended = {
            let (from, received) = (&mut self.upstream_read, &mut self.received);
            let reading = pin!(async {
                if let (Some(request_log), true) = (request_log, received.is_empty()) {
                    if meter.read(from, received).await.map_err(|broken| broken.kind)? == 0 {
                        return Err(Kind::Closed);
                    }
                    request_log.heard();
                }
                attempt::read_head(from, received, Scan::response(), &context.plan.limits, &meter)
                    .await
            });
            let both = pin!(alongside(upload, sent, on_sent, BreakingOff::Ends, reading));
            timer.until(deadline, both).await
        };
        self.heard |= !self.received.is_empty();
        match ended {
            Ok(Ok(Ok(length))) => Ok(length),
            Ok(Ok(Err(kind))) => Err(Fault::upstream(Stage::ResponseHead, kind)),
            Ok(Err(kind)) => Err(Fault::client(Stage::Request, kind)),
            Err(Elapsed) => Err(match (sent.get(), up.waits_for()) {
                (Sent::Running, _) if held_back() => {
                    Fault::upstream(Stage::ResponseHead, Kind::TimedOut)
                }
                (Sent::Running, End::Source) => Fault::client(Stage::Request, Kind::TimedOut),
                (Sent::Running, End::Sink) => Fault::upstream(Stage::Request, Kind::TimedOut),
                (Sent::Done | Sent::Refused | Sent::Reset | Sent::BrokenOff(_), _) => {
                    Fault::upstream(Stage::ResponseHead, Kind::TimedOut)
                }
            }),
        }
    }

    async fn finish(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        mut answer: Answer,
    ) -> Result<Ended, Fault> {
        // A body that breaks the rules in its first bytes can still be answered with a 502.
        let body = &mut answer.body;
        let is_unframed = body.is_unframed();
        let room = self.out.spare_mut().len();
        let ready = body.admit(&mut self.received, room).map_err(bad_answer)?;
        self.out.append(&self.received.filled()[..ready]);
        body.pass(&mut self.received, ready);
        self.begun = Some(if answer.ends_with_connection { Next::Cut } else { Next::Linger });
        self.answered(answer.status);
        // However this ends before the body does, and be it with the process.
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(true);
        }
        self.download(upload, Some(&mut answer.body)).await?;
        // The kernel tells of a reset once; if the upload heard it, the answer seems to end well.
        if is_unframed && self.sent.get() == Sent::Reset {
            return Err(Fault::upstream(Stage::ResponseBody, Kind::Reset));
        }
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(false);
        }
        let surplus = !self.received.is_empty();
        Ok(Ended::Answered { answer, sent: self.sent.get(), surplus })
    }

    /// Sends `out` to the client, and behind it what is left of the body of the final answer; the
    /// request stays on its way meanwhile.
    async fn download(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        body: Option<&mut Body>,
    ) -> Result<(), Fault> {
        let Self { timeouts, timer, activity, up, down, sent, received, out, .. } = self;
        let (client_write, upstream_read) = (&mut self.client_write, &mut self.upstream_read);
        let breaking_off = if body.is_some() { BreakingOff::IsNoted } else { BreakingOff::Ends };
        let sending = pin!(async {
            down.write(client_write, out.filled()).await?;
            out.clear();
            match body {
                Some(body) => relay(body, received, upstream_read, client_write, down).await,
                None => Ok(()),
            }
        });
        let both = pin!(alongside(upload, sent, || {}, breaking_off, sending));
        match timer.while_active(timeouts.idle, activity, both).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(Broken { end: End::Source, kind }))) => Err(match (sent.get(), kind) {
                // Told that there is no more of the request, it gave up its answer.
                (Sent::BrokenOff(_), Kind::Closed | Kind::Reset | Kind::Broken) => {
                    Fault::client(Stage::Request, kind)
                }
                _ => Fault::upstream(Stage::ResponseBody, kind),
            }),
            Ok(Ok(Err(Broken { end: End::Sink, kind }))) => {
                Err(Fault::client(Stage::ResponseBody, kind))
            }
            Ok(Err(kind)) => Err(Fault::client(Stage::Request, kind)),
            Err(Elapsed) => Err(match (down.waits_for(), sent.get(), up.waits_for()) {
                (End::Sink, ..) => Fault::client(Stage::ResponseBody, Kind::TimedOut),
                // An endpoint that answers as it reads cannot go on before the client does.
                (End::Source, Sent::Running, End::Source)
                | (End::Source, Sent::BrokenOff(_), _) => {
                    Fault::client(Stage::Request, Kind::TimedOut)
                }
                (End::Source, ..) => Fault::upstream(Stage::ResponseBody, Kind::TimedOut),
            }),
        }
    }
}

fn bad_answer(reject: Reject) -> Fault {
    Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject))
}

/// Does `work` with the upload going on beside it. An endpoint that takes no more of the request is
/// noted in `sent`, since it may have answered before.
async fn alongside<T>(
    mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    sent: &Cell<Sent>,
    on_sent: impl Fn(),
    breaking_off: BreakingOff,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Kind> {
    poll_fn(|cx| {
        if sent.get() == Sent::Running
            && let Poll::Ready(ended) = upload.as_mut().poll(cx)
        {
            match (ended, breaking_off) {
                (Ok(()), _) => sent.set(Sent::Done),
                (Err(Broken { end: End::Sink, kind: Kind::Reset }), _) => sent.set(Sent::Reset),
                (Err(Broken { end: End::Sink, .. }), _) => sent.set(Sent::Refused),
                (Err(Broken { kind, .. }), BreakingOff::IsNoted) => sent.set(Sent::BrokenOff(kind)),
                (Err(Broken { kind, .. }), BreakingOff::Ends) => return Poll::Ready(Err(kind)),
            }
            on_sent();
        }
        work.as_mut().poll(cx).map(Ok)
    })
    .await
}
