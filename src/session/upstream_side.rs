//! The endpoint's side of an attempt: a connection of its own, or a stream of one that is shared.

use super::attempt_edits::WRITTEN_LIMITS;
use super::upstream_h2::{OpenedStream, StreamHead};
use crate::app_protocol::AppProtocol;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::fault::{Fault, Kind, Progress, Side};
use crate::http::h1::chunked::{Chunked, Emit};
use crate::http::h1::parse;
use crate::http::h2;
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::section::NeverIndexed;
use crate::http::h2::stream::Abort;
use crate::http::message::field::Name;
use crate::http::message::head::{Method, Storage};
use crate::http::message::hop::ClientScheme;
use crate::http::message::websocket::{self, Key};
use crate::net::lease::Lease;
use crate::net::stream::Stream;
use crate::reject::Reject;
use crate::relay::copy::{Broken, Meter};
use crate::relay::ends::{Sink, Source};

/// What an attempt goes over.
pub enum UpstreamSide {
    /// A connection, leased.
    H1(Lease),
    /// A stream, on which the head has been sent.
    H2(OpenedStream, Box<Outgoing>),
}

/// A request as HTTP/2 has it, translated from what was written for HTTP/1.1.
pub struct Outgoing {
    /// Its header block.
    block: Vec<u8>,
    /// What has come of its body.
    data: Buffer,
    /// The header block of its trailers, if they have come and there are any.
    trailers: Vec<u8>,
    /// Whether all of it is here.
    is_whole: bool,
    answers_head: bool,
    /// Whether it asks for a tunnel.
    tunnel: bool,
}

impl Outgoing {
    /// Translates the head and the part of the body in `written`, which `is_whole` if nothing follows;
    /// a request that `upgrades` asks for a tunnel. `never_indexed` are those of its fields that came so.
    pub fn translate(
        written: &Buffer,
        (is_whole, upgrades): (bool, bool),
        scheme: ClientScheme,
        never_indexed: &NeverIndexed,
    ) -> Result<Box<Self>, Reject> {
        let bytes = written.filled();
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        let (head, body) = bytes.split_at(end);
        let mut storage = Storage::new();
        let head = parse::request(head, &WRITTEN_LIMITS, &mut storage)?;
        let mut block = Vec::with_capacity(512);
        let encoder = &mut Encoder::continued();
        let tunnel = upgrades && websocket::is_asked_for(&head);
        if tunnel && Key::read(&head.fields).is_none() {
            return Err(Reject::WebSocketKey);
        }
        h2::encode::request(&head, scheme, tunnel, never_indexed, encoder, &mut block);
        let (mut data, mut trailers) = (Buffer::new(), Vec::new());
        if body.len() > BUFFER_BYTES {
            data.enlarge();
        }
        data.append(body);
        if head.fields.has(Name::TransferEncoding) {
            let mut chunked = Chunked::new(Emit::Frames);
            let ready = chunked.admit(&mut data)?;
            let section = chunked.trailer_bytes();
            let lines = &data.filled()[ready - section..ready];
            h2::trailers::encode_h1(lines, never_indexed, encoder, &mut trailers);
            data.cut(ready - section, ready);
        }
        let answers_head = head.semantics == Method::Head;
        // What follows the head of a tunnel is its beginning.
        let is_whole = is_whole && !tunnel;
        Ok(Box::new(Self { block, data, trailers, is_whole, answers_head, tunnel }))
    }

    /// What a stream is opened with.
    pub fn head(&self) -> StreamHead<'_> {
        let ends = self.is_whole && self.data.is_empty() && self.trailers.is_empty();
        let Self { block, answers_head, tunnel, .. } = self;
        StreamHead { block, ends, answers_head: *answers_head, tunnel: *tunnel }
    }

    /// How many bytes are here.
    fn len(&self) -> usize {
        self.block.len() + self.data.len() + self.trailers.len()
    }

    /// Sends what follows the head.
    async fn send_rest(&mut self, to: &OpenedStream, up: &Meter<'_>) -> Result<(), Broken> {
        let Self { data, trailers, is_whole, .. } = self;
        if !data.is_empty() {
            up.send(&to.stream, data.filled(), *is_whole && trailers.is_empty()).await?;
        }
        data.clear();
        if !trailers.is_empty() {
            let sending =
                up.send_trailers(&to.stream, |_, block| block.extend_from_slice(trailers));
            sending.await?;
        }
        Ok(())
    }
}

/// What is to be sent first, and where.
pub enum RequestOpening<'a> {
    /// `outgoing`, as it is.
    H1(Sink<'a>, &'a mut Buffer),
    /// What it was translated to.
    H2(&'a OpenedStream, &'a mut Outgoing),
}

