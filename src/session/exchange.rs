//! One request and its response: the attempts, and in each the two directions side by side.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::Instant;

use super::attempt::{self, Answer, Asked, Finality, Freshness, Lease};
use super::record::{self, Target};
use super::services::Services;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Progress, Side, Stage};
use crate::http::head::Version;
use crate::http::reply::Reply;
use crate::http::rewrite::Connection;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::pool::NotPooled;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};
use crate::reject::Reject;
use crate::relay::body::{Body, relay};
use crate::relay::copy::{Broken, End, Meter};
use crate::relay::duplex::duplex;
use crate::upstream::NoneLeft;
use crate::upstream::balance::Tried;

/// Interim responses passed on before the final one must come.
const INTERIM_MAX: usize = 16;

/// Seconds a client is asked to wait when every endpoint is down: the interval of the checks.
const RETRY_AFTER: u32 = 1;

/// The client's side of an exchange.
pub struct Client<'a> {
    /// Its connection.
    pub stream: &'a mut Stream,
    /// What has been read from it and not been used.
    pub input: Buffer,
    /// The session's timer.
    pub timer: &'a mut Timer,
}

/// A request whose head has been read and written anew.
pub struct Request {
    /// What its answer needs to know of it.
    pub asked: Asked,
    /// The route it takes, if there is one.
    pub route: Option<usize>,
    /// What of its body is not in `outgoing`.
    pub body: Body,
    /// The head as it goes to the endpoint, and the first bytes of the body: kept until an answer
    /// comes, so that another endpoint can be sent the same.
    pub outgoing: Buffer,
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

/// How an attempt failed.
struct Failure {
    fault: Fault,
    progress: Progress,
    /// What becomes of the client's connection if it has seen the beginning of an answer.
    begun: Option<Next>,
    /// Whether the connection had been idle and ended before any byte of an answer.
    was_stale: bool,
}

/// How an attempt ended well.
enum Ended {
    Answered { answer: Answer, sent: Sent, surplus: bool },
    Upgraded { early: Buffer },
}

/// What has become of the request on its way to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Still on its way.
    Running,
    /// All of it is sent.
    Done,
    /// The endpoint took no more of it; an answer may have come before that.
    Refused,
}

/// Sends the request to endpoint after endpoint until one answers or none is left.
pub async fn run(client: &mut Client<'_>, request: &mut Request, services: &Services) -> Next {
    let Some(route) = request.route else {
        return answer(client, request, services, Reply::new(404, "no route for this path")).await;
    };
    // `spent` holds the endpoints that failed on a new connection; one whose idle connection had
    // merely gone stale gets a second chance when there is no other.
    let (mut tried, mut spent) = (Tried::default(), Tried::default());
    let mut last = None;
    loop {
        let picked = services.pick(route, &tried).or_else(|_| services.pick(route, &spent));
        let endpoint = match picked {
            Ok(endpoint) => endpoint,
            Err(none) => return answer(client, request, services, no_endpoint(none, last)).await,
        };
        let target = Target { route, endpoint, started: services.tick() };
        let freshness = if last.is_none() { Freshness::Any } else { Freshness::New };
        services.count_attempt(route, endpoint);
        services.metrics.retries.add(u64::from(last.is_some()));
        let failure = match try_endpoint(client, request, services, target, freshness).await {
            Ok(next) => return next,
            Err(failure) => failure,
        };
        record::failure(services, target, failure.fault, failure.was_stale);
        let idempotent = request.asked.method.is_idempotent();
        if let Some(next) = failure.begun {
            services.metrics.cut_answers.add(1);
            return next;
        }
        if !failure.fault.retryable(failure.progress, idempotent) {
            return answer_fault(client, request, services, failure.fault).await;
        }
        last = Some(failure.fault);
        let counted = tried.insert(endpoint) | (!failure.was_stale && spent.insert(endpoint));
        if !counted {
            return answer_fault(client, request, services, failure.fault).await;
        }
    }
}

