//! From the head of a request to what is sent to an endpoint.

use rustix::rand::{GetRandomFlags, getrandom};

use super::affinity::RequestTies;
use super::attempt::{OwnAnswer, RequestTraits};
use super::client_info::ClientInfo;
use super::request_log::RequestTiming;
use crate::access_log::is_request_id;
use crate::app_protocol::AppProtocol;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::decimal::decimal;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::chunk_lines::CHUNK_OVERHEAD_BYTES;
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::{self, ConnectionHeader};
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::{self, Options};
use crate::http::h2;
use crate::http::h2::section::NeverIndexed;
use crate::http::h2::stream::Arrived;
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{RequestHead, Storage, Version};
use crate::http::message::max_forwards::{self, Reach};
use crate::http::message::redirect::{self, Nowhere};
use crate::http::message::websocket::{self, Key, NONCE_BYTES};
use crate::http::message::{forwarded, forwarded_for};
use crate::id::RouteId;
use crate::net::listen::Peer;
use crate::net::mux_stream::MuxStream;
use crate::net::tls::client_certificate::ClientCertificate;
use crate::plan::context::WorkerContext;
use crate::plan::{Plan, Route};
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::message::{self, LAST_CHUNK};
use crate::route;

/// A request whose head has been read and encoded for the endpoint.
pub struct Request {
    /// What its answer needs to know of it.
    pub traits: RequestTraits,
    /// The route it takes, if there is one.
    pub route: Option<RouteId>,
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
    /// Where its client is sent to, if it is.
    pub location: Option<Box<str>>,
    /// When and how it came.
    pub timing: RequestTiming,
}

/// Turns the head, the first `length` bytes of the input, and the part of the body that has arrived,
/// into what is sent to an endpoint. `local` is the address the client connected to.
pub(super) fn prepare(
    (input, length): (&mut Buffer, usize),
    client_info: &ClientInfo,
    local: impl FnOnce() -> String,
    context: &WorkerContext,
    mut timing: RequestTiming,
) -> Result<Request, (Fault, Option<RouteId>, RequestTiming)> {
    let fault = |stage, reject| Fault::client(stage, Kind::Rejected(reject));
    let read = {
        let mut storage = Storage::new();
        let limits = &context.plan.limits;
        let head = parse::request(&input.filled()[..length], limits, &mut storage);
        head.and_then(|head| {
            let framing = |head: &RequestHead<'_, '_>| framing::request(head);
            read(&head, framing, client_info, local, context, &mut timing)
        })
    };
    let ReadHead { traits, route, ties, framing, chunks, mut outgoing, location } = match read {
        Ok(read) => read,
        Err(reject) => return Err((fault(Stage::RequestHead, reject), None, timing)),
    };
    input.consume(length);
    if let Some(request_log) = timing.request_log() {
        request_log.took(length as u64);
    }
    let mut body = Body::new(framing, chunks);
    match begin_body(&mut body, input, &mut outgoing) {
        Ok(taken) => timing.request_log().inspect(|request_log| request_log.took(taken as u64)),
        Err(reject) => {
            timing
                .request_log()
                .zip(route)
                .inspect(|(request_log, route)| request_log.routed(*route));
            return Err((fault(Stage::Request, reject), route, timing));
        }
    };
    let never_indexed = NeverIndexed::NONE;
    Ok(Request { traits, route, ties, body, chunks, outgoing, never_indexed, location, timing })
}

