//! Spans as collectors read them: an `ExportTraceServiceRequest` of OTLP 1.x in protobuf
//! (<https://github.com/open-telemetry/opentelemetry-proto>), with attributes by the stable semantic conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::context::SpanId;
use super::span::{AttemptSpan, FinishedSpan, SpanRecord};
use crate::access_log::{Facts, Label, Protocol};
use crate::grpc::status::Status;
use crate::http::message::authority;
use crate::termination::Termination;

/// `Span.SpanKind`.
const KIND_SERVER: u64 = 2;
const KIND_CLIENT: u64 = 3;

/// `Status.StatusCode`.
const STATUS_ERROR: u64 = 2;

/// `SpanFlags`: that it is known whether the parent is of another process, and that it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The version of the conventions that attributes go by.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.27.0";

/// Who sends spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`.
    pub service: Box<str>,
    /// `service.instance.id`: names this process and no other.
    pub instance: Box<str>,
}

/// The request that tells a collector of these spans.
pub fn request(resource: &Resource, spans: &[FinishedSpan]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024 * (1 + spans.len()));
    message(1, &mut out, |out| {
        message(1, out, |out| {
            for (key, value) in [
                ("service.name", &*resource.service),
                ("service.version", env!("CARGO_PKG_VERSION")),
                ("service.instance.id", &*resource.instance),
            ] {
                attribute(1, key, out, |out| string(1, value, out));
            }
        });
        message(2, out, |out| {
            message(1, out, |out| {
                string(1, "evener", out);
                string(2, env!("CARGO_PKG_VERSION"), out);
            });
            for span in spans {
                message(2, out, |out| of_request(span, out));
                for nth in 0..span.record.attempts.len() {
                    message(2, out, |out| of_attempt(span, nth, out));
                }
            }
            string(3, SCHEMA, out);
        });
    });
    out
}

/// How many spans a request is, with its attempts.
pub fn count(span: &FinishedSpan) -> u64 {
    1 + span.record.attempts.len() as u64
}

fn of_request(span: &FinishedSpan, out: &mut Vec<u8>) {
    let FinishedSpan { record, facts, texts, names } = span;
    let [verb, target, host, _, user_agent, tls, request_id] = texts.parts();
    let route = facts.route.and_then(|id| names.routes.get(id.index())).map(Label::text);
    let verb = method(verb);
    let name = route.map_or_else(|| verb.to_string(), |route| format!("{verb} {}", utf8(route)));
    let remote = record.parent.map_or(0, |_| IS_REMOTE);
    let times = (Duration::ZERO, facts.timers.total);
    head(record, (record.span, record.parent), remote, (&name, KIND_SERVER), facts, times, out);
    of_method(out, texts.parts()[0]);
    text(out, "url.scheme", if tls.is_empty() { "http" } else { "https" });
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    text(out, "url.path", &utf8(path));
    of_server(out, host);
    if let Some(version) = version(facts.protocol) {
        text(out, "network.protocol.version", version);
    }
    of_address(out, "client.address", facts.client);
    of_address(out, "network.peer.address", facts.peer);
    for (key, value) in [
        ("http.route", route.unwrap_or_default()),
        ("user_agent.original", user_agent),
        ("evener.request_id", request_id),
        ("evener.rule", facts.rule.as_bytes()),
    ] {
        if !value.is_empty() {
            text(out, key, &utf8(value));
        }
    }
    if facts.status > 0 {
        int(out, "http.response.status_code", facts.status.into());
    }
    if let Some(status) = facts.call_status {
        int(out, "rpc.grpc.status_code", status.code().into());
    }
    if facts.termination != Termination::COMPLETE {
        text(out, "evener.end", &facts.termination.to_string());
    }
    if let Some(error) = error_of_request(facts) {
        text(out, "error.type", &error);
        message(15, out, |out| number(3, STATUS_ERROR, out));
    }
}

fn of_attempt(span: &FinishedSpan, nth: usize, out: &mut Vec<u8>) {
    let FinishedSpan { record, facts, texts, names } = span;
    let attempt = &record.attempts[nth];
    let AttemptSpan { began, ended, termination, .. } = *attempt;
    let times = (began, ended.unwrap_or(facts.timers.total).max(began));
    let verb = texts.parts()[0];
    let ids = (attempt.span, Some(record.span));
    head(record, ids, 0, (&method(verb), KIND_CLIENT), facts, times, out);
    of_method(out, verb);
    if let Some((upstream, endpoints)) = names.upstreams.get(attempt.upstream.index()) {
        text(out, "evener.upstream", &utf8(upstream.text()));
        if let Some(endpoint) = endpoints.get(attempt.endpoint.index()) {
            of_endpoint(out, &utf8(endpoint.text()));
        }
    }
    if nth > 0 {
        int(out, "http.request.resend_count", nth as u64);
    }
    // It is the last one whose answer the client got, unless it has failed, and then the status is our own.
    let end = termination.unwrap_or(facts.termination);
    let was_answered = end == Termination::COMPLETE && termination.is_none();
    if was_answered && facts.status > 0 {
        int(out, "http.response.status_code", facts.status.into());
    }
    // To a client, 4xx is an error too.
    let error = if was_answered && facts.status >= 400 {
        Some(facts.status.to_string().into())
    } else {
        cut_by(end).map(Cow::Borrowed)
    };
    if let Some(error) = error {
        text(out, "error.type", &error);
        message(15, out, |out| number(3, STATUS_ERROR, out));
    }
}