fn no_endpoint(none: NoneLeft, last: Option<Fault>) -> Reply {
    match (last, none) {
        (Some(fault), _) => Reply::new(fault.status().unwrap_or(502), fault.phrase()),
        (None, NoneLeft::AllDown) => Reply {
            retry_after: Some(RETRY_AFTER),
            ..Reply::new(503, "every endpoint of this route is down")
        },
        (None, NoneLeft::AllTried) => Reply::new(502, "no endpoint left to try"),
    }
}

async fn answer_fault(
    client: &mut Client<'_>,
    request: &mut Request,
    services: &Services,
    fault: Fault,
) -> Next {
    if let (Side::Client, Kind::Rejected(reject)) = (fault.side, fault.kind) {
        services.metrics.rejects[reject as usize].add(1);
    }
    let Some(status) = fault.status() else { return Next::Close };
    let retry_after = (fault.side == Side::Local).then_some(RETRY_AFTER);
    let reply = Reply { status, phrase: fault.phrase(), retry_after };
    answer(client, request, services, reply).await
}

/// Answers the request ourselves. The connection goes on if all of the request has been read.
async fn answer(
    client: &mut Client<'_>,
    request: &mut Request,
    services: &Services,
    reply: Reply,
) -> Next {
    while let Ok(count @ 1..) = request.body.admit(&mut client.input, usize::MAX) {
        client.input.consume(count);
    }
    let stays = request.body.has_ended() && request.asked.persists && !services.is_draining();
    let connection = match request.asked.version {
        _ if !stays => Connection::Close,
        Version::Http10 => Connection::KeepAlive,
        Version::Http11 => Connection::Implied,
    };
    services.metrics.response(reply.status);
    let mut out = Buffer::new();
    reply.write(request.asked.method, connection, &mut out);
    let limit = services.plan.timeouts.idle;
    match send(client.stream, client.timer, limit, &out).await {
        Ok(()) if stays => Next::Reuse,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// Sends a whole buffer to the client.
pub async fn send(
    stream: &mut Stream,
    timer: &mut Timer,
    limit: std::time::Duration,
    out: &Buffer,
) -> Result<(), Kind> {
    let activity = Activity::new();
    let (_, mut write) = stream.split();
    let meter = Meter::new(&activity);
    match timer.while_active(limit, &activity, meter.write(&mut write, out.filled())).await {
        Ok(written) => written.map_err(|broken| broken.kind),
        Err(Elapsed) => Err(Kind::TimedOut),
    }
}

/// One attempt from the lease of a connection to its return.
async fn try_endpoint(
    client: &mut Client<'_>,
    request: &mut Request,
    services: &Services,
    target: Target,
    freshness: Freshness,
) -> Result<Next, Failure> {
    let leased = attempt::lease(services, target, freshness, client.timer).await;
    let mut lease = leased.map_err(|fault| Failure {
        fault,
        progress: Progress::Unsent,
        begun: None,
        was_stale: false,
    })?;
    let was_reused = lease.reused;
    match converse(client, request, services, &mut lease).await {
        Ok(Ended::Answered { answer, sent, surplus }) => {
            record::success(services, target, answer.status);
            if sent == Sent::Done && answer.upstream_persists {
                give_back(services, target, lease, surplus);
            }
            Ok(match (sent, answer.client_persists) {
                (Sent::Done, true) => Next::Reuse,
                (Sent::Done, false) if client.input.is_empty() => Next::Close,
                (Sent::Done, false) | (Sent::Running | Sent::Refused, _) => Next::Linger,
            })
        }
        Ok(Ended::Upgraded { early }) => {
            record::success(services, target, 101);
            Ok(tunnel(client, &mut lease.stream, &early, services).await)
        }
        Err(mut failure) => {
            failure.was_stale = was_reused
                && failure.progress != Progress::Underway
                && matches!(failure.fault.kind, Kind::Closed | Kind::Broken);
            Err(failure)
        }
    }
}

fn give_back(services: &Services, target: Target, lease: Lease, surplus: bool) {
    let metrics = &services.metrics;
    if surplus {
        metrics.pool_not_quiet.add(1);
        return;
    }
    let pool = services.pool(target.route, target.endpoint);
    let kept = pool.borrow_mut().put(lease.stream, Instant::now());
    match kept {
        Ok(()) => {}
        Err(NotPooled::Full) => metrics.pool_full.add(1),
        Err(NotPooled::NotQuiet) => metrics.pool_not_quiet.add(1),
    }
}

async fn tunnel(
    client: &mut Client<'_>,
    upstream: &mut Stream,
    early: &Buffer,
    services: &Services,
) -> Next {
    let activity = Activity::new();
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    let both = duplex((&mut *client.stream, &client.input), (upstream, early), (&up, &down));
    let ended = client.timer.while_active(services.plan.timeouts.tunnel, &activity, both).await;
    services.metrics.bytes_up.add(up.bytes());
    services.metrics.bytes_down.add(down.bytes());
    match ended {
        Ok(Ok(())) => Next::Close,
        Ok(Err(_)) | Err(Elapsed) => Next::Cut,
    }
}

/// Sends the request and receives the answer, both at once.
async fn converse(
    client: &mut Client<'_>,
    request: &mut Request,
    services: &Services,
    lease: &mut Lease,
) -> Result<Ended, Failure> {
    let Client { stream, input, timer } = client;
    let Request { asked, body, outgoing, .. } = request;
    let kept = body.admitted();
    let activity = Activity::new();
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    let (mut client_read, client_write) = stream.split();
    let (upstream_read, mut upstream_write) = lease.stream.split();
    let mut talk = Talk {
        services,
        timer,
        activity: &activity,
        up: &up,
        down: &down,
        sent: Cell::new(Sent::Running),
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
        talk.run(upload, *asked).await
    };
    services.metrics.bytes_up.add(up.bytes());
    services.metrics.bytes_down.add(down.bytes());
    ended.map_err(|fault| {
        let progress = if talk.heard || body.admitted() > kept {
            Progress::Underway
        } else if up.bytes() > 0 {
            Progress::Unanswered
        } else {
            Progress::Unsent
        };
        Failure { fault, progress, begun: talk.begun, was_stale: false }
    })
}

/// What the two directions of an attempt share.
struct Talk<'a> {
    services: &'a Services,
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
    /// Whether any byte of an answer has come.
    heard: bool,
    /// Set once the client has been sent bytes of the final answer.
    begun: Option<Next>,
}

impl Talk<'_> {
    async fn run(
        &mut self,
        mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        mut asked: Asked,
    ) -> Result<Ended, Fault> {
        for _ in 0..=INTERIM_MAX {
            let length = self.head(upload.as_mut()).await?;
            // An answer that comes while the request is still being sent may mean that the client
            // never sends the rest of it.
            asked.persists &= self.sent.get() == Sent::Done && !self.services.is_draining();
            let limits = &self.services.plan.limits;
            self.out.clear();
            let answer =
                attempt::read_answer(&mut self.received, length, asked, limits, &mut self.out)
                    .map_err(bad_answer)?;
            match answer.finality {
                // RFC 9110 §15.2: an HTTP/1.0 client must not be sent one.
                Finality::Interim if asked.version == Version::Http10 => {}
                Finality::Interim => self.download(upload.as_mut(), None).await?,
                Finality::Final => return self.finish(upload, answer).await,
                Finality::Upgrade if self.sent.get() == Sent::Done => {
                    self.begun = Some(Next::Cut);
                    self.services.metrics.response(answer.status);
                    self.download(upload, None).await?;
                    let early = std::mem::replace(&mut self.received, Buffer::new());
                    return Ok(Ended::Upgraded { early });
                }
                Finality::Upgrade => return Err(bad_answer(Reject::UnaskedUpgrade)),
            }
        }
        Err(bad_answer(Reject::TooManyInterim))
    }

    /// Waits for the head of an answer while the request is on its way.
    async fn head(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    ) -> Result<usize, Fault> {
        let Self { services, timer, activity, up, down, sent, .. } = self;
        let timeouts = &services.plan.timeouts;
        let reading = attempt::read_head(
            &mut self.upstream_read,
            &mut self.received,
            &services.plan.limits,
            down,
        );
        activity.touch();
        let sent_at = Cell::new(activity.last());
        let deadline = || match sent.get() {
            Sent::Running => activity.last() + timeouts.idle,
            Sent::Done | Sent::Refused => sent_at.get() + timeouts.response,
        };
        let both = alongside(upload, sent, || sent_at.set(Instant::now()), reading);
        let ended = timer.until(deadline, both).await;
        self.heard |= !self.received.is_empty();
        match ended {
            Ok(Ok(Ok(length))) => Ok(length),
            Ok(Ok(Err(kind))) => Err(Fault::upstream(Stage::ResponseHead, kind)),
            Ok(Err(kind)) => Err(Fault::client(Stage::Request, kind)),
            Err(Elapsed) => Err(match (sent.get(), up.waits_for()) {
                (Sent::Running, End::Source) => Fault::client(Stage::Request, Kind::TimedOut),
                (Sent::Running, End::Sink) => Fault::upstream(Stage::Request, Kind::TimedOut),
                (Sent::Done | Sent::Refused, _) => {
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
        self.begun = Some(if answer.ends_with_connection { Next::Cut } else { Next::Linger });
        self.services.metrics.response(answer.status);
        self.download(upload, Some(&mut answer.body)).await?;
        let surplus = !self.received.is_empty();
        Ok(Ended::Answered { answer, sent: self.sent.get(), surplus })
    }

    /// Sends `out` to the client, and behind it, in the same write as far as it is here already,
    /// a body; the request stays on its way meanwhile.
    async fn download(
        &mut self,
        upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
        body: Option<&mut Body>,
    ) -> Result<(), Fault> {
        let Self { services, timer, activity, down, sent, received, out, .. } = self;
        let (client_write, upstream_read) = (&mut self.client_write, &mut self.upstream_read);
        let sending = async {
            let Some(body) = body else { return down.write(client_write, out.filled()).await };
            let ready = body
                .admit(received, out.spare_mut().len())
                .map_err(|reject| Broken { end: End::Source, kind: Kind::Rejected(reject) })?;
            out.append(&received.filled()[..ready]);
            received.consume(ready);
            down.write(client_write, out.filled()).await?;
            out.clear();
            relay(body, received, upstream_read, client_write, down).await
        };
        let both = alongside(upload, sent, || {}, sending);
        match timer.while_active(services.plan.timeouts.idle, activity, both).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(Broken { end: End::Source, kind }))) => {
                Err(Fault::upstream(Stage::ResponseBody, kind))
            }
            Ok(Ok(Err(Broken { end: End::Sink, kind }))) => {
                Err(Fault::client(Stage::ResponseBody, kind))
            }
            Ok(Err(kind)) => Err(Fault::client(Stage::Request, kind)),
            Err(Elapsed) => Err(match down.waits_for() {
                End::Source => Fault::upstream(Stage::ResponseBody, Kind::TimedOut),
                End::Sink => Fault::client(Stage::ResponseBody, Kind::TimedOut),
            }),
        }
    }
}

fn bad_answer(reject: Reject) -> Fault {
    Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject))
}

/// Does `work` with the upload going on beside it. Fails if the client breaks the request off; an
/// endpoint that takes no more of it is noted in `sent`, since it may have answered before.
async fn alongside<T>(
    mut upload: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    sent: &Cell<Sent>,
    on_sent: impl Fn(),
    work: impl Future<Output = T>,
) -> Result<T, Kind> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if sent.get() == Sent::Running
            && let Poll::Ready(ended) = upload.as_mut().poll(cx)
        {
            match ended {
                Ok(()) => sent.set(Sent::Done),
                Err(Broken { end: End::Sink, .. }) => sent.set(Sent::Refused),
                Err(Broken { end: End::Source, kind }) => return Poll::Ready(Err(kind)),
            }
            on_sent();
        }
        work.as_mut().poll(cx).map(Ok)
    })
    .await
}
