//! The head of an answer: what it means, and how it is written again for the client.

use std::cell::Cell;

use super::attempt::RequestTraits;
use super::client::{AfterExchange, Begun};
use super::record::AttemptTarget;
use crate::buffer::Buffer;
use crate::filters::calls::{AttemptedAt, ClientResponse, EndpointResponse};
use crate::filters::{Filtered, Filters};
use crate::grpc::call::is_grpc;
use crate::grpc::status::Status;
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::{self, ConnectionHeader};
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::{self, Options};
use crate::http::h1::scan::Limits;
use crate::http::h2;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::section::NeverIndexed;
use crate::http::h2::stream::Arrived;
use crate::http::message::date::HttpDate;
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{Method, ResponseHead, Storage, Version};
use crate::http::message::via::Via;
use crate::http::message::websocket::{self, Accept};
use crate::id::RouteId;
use crate::net::lease::Ending;
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::body::Body;

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Another one follows (1xx).
    Interim,
    /// The answer.
    Final,
    /// The last one in HTTP: a tunnel follows (101).
    Upgrade,
}

/// The head of a response, understood.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What follows it.
    pub finality: Finality,
    /// Its body.
    pub body: Body,
    /// Whether the endpoint's connection may be used again after it.
    pub upstream_persists: bool,
    /// How sure it is that nothing follows it there.
    pub ending: Ending,
    /// Whether the client's connection may.
    pub client_persists: bool,
    /// Whether the client can only tell the end of the body by that of its connection.
    pub ends_with_connection: bool,
    /// What is known once its head has gone to the client.
    pub begun: Begun,
}

impl Answer {
    /// Stands for one until its head has been read. It is filled in where it stands, since to hand it on took 200
    /// instructions.
    pub fn awaited() -> Self {
        Self {
            status: 0,
            finality: Finality::Interim,
            body: Body::new(Framing::Empty, Emit::Chunks),
            upstream_persists: false,
            ending: Ending::Framed,
            client_persists: false,
            ends_with_connection: false,
            begun: Begun::RESET,
        }
    }

    /// Throws away what has come after its head. If that was all of it, and the endpoint's connection may be used
    /// again: how sure it is that nothing follows.
    pub fn discard(&mut self, received: &mut Buffer) -> Option<Ending> {
        let ready = self.body.admit(received, usize::MAX).ok()?;
        self.body.pass(received, ready);
        let is_whole = self.body.has_ended() && received.is_empty();
        (is_whole && self.upstream_persists).then_some(self.ending)
    }
}

/// What the head of a response is held to, and what is done about it.
#[derive(Clone, Copy)]
pub struct AnswerRules<'a, F: Filters> {
    /// What it may cost.
    pub limits: &'a Limits,
    /// What Date says of one that has none (RFC 9110 §6.6.1).
    pub date: &'a Cell<HttpDate>,
    /// What proves that an endpoint has read that it was asked for a WebSocket, if it was.
    pub accept: Option<&'a Accept>,
    /// What is added to Via.
    pub via: Option<&'a Via>,
    /// What is said in a Set-Cookie of our own.
    pub set_cookie: Option<&'a [u8]>,
    /// What is decided about it.
    pub filtered: &'a Filtered<'a, F>,
    /// What its session works with.
    pub context: &'a WorkerContext,
    /// Whose answer it is.
    pub target: &'a AttemptTarget,
    /// The route of its request.
    pub route: Option<RouteId>,
}

impl<F: Filters> AnswerRules<'_, F> {
    /// Has filters see the head of an answer, and edit it.
    fn edit<'a>(
        &'a self,
        head: &'a ResponseHead<'a, 'a>,
        finality: Finality,
        edits: &mut Edits<'a>,
    ) {
        let Self { filtered: Filtered { filters, context: kept, .. }, context, route, .. } = *self;
        let &AttemptTarget { upstream, endpoint, .. } = self.target;
        let at = AttemptedAt { plan: &context.plan, upstream, endpoint };
        let from = EndpointResponse { head, at };
        filters.response_in(&from, edits, kept);
        if finality != Finality::Interim {
            let out = ClientResponse { status: head.status, from: Some(from), route, context };
            filters.response_out(&out, edits, kept);
        }
    }
}

