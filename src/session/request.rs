//! A request: its head as it goes to an endpoint, and its body.

use super::affinity::RequestTies;
use super::attempt::RequestTraits;
use super::attempt_edits::HeadBefore;
use super::client_info::ClientInfo;
use super::request_copy::Mirroring;
use super::request_head::{self, Decided, ReadHead, Sender};
use super::request_log::RequestTiming;
use crate::app_protocol::AppProtocol;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::fault::{Fault, Kind, Stage};
use crate::filters::reply::LocalReply;
use crate::filters::{Filtered, Filters};
use crate::http::h1::chunk_lines::CHUNK_OVERHEAD_BYTES;
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h2;
use crate::http::h2::section::NeverIndexed;
use crate::http::h2::stream::Arrived;
use crate::http::message::head::Storage;
use crate::id::{RouteId, UpstreamId};
use crate::net::mux_stream::MuxStream;
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::message::{self, LAST_CHUNK};

/// A request whose head has been read and encoded for the endpoint.
pub struct Request<'f, F: Filters> {
    /// What its answer needs to know of it.
    pub traits: RequestTraits,
    /// The route it takes, if there is one.
    pub route: Option<RouteId>,
    /// Where it goes, unless it is answered here.
    pub upstream: Option<UpstreamId>,
    /// Whether it is copied, and for whom.
    pub mirror: Mirroring,
    /// What ties it to an endpoint.
    pub ties: RequestTies,
    /// What of its body is not in `outgoing`.
    pub body: Body,
    /// How its chunks go on to HTTP/1.1, if it has any.
    pub chunks: Emit,
    /// The head as it goes to the endpoint, and the first bytes of the body: kept until an answer
    /// comes, so that another endpoint can be sent the same.
    pub outgoing: Buffer,
    /// Which of its fields and trailers came as literals never to be indexed, and go on as such.
    pub never_indexed: NeverIndexed,
    /// What the head in `outgoing` was before it was edited for the attempt under way, if it was.
    pub head_before: Option<Box<HeadBefore>>,
    /// Our own answer, if it goes no further.
    pub own_reply: Option<Box<LocalReply>>,
    /// What is decided about it, and what is kept for that.
    pub filtered: Filtered<'f, F>,
    /// When and how it came.
    pub timing: RequestTiming,
}

impl<F: Filters> Request<'_, F> {
    /// By which route it goes where, unless it is answered here.
    #[inline]
    pub fn goes(&self) -> Option<(RouteId, UpstreamId)> {
        self.route.zip(self.upstream).filter(|_| self.own_reply.is_none())
    }
}

/// What is no request we serve: why, where it would have gone, and when and how it came.
pub(super) type Refused = (Fault, Option<RouteId>, RequestTiming);

/// Turns the head, the first `length` bytes of the input, and the part of the body that has arrived,
/// into what is sent to an endpoint.
pub(super) fn prepare<'f, F: Filters>(
    (input, length): (&mut Buffer, usize),
    sender: Sender<'_>,
    filters: &'f F,
    context: &WorkerContext,
    mut timing: RequestTiming,
) -> Result<Request<'f, F>, Refused> {
    let fault = |stage, reject| Fault::client(stage, Kind::Rejected(reject));
    let read = {
        let mut storage = Storage::new();
        let limits = &context.plan.limits;
        let head = parse::request(&input.filled()[..length], limits, &mut storage);
        head.and_then(|head| {
            let framing = framing::request(&head);
            request_head::read((&head, framing), sender, filters, context, &mut timing)
        })
    };
    let ReadHead {
        traits,
        route,
        upstream,
        ties,
        framing,
        body_max,
        chunks,
        mut outgoing,
        mut decided,
    } = match read {
        Ok(read) => read,
        Err(reject) => return Err((fault(Stage::RequestHead, reject), None, timing)),
    };
    input.consume(length);
    if let Some(request_log) = timing.request_log() {
        request_log.took(length as u64);
    }
    let mut body = Body::new(framing, chunks);
    body_max.inspect(|max| body.set_data_max(*max));
    match begin_body(&mut body, input, &mut outgoing) {
        Err(Reject::BodyTooLong) => {
            decided.refuse_long(route, context);
        }
        Ok(taken) => {
            timing.request_log().inspect(|request_log| request_log.took(taken as u64));
        }
        Err(reject) => {
            timing
                .request_log()
                .zip(route)
                .inspect(|(request_log, route)| request_log.routed(*route));
            return Err((fault(Stage::Request, reject), route, timing));
        }
    }
    let Decided { own_reply, filtered, mirror } = decided;
    Ok(Request {
        traits,
        route,
        upstream,
        mirror,
        ties,
        body,
        chunks,
        outgoing,
        never_indexed: NeverIndexed::NONE,
        head_before: None,
        own_reply,
        filtered,
        timing,
    })
}