impl RequestOpening<'_> {
    /// Sends what goes at once; says whether that is all of it.
    #[inline]
    pub fn try_send(&mut self, up: &Meter<'_>) -> Result<bool, Broken> {
        let Self::H1(Sink::H1(write), outgoing) = self else { return Ok(false) };
        let is_all = up.try_write(write, outgoing.filled())? == outgoing.len();
        if is_all {
            outgoing.settle();
        }
        Ok(is_all)
    }

    /// Sends what is left of it. It is kept, since it may have to be sent elsewhere.
    pub async fn send(&mut self, up: &Meter<'_>) -> Result<(), Broken> {
        match self {
            Self::H1(Sink::H1(write), outgoing) => {
                let left = usize::try_from(up.bytes()).unwrap_or(usize::MAX);
                up.write(write, outgoing.filled().get(left..).unwrap_or_default()).await?;
                outgoing.settle();
                Ok(())
            }
            Self::H1(Sink::H2(_), _) => Ok(()),
            Self::H2(opened, outgoing) => {
                up.sent_head(outgoing.block.len());
                if outgoing.data.is_empty() && outgoing.trailers.is_empty() {
                    return Ok(());
                }
                // Boxed: those that are only a head, and those of HTTP/1.1, would have room for it.
                Box::pin(outgoing.send_rest(opened, up)).await
            }
        }
    }

    /// How many bytes that is.
    pub fn bytes(&self) -> usize {
        match self {
            Self::H1(_, outgoing) => outgoing.len(),
            Self::H2(_, outgoing) => outgoing.len(),
        }
    }
}

impl UpstreamSide {
    /// The two directions, and what is to be sent first: `outgoing`, as its protocol has it.
    pub fn parts<'a>(
        &'a mut self,
        outgoing: &'a mut Buffer,
    ) -> (Source<'a>, Sink<'a>, RequestOpening<'a>) {
        match self {
            Self::H1(lease) => {
                let (read, write) = lease.stream.split();
                let write = Sink::H1(write);
                (Source::H1(read), write, RequestOpening::H1(write, outgoing))
            }
            Self::H2(opened, translated) => {
                let opened = &*opened;
                let (source, sink) = (Source::H2(&opened.stream), Sink::H2(&opened.stream));
                (source, sink, RequestOpening::H2(opened, translated))
            }
        }
    }

    /// Both directions, for a tunnel.
    pub fn split(&mut self) -> (Source<'_>, Sink<'_>) {
        match self {
            Self::H1(lease) => {
                let (read, write) = lease.stream.split();
                (Source::H1(read), Sink::H1(write))
            }
            Self::H2(opened, _) => (Source::H2(&opened.stream), Sink::H2(&opened.stream)),
        }
    }

    /// The connection below.
    pub fn connection(&self) -> &Stream {
        match self {
            Self::H1(lease) => &lease.stream,
            Self::H2(opened, _) => opened.stream.mux().stream(),
        }
    }

    /// Whether it was there when the attempt began: an idle connection.
    pub fn took_no_time(&self) -> bool {
        matches!(self, Self::H1(lease) if lease.is_reused())
    }

    /// Whether it has carried others before.
    pub fn is_reused(&self) -> bool {
        match self {
            Self::H1(lease) => lease.is_reused(),
            Self::H2(opened, _) => opened.is_reused,
        }
    }

    /// What is spoken over it.
    pub fn protocol(&self) -> AppProtocol {
        match self {
            Self::H1(_) => AppProtocol::Http1,
            Self::H2(..) => AppProtocol::Http2,
        }
    }
}

/// How far a request on a stream can have come that `fault` ended without a byte of an answer, and whether
/// that says nothing of the endpoint.
pub fn verdict(opened: &OpenedStream, fault: Fault) -> (Progress, bool) {
    match opened.stream.aborted() {
        // RFC 9113 §8.7: nothing has been done about it.
        Some(Abort::Unprocessed | Abort::Reset(ErrorCode::RefusedStream)) => {
            (Progress::Unsent, true)
        }
        // Where the connection has carried others, that may be about those.
        Some(Abort::Reset(ErrorCode::EnhanceYourCalm)) => (Progress::Unanswered, opened.is_reused),
        Some(Abort::ConnectionLost) => {
            (Progress::Unanswered, opened.is_reused && fault.kind != Kind::TimedOut)
        }
        _ => (Progress::Unanswered, false),
    }
}

/// What the endpoint has reset its stream with, if that is the fault that ended an attempt.
pub fn reset_of(opened: &OpenedStream, fault: Fault) -> Option<ErrorCode> {
    match opened.stream.aborted() {
        Some(Abort::Reset(code)) if fault.side == Side::Upstream => Some(code),
        _ => None,
    }
}
