//! The head of a request: where it goes, what is decided about it, and how it is written for an endpoint.

use std::net::SocketAddr;

use rustix::rand::{GetRandomFlags, getrandom};

use super::affinity::RequestTies;
use super::attempt::RequestTraits;
use super::client_info::ClientInfo;
use super::request::Request;
use super::request_copy::Mirroring;
use super::request_log::RequestLog;
use super::tracing::{self, ToldTrace};
use crate::access_log::is_request_id;
use crate::decimal::{Digits, decimal};
use crate::filters::calls::{ClientRequest, RouteChoice};
use crate::filters::reply::LocalReply;
use crate::filters::{Filtered, Filters, Verdict};
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::{self, ConnectionHeader};
use crate::http::h1::framing::Framing;
use crate::http::h1::persistence::{self, Options};
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{RequestHead, Version};
use crate::http::message::hop::ClientScheme;
use crate::http::message::max_forwards::{self, Reach};
use crate::http::message::redirect::{self, Nowhere};
use crate::http::message::websocket::{self, Key, NONCE_BYTES};
use crate::http::message::{forwarded, forwarded_for};
use crate::http::rules::table::FoundRoute;
use crate::id::RouteId;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::net::tls::client_certificate::ClientCertificate;
use crate::plan::context::WorkerContext;
use crate::plan::{Plan, Route};
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::route;
use crate::upstream::Upstream;

/// Who sent a request.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    /// What is known of the client.
    pub(super) client_info: &'a ClientInfo,
    /// Its connection; none where only heads are looked at.
    pub(super) stream: Option<&'a Stream>,
}

impl Sender<'_> {
    /// The address it connected to.
    fn local(self) -> String {
        self.stream.map_or_else(|| "localhost".to_owned(), Stream::local_authority)
    }

    /// The address it connected from, or the one that a PROXY header names.
    fn source(self) -> Option<SocketAddr> {
        self.client_info.source(self.stream?)
    }
}

/// Reads a head, if it could be parsed, and shows filters what is refused.
#[inline]
pub(super) fn admit<F: Filters>(
    request: &mut Request<'_, F>,
    head: &Result<RequestHead<'_, '_>, Reject>,
    framing: impl FnOnce(&RequestHead<'_, '_>) -> Result<Framing, Reject>,
    sender: Sender<'_>,
    context: &WorkerContext,
) -> Result<(), Reject> {
    let read = match head {
        Ok(head) => read(request, (head, framing(head)), sender, context),
        Err(reject) => Err(*reject),
    };
    if read.is_err() {
        show_refused(request, head.as_ref().unwrap_or(&RequestHead::UNREAD), sender, context);
    }
    read
}

/// Shows filters the head of a request that is refused, as far as it could be read, for the answer to it. What they
/// kept for another answer is not for this one.
#[cold]
pub(super) fn show_refused<F: Filters>(
    request: &mut Request<'_, F>,
    head: &RequestHead<'_, '_>,
    sender: Sender<'_>,
    context: &WorkerContext,
) {
    let plan = &*context.plan;
    let client_info = sender.client_info;
    let trusted = client_info.is_trusted(&plan.trusted);
    let their_id = if trusted { request_id(head) } else { None };
    let path = if head.is_unread() { "" } else { head.path() };
    let path = route::normalise(path.as_bytes()).unwrap_or_default();
    let asked = ClientRequest {
        head,
        path: &path,
        client: real_client(head, client_info, trusted, plan),
        scheme: scheme(head, client_info, trusted),
        tls: client_info.tls(),
        request_id: request.timing.request_log().map(RequestLog::request_id).or(their_id),
        arrived: request.timing.ready,
        route: None,
        context,
        source: &|| sender.source(),
    };
    request.filtered = Filtered::new(request.filtered.filters);
    let Filtered { filters, context: kept, .. } = &mut request.filtered;
    filters.unrouted(&asked, kept);
}