/// The same of a request that came on a stream, whose head is `arrived`.
pub(super) fn prepare_stream(
    (stream, mut arrived): (&MuxStream, Arrived),
    client_info: &ClientInfo,
    context: &WorkerContext,
    mut timing: RequestTiming,
) -> Result<Request, (Fault, Option<RouteId>, RequestTiming)> {
    let fault = |stage, reject| Fault::client(stage, Kind::Rejected(reject));
    let cost = arrived.section.cost_bytes() as u64;
    let read = {
        let mut storage = Storage::new();
        let fields_max = context.plan.limits.fields_max;
        let fits = arrived.fit.check();
        let head =
            fits.and_then(|()| h2::request::read(&mut arrived.section, fields_max, &mut storage));
        head.and_then(|head| {
            let framing = |head: &RequestHead<'_, '_>| h2::request::framing(head, arrived.ends);
            let local = || stream.mux().stream().local_authority();
            read(&head, framing, client_info, local, context, &mut timing)
        })
    };
    let ReadHead { traits, route, ties, framing, chunks, mut outgoing, location } = match read {
        Ok(read) => read,
        Err(reject) => {
            if let Some(request_log) = &mut timing.request_log {
                request_log.read_refused(&arrived.section);
            }
            return Err((fault(Stage::RequestHead, reject), None, timing));
        }
    };
    let mut body = Body::of_stream(framing);
    let mut never_indexed = arrived.section.never_indexed().clone();
    never_indexed.extend(&stream.never_indexed_trailers());
    let taken = message::take(&mut body, stream, &mut outgoing);
    if let Some(request_log) = timing.request_log() {
        request_log.took(cost + taken as u64);
    }
    Ok(Request { traits, route, ties, body, chunks, outgoing, never_indexed, location, timing })
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

/// A head that has been read, and encoded for the endpoint.
struct ReadHead {
    traits: RequestTraits,
    route: Option<RouteId>,
    ties: RequestTies,
    framing: Framing,
    /// How chunks are to go on, if there are any.
    chunks: Emit,
    outgoing: Buffer,
    location: Option<Box<str>>,
}

/// What any head comes to, whichever protocol brought it.
fn read(
    head: &RequestHead<'_, '_>,
    framing: impl FnOnce(&RequestHead<'_, '_>) -> Result<Framing, Reject>,
    client_info: &ClientInfo,
    local: impl FnOnce() -> String,
    context: &WorkerContext,
    timing: &mut RequestTiming,
) -> Result<ReadHead, Reject> {
    let plan = &*context.plan;
    let mut outgoing = Buffer::new();
    let trusted = client_info.is_trusted(&plan.trusted);
    let client = real_client(head, client_info, trusted, plan);
    if let Some(request_log) = &mut timing.request_log {
        request_log.read(head, client, if trusted { request_id(head) } else { None });
    }
    let framing = framing(head)?;
    let reach = max_forwards::reach(head)?;
    let path = route::normalise(head.path().as_bytes()).map_err(|_| Reject::PathAboveRoot)?;
    let options = Options::of(&head.fields);
    let redirect = plan.redirect_https.filter(|_| client_info.tls().is_none());
    let redirect = redirect.and_then(|port| redirect::of(head, &path, trusted, port));
    let upgrade = head.protocol.is_some()
        || !framing.has_body() && persistence::names_protocol(&head.fields, options, head.version);
    let key = if upgrade { websocket_key(head) } else { None };
    let traits = RequestTraits {
        method: head.semantics,
        version: head.version,
        upgrade,
        accept: key.as_ref().map(Key::accept),
        expects: framing.has_body()
            && head.version != Version::Http10
            && head.fields.has(Name::Expect),
        persists: options.persists(head.version),
        answered_here: answered_here(redirect.as_ref(), reach),
    };
    let route = plan.router.find(head.authority, &path);
    let upstream = route.map(|route| &**plan.upstream(plan.route(route).upstream));
    let ties = RequestTies::of(upstream, (head, &path), client, (client_info, trusted));
    let left = if let Reach::Hops(left) = reach { Some(decimal(left)) } else { None };
    let mut edits = Edits::new();
    if let Some(via) = &plan.via {
        via.edit_request(&mut edits, head)?;
    }
    if let (Some(key), Some(_)) = (&key, head.protocol) {
        edits.set(EditName::SEC_WEBSOCKET_KEY, Value::checked(key.text()));
    }
    if let Some(left) = &left {
        edits.set(EditName::MAX_FORWARDS, Value::checked(left));
    }
    edit_for_client(&mut edits, head, client_info, client, trusted);
    // Of an HTTP/1.0 client that names none.
    let needs_host = !head.fields.has(Name::Host) && head.authority.is_empty();
    let host = if needs_host { local() } else { String::new() };
    if needs_host {
        edits.set_host(host.as_bytes());
    }
    if let Some(route) = route {
        edit_for_route(&mut edits, plan.route(route), head, &path);
    }
    if let Some(request_log) = timing.request_log() {
        edits.set(EditName::X_REQUEST_ID, Value::checked(request_log.request_id()));
    }
    let connection =
        if traits.upgrade { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
    let aliases = encode::request(head, options, &edits, framing, connection, &mut outgoing)?;
    context.metrics.aliases.add(aliases as u64);
    let chunks = if options.names_fields() { Emit::BareChunks } else { Emit::Chunks };
    let location = redirect.and_then(Result::ok);
    Ok(ReadHead { traits, route, ties, framing, chunks, outgoing, location })
}

/// The key of a request for a WebSocket: our own, where the client's protocol has none.
fn websocket_key(head: &RequestHead<'_, '_>) -> Option<Key> {
    if head.protocol.is_none() {
        return Key::read(&head.fields).filter(|_| websocket::is_asked_for(head));
    }
    let mut nonce = [0; NONCE_BYTES];
    // So few bytes never fail to come; and if they did: no secret depends on them.
    let _ = getrandom(&mut nonce, GetRandomFlags::empty());
    Some(Key::of(nonce))
}

fn answered_here(redirect: Option<&Result<Box<str>, Nowhere>>, reach: Reach) -> Option<OwnAnswer> {
    match (redirect, reach) {
        (Some(Ok(_)), _) => Some(OwnAnswer::ToHttps),
        (Some(Err(nowhere)), _) => Some(OwnAnswer::Nowhere(*nowhere)),
        (None, Reach::Here(status)) => Some(OwnAnswer::MaxForwards(status)),
        (None, Reach::Hops(_) | Reach::Anywhere) => None,
    }
}

/// The client's address, where a proxy has said that it is not that of the connection.
fn real_ip(client: Peer, client_info: &ClientInfo, trusted: bool) -> Peer {
    // Addresses are compared for those only that came through a proxy.
    let is_told = trusted || client_info.is_announced();
    client.filter(|_| is_told && client != client_info.peer())
}

/// The client a request is from: the one that a trusted proxy names, if it came from one.
fn real_client(
    head: &RequestHead<'_, '_>,
    client_info: &ClientInfo,
    trusted: bool,
    plan: &Plan,
) -> Peer {
    if !trusted {
        return client_info.client;
    }
    let named = head.fields.values(Name::ForwardedFor);
    let is_trusted = |address| plan.trusted.contains(Some(address));
    forwarded_for::client(named, client_info.client, is_trusted)
}

/// Adds what an endpoint is told of the client.
fn edit_for_client<'a>(
    edits: &mut Edits<'a>,
    head: &RequestHead<'_, 'a>,
    client_info: &'a ClientInfo,
    client: Peer,
    trusted: bool,
) {
    forwarded::edit(edits, head, client_info.hop(), trusted);
    if let Some(ClientCertificate { subject, sha256, .. }) = client_info.certificate() {
        edits.set(EditName::X_CLIENT_CERT_SUBJECT, Value::checked(subject.as_bytes()));
        edits.set(EditName::X_CLIENT_CERT_SHA256, Value::checked(sha256.as_bytes()));
    }
    if let Some(address) = real_ip(client, client_info, trusted) {
        edits.set(EditName::X_REAL_IP, Value::address(address));
    }
}

/// Adds what a route changes about the requests it takes; `path` is the normalised one.
fn edit_for_route<'a>(
    edits: &mut Edits<'a>,
    route: &'a Route,
    head: &RequestHead<'_, 'a>,
    path: &'a [u8],
) {
    if let Some(host) = &route.host_header {
        edits.set_host(host.as_bytes());
    }
    let Some(prefix) = route.strips.as_deref() else { return };
    if let Some(rest) = route::strip(head.path().as_bytes(), path, prefix) {
        edits.set_path(if rest.is_empty() { [b"/", b""] } else { [b"", rest] });
        edits.add(EditName::X_FORWARDED_PREFIX, Value::checked(prefix.as_bytes()));
    }
}

/// What the client calls its request: if it does so once, and not to us only.
fn request_id<'a>(head: &RequestHead<'a, '_>) -> Option<&'a [u8]> {
    let mut named = head.fields.iter().filter(|(known, ..)| *known == Name::RequestId);
    let (_, name, id) = named.next()?;
    let is_for_all = !Options::of(&head.fields).names(&head.fields, name);
    (is_request_id(id) && is_for_all && named.next().is_none()).then_some(id)
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
