//! A request: its head as it goes to an endpoint, and its body.

use super::affinity::RequestTies;
use super::attempt::RequestTraits;
use super::attempt_edits::HeadBefore;
use super::client_info::ClientInfo;
use super::request_copy::Mirroring;
use super::request_log::RequestTiming;
use crate::app_protocol::AppProtocol;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::filters::reply::LocalReply;
use crate::filters::{Filtered, Filters};
use crate::http::h1::chunk_lines::CHUNK_OVERHEAD_BYTES;
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing::Framing;
use crate::http::h2::section::NeverIndexed;
use crate::http::message::head::Method;
use crate::http::message::websocket::Accept;
use crate::http::rules::refusal::RefusingRule;
use crate::id::{RouteId, UpstreamId};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::message::LAST_CHUNK;

/// A request: begun when its first byte has come, and filled in where it stands as soon as its head has been read.
/// It is never moved, which would cost three hundred instructions.
pub struct Request<'f, F: Filters> {
    /// What its answer needs to know of it.
    pub traits: RequestTraits,
    /// What proves that an endpoint has read that it asked for a WebSocket, if it did.
    pub accept: Option<Box<Accept>>,
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
    /// comes, so that another endpoint can be sent the same. Nothing, if it is answered here.
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

impl<'f, F: Filters> Request<'f, F> {
    /// One that begins now, from this client.
    #[inline]
    pub fn begin(context: &WorkerContext, client_info: &ClientInfo, filters: &'f F) -> Self {
        Self {
            traits: RequestTraits::UNKNOWN,
            accept: None,
            route: None,
            upstream: None,
            mirror: Mirroring::No,
            ties: RequestTies::default(),
            body: Body::new(Framing::Empty, Emit::Chunks),
            chunks: Emit::Chunks,
            outgoing: Buffer::new(),
            never_indexed: NeverIndexed::NONE,
            head_before: None,
            own_reply: None,
            filtered: Filtered::new(filters),
            timing: RequestTiming::begin(context, client_info),
        }
    }

    /// Notes its method as far as its first bytes say so: an answer to HEAD has no body, not even a refusal
    /// (RFC 9110 §9.3.2).
    pub(super) fn note_method(&mut self, input: &Buffer) {
        if input.filled().starts_with(b"HEAD ") {
            self.traits.method = Method::Head;
        }
    }

    /// By which route it goes where, unless it is answered here.
    #[inline]
    pub fn goes(&self) -> Option<(RouteId, UpstreamId)> {
        self.route.zip(self.upstream).filter(|_| self.own_reply.is_none())
    }

    /// Its body is longer than it may be.
    pub(super) fn refuse_long(&mut self, context: &WorkerContext) {
        if self.own_reply.is_none() {
            let counts = self.route.map(|route| context.route_counts(route));
            counts.inspect(|counts| counts.refuse(RefusingRule::MaxBody));
            self.own_reply = Some(Box::new(LocalReply::too_long()));
        }
    }

    /// Appends what has come of the body, as far as there is room, and says how many bytes that is. Of chunks, all
    /// or nothing: what is left of them would be framed for HTTP/1.1, and may have to go to HTTP/2.
    pub(super) fn begin_body(&mut self, input: &mut Buffer) -> Result<usize, Reject> {
        begin_body(&mut self.body, input, &mut self.outgoing)
    }
}

#[inline]
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