/// What any span begins with.
fn head(
    record: &SpanRecord,
    (span, parent): (SpanId, Option<SpanId>),
    remote: u32,
    (name, kind): (&str, u64),
    facts: &Facts,
    (began, ended): (Duration, Duration),
    out: &mut Vec<u8>,
) {
    blob(1, record.trace.bytes(), out);
    blob(2, span.bytes(), out);
    if let Some(parent) = parent {
        blob(4, parent.bytes(), out);
    }
    string(5, name, out);
    number(6, kind, out);
    let first_byte = facts.unix_micros.saturating_mul(1000);
    let at = |since: Duration| {
        first_byte.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    };
    fixed64(7, at(began), out);
    fixed64(8, at(ended), out);
    let flags = u32::from(record.flags.bits()) | HAS_IS_REMOTE | remote;
    tag(16, 5, out);
    out.extend_from_slice(&flags.to_le_bytes());
}

/// The name of a span may not hold what a client chose: methods that are not known are `HTTP`.
fn method(verb: &[u8]) -> Cow<'static, str> {
    known_method(verb).unwrap_or("HTTP").into()
}

/// The methods of RFC 9110 and PATCH (RFC 5789).
fn known_method(verb: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| known.as_bytes() == verb)
}

fn of_method(out: &mut Vec<u8>, verb: &[u8]) {
    if let Some(known) = known_method(verb) {
        return text(out, "http.request.method", known);
    }
    text(out, "http.request.method", "_OTHER");
    if !verb.is_empty() {
        text(out, "http.request.method_original", &utf8(verb));
    }
}

fn of_server(out: &mut Vec<u8>, host: &[u8]) {
    if host.is_empty() {
        return;
    }
    let (name, port) = host.split_at(authority::host(host).len());
    text(out, "server.address", &utf8(name));
    if let Some(port) = utf8(port).strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
        int(out, "server.port", port.into());
    }
}

/// Where an attempt went: an address with its port, or `unix:` and a path.
fn of_endpoint(out: &mut Vec<u8>, address: &str) {
    let Ok(address) = address.parse::<SocketAddr>() else {
        text(out, "server.address", address.strip_prefix("unix:").unwrap_or(address));
        return text(out, "network.transport", "unix");
    };
    let ip = address.ip().to_canonical().to_string();
    for (host, port) in
        [("server.address", "server.port"), ("network.peer.address", "network.peer.port")]
    {
        text(out, host, &ip);
        int(out, port, address.port().into());
    }
}

fn of_address(out: &mut Vec<u8>, key: &str, address: Option<IpAddr>) {
    if let Some(address) = address {
        text(out, key, &address.to_canonical().to_string());
    }
}

fn version(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Http10 => Some("1.0"),
        Protocol::Http11 => Some("1.1"),
        Protocol::Http2 => Some("2"),
        Protocol::Http | Protocol::Tcp => None,
    }
}

/// What a server calls an error: what it could not do, and not what its client could not have.
fn error_of_request(facts: &Facts) -> Option<Cow<'static, str>> {
    match facts.status {
        500.. => return Some(facts.status.to_string().into()),
        1..400 => {}
        // Refused, and told so.
        400..500 => return None,
        0 => return Some(cut_by(facts.termination).unwrap_or("_OTHER").into()),
    }
    let of_call = facts.call_status.filter(|status| status.is_of_server()).map(Status::name);
    of_call.or_else(|| cut_by(facts.termination)).map(Cow::Borrowed)
}

/// Who broke something off, in a word, if that is not what was to happen.
fn cut_by(end: Termination) -> Option<&'static str> {
    Some(match end.letters()[0] {
        b'C' => "client_closed",
        b'c' => "client_timeout",
        b'U' => "upstream_failed",
        b'u' => "upstream_timeout",
        b'L' => "local_failure",
        b'D' => "draining",
        b'R' if end.letters()[1] != b'N' => "refused",
        _ => return None,
    })
}

fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// An attribute of a span that is text.
fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    attribute(9, key, out, |out| string(1, value, out));
}

/// One that is a number.
fn int(out: &mut Vec<u8>, key: &str, value: u64) {
    attribute(9, key, out, |out| number(3, value, out));
}

/// `KeyValue`, with an `AnyValue`.
fn attribute(field: u32, key: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    message(field, out, |out| {
        string(1, key, out);
        message(2, out, value);
    });
}

fn string(field: u32, value: &str, out: &mut Vec<u8>) {
    blob(field, value.as_bytes(), out);
}

fn blob(field: u32, value: &[u8], out: &mut Vec<u8>) {
    tag(field, 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    tag(field, 0, out);
    varint(value, out);
}

fn fixed64(field: u32, value: u64, out: &mut Vec<u8>) {
    tag(field, 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(field, 2, out);
    let start = out.len();
    write(out);
    let mut length = Vec::with_capacity(5);
    varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}

fn tag(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | wire_type), out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}
