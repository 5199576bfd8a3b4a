//! One attempt's transfer: the request going up and the answer coming down, side by side.

use std::future::Future;
use std::pin::{Pin, pin};

use super::affinity::RequestTies;
use super::answer::{self, Answer, AnswerRules, Finality, HeadIn, HeadOut, HeadRead};
use super::attempt::RequestTraits;
use super::client::{Begun, ClientConnection};
use super::conclusion::{self, Sent};
use super::directions::Directions;
use super::hearing::{FirstRead, Heard, hear, hear_on_stream};
use super::record::{self, AttemptTarget};
use super::request::{self, Request};
use super::request_log::TrafficGuard;
use super::retry::{Attempts, FailedAttempt};
use super::transfer_state::{DownloadState, Interruption, UploadState};
use super::upload;
use super::upstream_side::UpstreamSide;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::filters::{Filtered, Filters};
use crate::grpc::status::Status;
use crate::http::message::head::Version;
use crate::http::message::websocket::Accept;
use crate::id::RouteId;
use crate::net::deadline::{Activity, Timer};
use crate::net::lease::Ending;
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::ends::{Sink, Source};
use crate::relay::message::{self, relay, send_on_stream};
use crate::termination::ExchangePhase;

/// Interim responses passed on before the final one must come.
const INTERIM_MAX: usize = 16;

/// From how many bytes on what has come of a body is not copied to its head, to be sent with it: to send two
/// pieces costs as much as to copy half as many.
const BESIDE_MIN: usize = 4 * 1024;

/// How an attempt succeeded.
pub enum Completed {
    /// With an answer, whole.
    Answered(SentAnswer),
    /// With an answer that the client is not sent, since another endpoint is to be asked.
    Declined {
        /// Its status.
        status: u16,
        /// How sure it is that nothing follows it, if it has come whole and the connection may be used again.
        rest: Option<Ending>,
    },
    /// With a tunnel; the client has been sent the 101.
    Upgraded {
        /// What has come from the endpoint after its head.
        early: Buffer,
    },
}

/// An answer that has gone to the client: as much of it as is still needed, since it is handed on four times.
#[derive(Clone, Copy)]
pub struct SentAnswer {
    /// Its status.
    pub status: u16,
    /// Whether the endpoint's connection may be used again after it.
    pub upstream_persists: bool,
    /// How sure it is that nothing follows it there.
    pub ending: Ending,
    /// Whether the client's connection may.
    pub client_persists: bool,
    /// How a call of gRPC has ended, if it has said so.
    pub call_status: Option<Status>,
    /// What had become of the request by then.
    pub upload: UploadState,
    /// Whether more than the answer had come.
    pub surplus: bool,
}

/// Sends the request and receives the answer, both at once.
///
/// Not an async function: that would keep its arguments twice.
pub fn run<'a, F: Filters>(
    client: &'a mut ClientConnection<'_>,
    request: &'a mut Request<'_, F>,
    (context, target): (&'a WorkerContext, &'a AttemptTarget),
    attempts: &'a Attempts<'_>,
    upstream: &'a mut UpstreamSide,
) -> impl Future<Output = Result<Completed, FailedAttempt>> {
    async move {
        let ClientConnection { side, timer, presence, .. } = client;
        let Request { traits, body, outgoing, timing, chunks, .. } = request;
        let request_log = timing.request_log();
        let (kept, lacks_last_chunk) = (body.passed(), body.is_chunked());
        let (activity, mut none) = (Activity::new(), Buffer::new());
        let (up, down) = (request.mirror.meter(&activity), Meter::new(&activity));
        let (client_read, client_write, input) = side.parts(&mut none);
        body.set_emit(request::emit(*chunks, upstream.protocol()));
        let now = upstream.took_no_time().then_some(target.started);
        let (upstream_read, upstream_write, mut opening) = upstream.parts(outgoing);
        let known = opening.bytes() as u64;
        let traffic =
            TrafficGuard::begin((&context.metrics, request_log), phase(body), known, (&up, &down));
        let held_back_at = (traits.expects && kept == 0).then_some(known);
        let moved = (&activity, &up, &down);
        let both = Directions::new(request_log, attempts, presence, moved, held_back_at);
        let is_whole = traits.upgrade || body.has_ended();
        let mut transfer = Transfer {
            both: &both,
            context,
            target,
            attempts,
            opening_bytes: known,
            lacks_last_chunk,
            accept: request.accept.as_deref(),
            ties: &request.ties,
            filtered: &request.filtered,
            route: request.route,
            timer,
            client_write,
            upstream_read,
            received: Buffer::new(),
            block: Vec::new(),
            out: Buffer::new(),
            heard: false,
            begun: None,
        };
        let ended = if let Err(fault) = upload::begin(&mut opening, &both, &up, (is_whole, now)) {
            Err(fault)
        } else {
            let left = pin!(presence.left(client_read));
            let (rest, ends) = ((&mut *body, input), (client_read, upstream_write));
            let upload =
                pin!(upload::rest((&mut opening, is_whole), rest, ends, (&up, &request.mirror)));
            transfer.run(pin!(both.client_side(upload, left)), *traits).await
        };
        drop(traffic);
        let (heard, upload, begun) = (transfer.heard, both.upload(), transfer.begun);
        count_broken_off(context, upload);
        let ends_alone = lacks_last_chunk && body.has_ended() && body.passed() == kept;
        let is_lost = ended.is_err() && ends_alone && !request::keep_end(outgoing);
        let is_underway = heard || body.passed() > kept || is_lost;
        let sent = Sent { bytes: up.bytes(), upload, is_underway };
        let before = conclusion::note_sent(upstream, sent, ended.is_err());
        let fault = match ended {
            Ok(completed) => return Ok(completed),
            Err(fault) => fault,
        };
        let known = (before, begun, traits.method.is_idempotent());
        Err(conclusion::failed(fault, upstream, sent, known, timer).await)
    }
}