/// Where the head of an answer is written again, as the client's protocol has it.
pub enum HeadOut<'a> {
    /// As bytes of HTTP/1.1.
    H1(&'a mut Buffer),
    /// As a header block.
    H2(&'a mut Vec<u8>),
}

/// The head of an answer as it came.
pub enum HeadIn<'a> {
    /// At the front of a buffer, of which it is consumed. So many bytes, if that is known.
    H1(&'a mut Buffer, Option<usize>),
    /// A field section.
    H2(&'a Arrived),
}

/// Whether the head of an answer has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRead {
    /// It has.
    Whole,
    /// It takes a closer look to know how long it is.
    NotYet,
}

/// Reads the head of an answer, notes what it means in `answer`, and writes it again to `out`.
pub fn read_answer<F: Filters>(
    head: HeadIn<'_>,
    traits: RequestTraits,
    rules: &AnswerRules<'_, F>,
    out: HeadOut<'_>,
    answer: &mut Answer,
) -> Result<HeadRead, Reject> {
    match head {
        HeadIn::H1(input, known) => {
            let read = read_bytes((input.filled(), known), traits, rules, out, answer)?;
            let Some(length) = read else { return Ok(HeadRead::NotYet) };
            input.consume(length);
        }
        HeadIn::H2(arrived) => {
            arrived.fit.check()?;
            let (section, fields_max) = (&arrived.section, rules.limits.fields_max);
            let mut storage = Storage::new();
            let tunnel = rules.accept.is_some();
            let head = h2::response::read(section, fields_max, tunnel, &mut storage)?;
            let framing = h2::response::framing(&head, traits.method, arrived.ends)?;
            pass_on((&head, framing), section.never_indexed(), traits, rules, out, answer)?;
            if arrived.ends {
                // To a call: its head is its trailers, too.
                answer.body.set_call_status(Status::among(section.iter()));
            }
        }
    }
    Ok(HeadRead::Whole)
}

/// The same of the bytes of one, and how long it is; so long, if that is known.
#[inline]
fn read_bytes<F: Filters>(
    (bytes, known): (&[u8], Option<usize>),
    traits: RequestTraits,
    rules: &AnswerRules<'_, F>,
    out: HeadOut<'_>,
    answer: &mut Answer,
) -> Result<Option<usize>, Reject> {
    let mut storage = Storage::new();
    let read = match known {
        Some(length) => {
            let head = parse::response(&bytes[..length], rules.limits, &mut storage)?;
            Some((head, length))
        }
        None => parse::whole_response(bytes, rules.limits, &mut storage),
    };
    let Some((head, length)) = read else { return Ok(None) };
    let framing = framing::response(&head, traits.method)?;
    pass_on((&head, framing), &NeverIndexed::NONE, traits, rules, out, answer)?;
    Ok(Some(length))
}

/// Decides what a head means, and writes it again to `out`.
fn pass_on<F: Filters>(
    (head, framing): (&ResponseHead<'_, '_>, Framing),
    never_indexed: &NeverIndexed,
    traits: RequestTraits,
    rules: &AnswerRules<'_, F>,
    out: HeadOut<'_>,
    answer: &mut Answer,
) -> Result<(), Reject> {
    let options = Options::of(&head.fields);
    let finality = finality(head, options, traits, rules.accept)?;
    let old_client = traits.version == Version::Http10;
    let emit = emit_to(traits.version, options);
    let client_framing =
        if framing == Framing::Chunked && old_client { Framing::UntilClose } else { framing };
    let ends_with_connection =
        client_framing == Framing::UntilClose && traits.version != Version::Http2;
    let client_persists = traits.persists && !ends_with_connection;
    let connection = match finality {
        Finality::Upgrade => ConnectionHeader::Upgrade,
        Finality::Final if !client_persists => ConnectionHeader::Close,
        Finality::Final if old_client => ConnectionHeader::KeepAlive,
        Finality::Interim | Finality::Final => ConnectionHeader::Implied,
    };
    // Before the edits, which borrow it.
    let date;
    let mut edits = Edits::new();
    if finality == Finality::Final && lacks_date(head, options) {
        date = rules.date.get();
        edits.set(EditName::DATE, Value::checked(&date));
    }
    if let Some(accept) = rules.accept.filter(|_| finality == Finality::Upgrade) {
        edit_accept(&mut edits, accept, head.version, traits.version);
    }
    if let Some(via) = rules.via.filter(|_| finality != Finality::Interim) {
        via.edit_response(&mut edits, head);
    }
    if let Some(cookie) = rules.set_cookie.filter(|_| finality != Finality::Interim) {
        edits.add(EditName::SET_COOKIE, Value::checked(cookie));
    }
    rules.edit(head, finality, &mut edits);
    match out {
        HeadOut::H1(out) => {
            encode::response(head, options, &edits, client_framing, connection, out)?;
        }
        HeadOut::H2(block) => {
            let encoder = &mut Encoder::continued();
            h2::encode::response(head, options, &edits, never_indexed, encoder, block);
        }
    }
    let body = match head.version {
        Version::Http2 => Body::of_stream(client_framing),
        Version::Http10 | Version::Http11 => Body::new(framing, emit),
    };
    *answer = Answer {
        // RFC 8441 §5: what HTTP/1.1 calls 101.
        status: if (head.status, traits.version) == (101, Version::Http2) {
            200
        } else {
            head.status
        },
        finality,
        body,
        ending: ending(head, framing, traits.method),
        upstream_persists: options.persists(head.version) && framing != Framing::UntilClose,
        client_persists,
        ends_with_connection,
        begun: begun(head, client_framing, traits.version, ends_with_connection),
    };
    Ok(())
}

/// How chunks go to a client that speaks `version`.
fn emit_to(version: Version, options: Options) -> Emit {
    match (version, options.names_fields()) {
        (Version::Http10, _) | (Version::Http2, true) => Emit::Data,
        (Version::Http11, true) => Emit::BareChunks,
        (Version::Http11, false) => Emit::Chunks,
        (Version::Http2, false) => Emit::Frames,
    }
}

/// What it is once its head has gone to a client that speaks `to`.
#[inline]
fn begun(head: &ResponseHead<'_, '_>, framing: Framing, to: Version, ends: bool) -> Begun {
    Begun {
        next: if ends { AfterExchange::Reset } else { AfterExchange::Linger },
        takes_status: to == Version::Http2 && takes_status(head, framing),
    }
}

/// Whether it is an answer to a call of gRPC, whose trailers can say a status: not where the length of its body
/// is known.
fn takes_status(head: &ResponseHead<'_, '_>, framing: Framing) -> bool {
    let is_content_type = |name: &[u8]| name.eq_ignore_ascii_case(b"content-type");
    let mut fields = head.fields.iter();
    matches!(framing, Framing::Chunked | Framing::UntilClose)
        && head.status == 200
        && fields.any(|(_, name, value)| is_content_type(name) && is_grpc(value))
}

/// What follows a head.
#[inline]
fn finality(
    head: &ResponseHead<'_, '_>,
    options: Options,
    traits: RequestTraits,
    accept: Option<&Accept>,
) -> Result<Finality, Reject> {
    let agreed = || {
        head.protocol.is_some() || persistence::names_protocol(&head.fields, options, head.version)
    };
    match head.status {
        101 if traits.upgrade && agreed() => {
            check_websocket(head, traits, accept)?;
            Ok(Finality::Upgrade)
        }
        101 => Err(Reject::UnaskedUpgrade),
        // Its client could not tell it from an agreement.
        200..300 if traits.upgrade && traits.version == Version::Http2 => {
            Err(Reject::UpgradeIgnored)
        }
        _ if head.is_interim() => Ok(Finality::Interim),
        _ => Ok(Finality::Final),
    }
}

/// Changes the proof that goes with a 101 from one protocol to another: HTTP/2 has none.
fn edit_accept<'a>(edits: &mut Edits<'a>, accept: &'a Accept, from: Version, to: Version) {
    match (from, to) {
        (_, Version::Http2) => edits.remove(EditName::SEC_WEBSOCKET_ACCEPT),
        (Version::Http2, _) => {
            edits.set(EditName::SEC_WEBSOCKET_ACCEPT, Value::checked(accept.text()));
        }
        (Version::Http10 | Version::Http11, _) => {}
    }
}