/// The same of a request that came on a stream, whose head is `arrived`.
pub(super) fn prepare_stream<'f, F: Filters>(
    (stream, mut arrived): (&MuxStream, Arrived),
    client_info: &ClientInfo,
    filters: &'f F,
    context: &WorkerContext,
    mut timing: RequestTiming,
) -> Result<Request<'f, F>, Refused> {
    let fault = |stage, reject| Fault::client(stage, Kind::Rejected(reject));
    let cost = arrived.section.cost_bytes() as u64;
    let read = {
        let mut storage = Storage::new();
        let fields_max = context.plan.limits.fields_max;
        let fits = arrived.fit.check();
        let head =
            fits.and_then(|()| h2::request::read(&mut arrived.section, fields_max, &mut storage));
        head.and_then(|head| {
            let framing = h2::request::framing(&head, arrived.ends);
            let sender = Sender { client_info, stream: Some(stream.mux().stream()) };
            request_head::read((&head, framing), sender, filters, context, &mut timing)
        })
    };
    let ReadHead {
        traits,
        route,
        upstream,
        ties,
        framing,
        body_max,
        chunks,
        mut outgoing,
        mut decided,
    } = match read {
        Ok(read) => read,
        Err(reject) => {
            if let Some(request_log) = &mut timing.request_log {
                request_log.read_refused(&arrived.section);
            }
            return Err((fault(Stage::RequestHead, reject), None, timing));
        }
    };
    let mut body = Body::of_stream(framing);
    body_max.inspect(|max| body.set_data_max(*max));
    let mut never_indexed = arrived.section.never_indexed().clone();
    never_indexed.extend(&stream.never_indexed_trailers());
    let taken = message::take(&mut body, stream, &mut outgoing);
    if body.admit_of_stream(stream.body_bytes()).is_err() {
        decided.refuse_long(route, context);
    }
    if let Some(request_log) = timing.request_log() {
        request_log.took(cost + taken as u64);
    }
    let Decided { own_reply, filtered, mirror } = decided;
    Ok(Request {
        traits,
        route,
        upstream,
        mirror,
        ties,
        body,
        chunks,
        outgoing,
        never_indexed,
        head_before: None,
        own_reply,
        filtered,
        timing,
    })
}

/// Appends what has come of the body, as far as there is room, and says how many bytes that is. Of chunks, all
/// or nothing: what is left of them would be framed for HTTP/1.1, and may have to go to HTTP/2.
fn begin_body(body: &mut Body, input: &mut Buffer, outgoing: &mut Buffer) -> Result<usize, Reject> {
    let room = outgoing.spare_mut().len();
    if body.is_chunked() && input.len() + CHUNK_OVERHEAD_BYTES > room {
        return Ok(0);
    }
    let ready = body.admit(input, room)?;
    outgoing.append(&input.filled()[..ready]);
    body.pass(input, ready);
    Ok(ready)
}

/// How chunks go on to an endpoint that speaks `protocol`, if they go to HTTP/1.1 like `chunks`.
pub(super) fn emit(chunks: Emit, protocol: AppProtocol) -> Emit {
    match (protocol, chunks) {
        (AppProtocol::Http1, _) => chunks,
        (AppProtocol::Http2, Emit::BareChunks) => Emit::Data,
        (AppProtocol::Http2, _) => Emit::Frames,
    }
}

/// Only the end of its chunks has come after what is kept of a request: it is kept, too, if there is room.
/// What another endpoint got would have no end otherwise.
pub(super) fn keep_end(outgoing: &mut Buffer) -> bool {
    if outgoing.len() + LAST_CHUNK.len() > BUFFER_BYTES {
        return false;
    }
    outgoing.unsettle();
    outgoing.append(LAST_CHUNK);
    outgoing.settle();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BUFFER_BYTES;
    use crate::http::h1::framing::Framing;

    #[test]
    fn chunks_that_do_not_fit_beside_their_head_are_framed_when_their_endpoint_is_known() {
        let (mut input, mut outgoing) = (Buffer::new(), Buffer::new());
        input.append(b"20000\r\n");
        input.append(&[b'x'; BUFFER_BYTES]);
        outgoing.append(b"POST / HTTP/1.1\r\n\r\n");
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        assert_eq!(begin_body(&mut body, &mut input, &mut outgoing), Ok(0));
        body.set_emit(Emit::Frames);
        let ready = body.admit(&mut input, usize::MAX).unwrap();
        assert_eq!(input.filled()[..ready], vec![b'x'; BUFFER_BYTES - b"20000\r\n".len()]);
    }
}