/// Where a transfer begins.
fn phase(body: &Body) -> ExchangePhase {
    if body.has_ended() { ExchangePhase::ResponseHead } else { ExchangePhase::Request }
}

fn count_broken_off(context: &WorkerContext, upload: UploadState) {
    if let UploadState::BrokenOff(Kind::Rejected(reject)) = upload {
        context.metrics.rejects[reject as usize].add(1);
    }
}

/// A transfer under way.
struct Transfer<'a, 'f, F: Filters> {
    both: &'a Directions<'a>,
    context: &'a WorkerContext,
    target: &'a AttemptTarget,
    attempts: &'a Attempts<'a>,
    /// How many bytes of the request are kept.
    opening_bytes: u64,
    /// Whether the end of its chunks is not among these.
    lacks_last_chunk: bool,
    accept: Option<&'a Accept>,
    ties: &'a RequestTies,
    filtered: &'a Filtered<'f, F>,
    route: Option<RouteId>,
    timer: &'a mut Timer,
    client_write: Sink<'a>,
    upstream_read: Source<'a>,
    /// What has come from the endpoint and not been used.
    received: Buffer,
    /// The head that is to go to the client, if that is on a stream.
    block: Vec<u8>,
    /// What is to go to the client besides.
    out: Buffer,
    /// Whether any byte of an answer has come.
    heard: bool,
    /// Set once the client has been sent bytes of the final answer.
    begun: Option<Begun>,
}

impl<F: Filters> Transfer<'_, '_, F> {
    async fn run(
        &mut self,
        mut client_side: Pin<&mut impl Future<Output = Interruption>>,
        traits: RequestTraits,
    ) -> Result<Completed, Fault> {
        let (mut interim, mut answer) = (0, Answer::awaited());
        self.both.await_answer();
        loop {
            let came = self.head(client_side.as_mut()).await?;
            let is_sent = self.both.upload() == UploadState::Done;
            // An answer that comes while the request is still being sent may mean that the client
            // never sends the rest of it.
            let is_last = self.is_last();
            let persists = traits.persists && is_sent && !is_last;
            let traits = RequestTraits { persists, ..traits };
            if self.read(came, traits, &mut answer).map_err(bad_answer)? == HeadRead::NotYet {
                continue;
            }
            // An endpoint that answers a request it has not read may take its body for the next.
            answer.upstream_persists &= is_sent;
            match answer.finality {
                Finality::Final
                    if answer.status >= 500 && interim == 0 && self.declines(&answer, traits) =>
                {
                    let rest = answer.discard(&mut self.received);
                    return Ok(Completed::Declined { status: answer.status, rest });
                }
                Finality::Final => return self.finish(client_side, &mut answer).await,
                Finality::Upgrade if is_sent => {
                    return self.switch(client_side, answer.status).await;
                }
                Finality::Upgrade => return Err(bad_answer(Reject::UnaskedUpgrade)),
                Finality::Interim if interim == INTERIM_MAX => {
                    return Err(bad_answer(Reject::TooManyInterim));
                }
                // RFC 9110 §15.2: an HTTP/1.0 client must not be sent one.
                Finality::Interim if traits.version == Version::Http10 => {}
                Finality::Interim => {
                    self.pass_on_interim(client_side.as_mut(), answer.status).await?;
                }
            }
            interim += 1;
            self.both.begin_answer();
        }
    }