/// What any head comes to, whichever protocol brought it. Nothing is known of where a request goes that is refused.
fn read<F: Filters>(
    request: &mut Request<'_, F>,
    (head, framing): (&RequestHead<'_, '_>, Result<Framing, Reject>),
    sender: Sender<'_>,
    context: &WorkerContext,
) -> Result<(), Reject> {
    let plan = &*context.plan;
    let client_info = sender.client_info;
    let trusted = client_info.is_trusted(&plan.trusted);
    let client = real_client(head, client_info, trusted, plan);
    let their_id = if trusted { request_id(head) } else { None };
    let trace = tracing::note(head, (client, their_id), &mut request.timing, context);
    let framing = framing?;
    let reach = max_forwards::reach(head)?;
    let path = route::normalise(head.path().as_bytes()).map_err(|_| Reject::PathAboveRoot)?;
    let options = Options::of(&head.fields);
    let redirect = plan.redirect_https.filter(|_| client_info.tls().is_none());
    let redirect = redirect.and_then(|port| redirect::of(head, &path, trusted, port));
    request.own_reply = redirect.map(|redirect| Box::new(to_https(redirect)));
    let upgrade = upgrades(head, framing, options);
    let key = if upgrade { websocket_key(head) } else { None };
    request.traits = traits(head, framing, options, upgrade);
    request.accept = key.as_ref().map(|key| Box::new(key.accept()));
    let own = OwnEdits {
        key: key.filter(|_| head.protocol.is_some()),
        left: if let Reach::Hops(left) = reach { Some(decimal(left)) } else { None },
        // Of an HTTP/1.0 client that names none.
        host: (!head.fields.has(Name::Host) && head.authority.is_empty()).then(|| sender.local()),
        request_id: request.timing.request_log().map(RequestLog::request_id),
        trace,
    };
    let mut edits = Edits::new();
    if let Some(via) = &plan.via {
        via.edit_request(&mut edits, head)?;
    }
    own.edit(&mut edits);
    edit_for_client(&mut edits, head, client_info, client, trusted);
    let asked = ClientRequest {
        head,
        path: &path,
        client,
        scheme: scheme(head, client_info, trusted),
        tls: client_info.tls(),
        request_id: own.request_id.or(their_id),
        arrived: request.timing.ready,
        route: None,
        context,
        source: &|| sender.source(),
    };
    let decided = (&mut request.own_reply, &mut request.filtered);
    let (route, mut choice) = decide(decided, asked, &mut edits, reach);
    if let Some(host) = &own.host {
        edits.set_usual_host(host.as_bytes());
    }
    // What follows the head of a tunnel is none of a body.
    choice.body_max = choice.body_max.filter(|_| !upgrade);
    if request.own_reply.is_none() && !framing.is_longer_than(choice.body_max) {
        let connection =
            if upgrade { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
        let out = &mut request.outgoing;
        let aliases = encode::request(head, options, &edits, framing, connection, out)?;
        context.metrics.aliases.add(aliases as u64);
    }
    let (asked, from) = ((head, &*path), (client_info, trusted));
    request.ties = RequestTies::of(choice.upstream(), choice.endpoint, asked, client, from);
    (request.route, request.upstream) = (route, choice.upstream);
    request.mirror = Mirroring::of(head, choice.mirror, context);
    await_body(request, (head.version, framing, options), choice.body_max, context);
    Ok(())
}

/// A body follows that is framed like this, if any does, and may have so many bytes.
#[inline]
fn await_body<F: Filters>(
    request: &mut Request<'_, F>,
    (version, framing, options): (Version, Framing, Options),
    body_max: Option<u64>,
    context: &WorkerContext,
) {
    request.chunks = if options.names_fields() { Emit::BareChunks } else { Emit::Chunks };
    request.body = match version {
        Version::Http2 => Body::of_stream(framing),
        Version::Http10 | Version::Http11 => Body::new(framing, request.chunks),
    };
    body_max.inspect(|max| request.body.set_data_max(*max));
    if framing.is_longer_than(body_max) {
        request.refuse_long(context);
    }
}

/// What the answer needs to know of a request, with the key for the WebSocket that it asks for.
#[inline]
fn traits(
    head: &RequestHead<'_, '_>,
    framing: Framing,
    options: Options,
    upgrade: bool,
) -> RequestTraits {
    RequestTraits {
        method: head.semantics,
        version: head.version,
        upgrade,
        expects: framing.has_body()
            && head.version != Version::Http10
            && head.fields.has(Name::Expect),
        persists: options.persists(head.version),
    }
}

/// Whether it asks for another protocol.
fn upgrades(head: &RequestHead<'_, '_>, framing: Framing, options: Options) -> bool {
    head.protocol.is_some()
        || !framing.has_body() && persistence::names_protocol(&head.fields, options, head.version)
}

/// Where a request goes, as far as it goes: by its route, and by what filters say.
fn decide<'a, 'f: 'a, F: Filters>(
    (own_reply, filtered): (&mut Option<Box<LocalReply>>, &mut Filtered<'f, F>),
    mut request: ClientRequest<'a>,
    edits: &mut Edits<'a>,
    reach: Reach,
) -> (Option<RouteId>, RouteChoice<'a>) {
    let plan = request.plan();
    let mut choice =
        RouteChoice { upstream: None, endpoint: None, body_max: None, mirror: None, plan };
    let Filtered { filters, context, .. } = filtered;
    let filters: &'f F = filters;
    // One that is sent to https is shown to nobody.
    if own_reply.is_none()
        && let Verdict::Reply(reply) = filters.request(&request, edits, context)
    {
        *own_reply = Some(reply);
    }
    let found = plan.find_route(request.head, request.path, request.client);
    request.route = found.route();
    match request.route() {
        Some(route) => {
            choice.upstream = route.upstream();
            edit_for_route(edits, route, request.head, request.path);
            if own_reply.is_some() {
                filters.unrouted(&request, context);
            } else if let Verdict::Reply(reply) =
                filters.route(&request, &mut choice, edits, context)
            {
                *own_reply = Some(reply);
            }
            if let Some(host) = choice.upstream().and_then(Upstream::host) {
                edits.set_usual_host(host.as_bytes());
            }
        }
        None => filters.unrouted(&request, context),
    }
    if own_reply.is_none() {
        let why = match reach {
            _ if choice.upstream.is_none() => Some(unrouted(found)),
            Reach::Here(status) => {
                Some(LocalReply::new(status, "Max-Forwards lets it go no further"))
            }
            Reach::Hops(_) | Reach::Anywhere => None,
        };
        *own_reply = why.map(Box::new);
    }
    (request.route, choice)
}

/// The answer to a request that goes nowhere.
fn unrouted(found: FoundRoute) -> LocalReply {
    match found {
        FoundRoute::MethodNotAllowed(methods) => {
            let reply = LocalReply::new(405, "no route for this method");
            reply.with_allow(methods).with_rule("methods")
        }
        FoundRoute::Route(_) | FoundRoute::Nothing => {
            LocalReply::new(404, "no route for this path")
        }
    }
}

/// How its client has asked: what a trusted proxy says of that counts.
#[inline]
fn scheme(head: &RequestHead<'_, '_>, client_info: &ClientInfo, trusted: bool) -> ClientScheme {
    let is_said = || trusted && forwarded::says_https(head);
    match client_info.hop().scheme {
        ClientScheme::Http if is_said() => ClientScheme::Https,
        scheme => scheme,
    }
}

/// What we say ourselves of a request, whoever it is from.
struct OwnEdits<'a> {
    /// The key for a WebSocket that its client has asked for in a protocol without any.
    key: Option<Key>,
    /// What is left of Max-Forwards.
    left: Option<Digits<20>>,
    /// The host, if its client has named none.
    host: Option<String>,
    request_id: Option<&'a [u8]>,
    /// What endpoints are told of the trace.
    trace: Option<ToldTrace>,
}