/// A client of HTTP/2 cannot see whether an endpoint of HTTP/1.1 has read that it is asked for a WebSocket
/// (RFC 6455 §4.1): it believes us.
fn check_websocket(
    head: &ResponseHead<'_, '_>,
    traits: RequestTraits,
    accept: Option<&Accept>,
) -> Result<(), Reject> {
    let is_to_be_checked = traits.version == Version::Http2 && head.version != Version::Http2;
    match accept {
        Some(_) if is_to_be_checked && !websocket::is_named(&head.fields) => {
            Err(Reject::UnaskedUpgrade)
        }
        Some(accept) if is_to_be_checked && !accept.is_in(&head.fields) => {
            Err(Reject::WebSocketAccept)
        }
        _ => Ok(()),
    }
}

/// Whether there is no Date, or one that its sender means for us only.
fn lacks_date(head: &ResponseHead<'_, '_>, options: Options) -> bool {
    !head.fields.has(Name::Date) || options.names(&head.fields, b"date")
}

fn ending(head: &ResponseHead<'_, '_>, framing: Framing, to: Method) -> Ending {
    let is_announced = || {
        to == Method::Head
            || framing::announced_length(head).is_some_and(|length| length > 0)
            || head.fields.has(Name::TransferEncoding)
    };
    if framing == Framing::Empty && is_announced() { Ending::Announced } else { Ending::Framed }
}