    /// Reads the head of an answer, and writes it for the client.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "borrowed, it would be kept while it is sent"
    )]
    fn read(
        &mut self,
        came: Heard,
        traits: RequestTraits,
        answer: &mut Answer,
    ) -> Result<HeadRead, Reject> {
        let Self { context, target, route, accept, ties, filtered, received, out, block, .. } =
            self;
        let (limits, date) = (&context.plan.limits, context.date());
        let (via, set_cookie) = (context.plan.via.as_ref(), ties.set_cookie());
        let (target, route, accept) = (*target, *route, *accept);
        let rules =
            AnswerRules { limits, date, accept, via, set_cookie, filtered, context, target, route };
        out.clear();
        block.clear();
        let out = match self.client_write {
            Sink::H1(_) => HeadOut::H1(out),
            Sink::H2(_) => HeadOut::H2(block),
        };
        let head = match &came {
            Heard::Bytes => HeadIn::H1(received, None),
            Heard::Whole(length) => HeadIn::H1(received, Some(*length)),
            Heard::Section(arrived) => HeadIn::H2(arrived),
        };
        answer::read_answer(head, traits, &rules, out, answer)
    }

    /// Whether another endpoint is asked instead of passing the answer on: nothing may be lost of the request.
    fn declines(&self, answer: &Answer, traits: RequestTraits) -> bool {
        traits.method.is_idempotent()
            && !self.lacks_last_chunk
            && self.both.upload() == UploadState::Done
            && self.both.sent_bytes() == self.opening_bytes
            && self.attempts.declines(answer.status)
    }

    /// Whether the client's connection ends with this answer.
    fn is_last(&self) -> bool {
        match self.client_write {
            Sink::H1(write) => self.context.is_last_answer(write.mobility()),
            Sink::H2(_) => false,
        }
    }

    /// The final answer begins to go to the client.
    fn answered(&self, status: u16) {
        record::answered(self.context, self.target, status);
        record::response(self.context, self.route, self.both.request_log(), status);
        self.filtered.status.set(Some(status));
        if let Some(request_log) = self.both.request_log() {
            request_log.after_interim(self.both.down().bytes());
        }
    }

    /// Waits for an answer while the request is on its way.
    async fn head(
        &mut self,
        client_side: Pin<&mut impl Future<Output = Interruption>>,
    ) -> Result<Heard, Fault> {
        let Self { both, context, timer, client_write, .. } = self;
        let request_log = both.request_log();
        let Self { upstream_read: from, received, .. } = self;
        if let (Source::H1(from), Sink::H1(_), UploadState::Done, true) =
            (&mut *from, &*client_write, both.upload(), received.is_empty())
        {
            both.first_bytes(timer, client_side, from, received).await?;
            request_log.inspect(|request_log| request_log.heard());
            self.heard = true;
            return Ok(Heard::Bytes);
        }
        let heard = {
            // A head that drips keeps nothing going: only the request's bytes put the deadline off.
            let dripping = Activity::new();
            let meter = Meter::new(&dripping);
            let limits = &context.plan.limits;
            match from {
                Source::H1(from) => {
                    let first = match client_write {
                        Sink::H1(_) => FirstRead::Large,
                        Sink::H2(_) => FirstRead::Small,
                    };
                    let hearing = hear(from, (received, first), limits, &meter, request_log);
                    both.drive(timer, client_side, DownloadState::Head, pin!(hearing)).await
                }
                Source::H2(from) => {
                    let hearing = hear_on_stream(from, &meter, request_log);
                    both.drive(timer, client_side, DownloadState::Head, pin!(hearing)).await
                }
            }
        };
        self.heard |= !self.received.is_empty() || matches!(heard, Ok(Heard::Section(_)));
        heard
    }

    async fn pass_on_interim(
        &mut self,
        client_side: Pin<&mut impl Future<Output = Interruption>>,
        status: u16,
    ) -> Result<(), Fault> {
        // One that is cut must not be followed by an answer of ours.
        self.begun = Some(Begun::RESET);
        self.send(client_side, DownloadState::Interim, None).await?;
        self.begun = None;
        self.both.passed_on();
        if status == 100 {
            self.both.stop_holding_back();
        }
        Ok(())
    }

    async fn switch(
        &mut self,
        client_side: Pin<&mut impl Future<Output = Interruption>>,
        status: u16,
    ) -> Result<Completed, Fault> {
        self.begun = Some(Begun::RESET);
        self.answered(status);
        self.send(client_side, DownloadState::Switching, None).await?;
        Ok(Completed::Upgraded { early: std::mem::take(&mut self.received) })
    }

    async fn finish(
        &mut self,
        client_side: Pin<&mut impl Future<Output = Interruption>>,
        answer: &mut Answer,
    ) -> Result<Completed, Fault> {
        // A body that breaks the rules in its first bytes can still be answered with a 502.
        let body = &mut answer.body;
        let is_unframed = body.is_unframed();
        let mut beside = 0;
        match (self.upstream_read, self.client_write) {
            (Source::H1(_), to) => {
                let room = self.out.room();
                let ready = body.admit(&mut self.received, room).map_err(bad_answer)?;
                let ready = body.data_of(ready);
                match to {
                    Sink::H1(to) if to.is_plain() && ready >= BESIDE_MIN => beside = ready,
                    Sink::H1(_) | Sink::H2(_) => {
                        self.out.append(&self.received.filled()[..ready]);
                        body.pass(&mut self.received, ready);
                    }
                }
            }
            (Source::H2(from), Sink::H1(_)) => {
                message::take(body, from, &mut self.out);
            }
            (Source::H2(from), Sink::H2(_)) => message::take_data(body, from, &mut self.out),
        }
        self.begun = Some(answer.begun);
        self.answered(answer.status);
        // Also if the process ends before the body does.
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(true);
        }
        if !self.sent_at_once(&mut answer.body, beside)? {
            self.send(client_side, DownloadState::Body, Some(&mut answer.body)).await?;
        }
        let upload = self.both.upload();
        // The kernel reports a reset once; if the upload met it, the answer seems to end in order.
        if is_unframed && upload == UploadState::Reset {
            return Err(Fault::upstream(Stage::ResponseBody, Kind::Reset));
        }
        if answer.ends_with_connection {
            self.client_write.set_reset_on_close(false);
        }
        let &mut Answer { status, upstream_persists, ending, client_persists, body, .. } = answer;
        let (call_status, surplus) = (body.call_status(), !self.received.is_empty());
        Ok(Completed::Answered(SentAnswer {
            status,
            upstream_persists,
            ending,
            client_persists,
            call_status,
            upload,
            surplus,
        }))
    }

    /// Whether the client takes all of the final answer at once, as most do. So many bytes of its body are sent
    /// from where they were received.
    #[inline]
    fn sent_at_once(&mut self, body: &mut Body, beside: usize) -> Result<bool, Fault> {
        let Self { client_write, received, out, both, .. } = self;
        let down = both.down();
        let Sink::H1(write) = client_write else { return Ok(false) };
        let sent = match beside {
            0 => down.try_write(write, out.filled()),
            _ => down.try_write_both(write, [out.filled(), &received.filled()[..beside]]),
        };
        let download = DownloadState::Body;
        let failed = |broken| Interruption::Download(broken).fault(both.upload(), download);
        let sent = sent.map_err(failed)?;
        let of_body = sent.saturating_sub(out.len());
        out.consume(sent - of_body);
        body.pass(received, of_body);
        Ok(out.is_empty() && body.has_ended())
    }

    /// Sends `out` to the client, and then what is left of the body of the final answer, while the
    /// request is on its way.
    async fn send(
        &mut self,
        client_side: Pin<&mut impl Future<Output = Interruption>>,
        state: DownloadState,
        body: Option<&mut Body>,
    ) -> Result<(), Fault> {
        let Self { both, timer, client_write, upstream_read, received, block, out, .. } = self;
        let down = both.down();
        let sending = pin!(async {
            match client_write {
                Sink::H1(write) => down.write(write, out.filled()).await?,
                Sink::H2(stream) => {
                    let rest = body.as_deref();
                    if stream.room() < out.len() {
                        // It may wait for long.
                        out.settle();
                    }
                    send_on_stream(stream, block, out, rest, down).await?;
                }
            }
            out.clear();
            match body.filter(|body| !body.has_ended()) {
                Some(body) => relay(body, received, *upstream_read, *client_write, down).await,
                None => Ok(()),
            }
        });
        both.drive(timer, client_side, state, sending).await
    }
}

fn bad_answer(reject: Reject) -> Fault {
    Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject))
}