impl OwnEdits<'_> {
    #[inline]
    fn edit<'a>(&'a self, edits: &mut Edits<'a>) {
        if let Some(key) = &self.key {
            edits.set(EditName::SEC_WEBSOCKET_KEY, Value::checked(key.text()));
        }
        if let Some(left) = &self.left {
            edits.set(EditName::MAX_FORWARDS, Value::checked(left));
        }
        if let Some(id) = self.request_id {
            edits.set(EditName::X_REQUEST_ID, Value::checked(id));
        }
        if let Some(trace) = &self.trace {
            trace.edit(edits);
        }
    }
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

/// The answer to a request in plain text that is to come over https.
fn to_https(location: Result<Box<str>, Nowhere>) -> LocalReply {
    match location {
        Ok(location) => {
            let reply = LocalReply::new(308, "this host is served over https");
            reply.with_target(location).with_rule("redirect_https")
        }
        Err(Nowhere::NoHost) => LocalReply::new(400, "it names no host to redirect to over https"),
        Err(Nowhere::TooLong) => LocalReply::new(414, "it is too long to be redirected to https"),
    }
}

/// The client's address, where a proxy has said that it is not that of the connection.
fn real_ip(client: Peer, client_info: &ClientInfo, trusted: bool) -> Peer {
    // Addresses are compared for those only that came through a proxy.
    let is_told = trusted || client_info.is_announced();
    client.filter(|_| is_told && client != client_info.peer())
}

/// The client a request is from: the one that a trusted proxy names, if it came from one.
#[inline]
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
#[inline]
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
#[inline]
fn edit_for_route<'a>(
    edits: &mut Edits<'a>,
    route: &'a Route,
    head: &RequestHead<'_, 'a>,
    path: &'a [u8],
) {
    if let Some(host) = &route.host_header {
        edits.set_host(host.as_bytes());
    }
    let Some(change) = &route.prefix else { return };
    let Some(changed) = change.path(head.path().as_bytes(), path) else { return };
    edits.set_path(changed);
    if change.to.is_empty() {
        edits.add(EditName::X_FORWARDED_PREFIX, Value::checked(change.from.as_bytes()));
    }
}

/// What the client calls its request: if it does so once, and not to us only.
fn request_id<'a>(head: &RequestHead<'a, '_>) -> Option<&'a [u8]> {
    let mut named = head.fields.iter().filter(|(known, ..)| *known == Name::RequestId);
    let (_, name, id) = named.next()?;
    let is_for_all = !Options::of(&head.fields).names(&head.fields, name);
    (is_request_id(id) && is_for_all && named.next().is_none()).then_some(id)
}
