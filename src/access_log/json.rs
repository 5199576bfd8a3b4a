//! The JSON format: one object per line.

use super::date::Dates;
use super::entry::LogEntry;
use super::format::Label;
use super::text;
use crate::decimal::decimal;

/// Appends the entry as a JSON object, without a newline.
pub(super) fn write(entry: &LogEntry<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    dates.rfc3339(entry.unix_micros, out);
    out.push(b'"');
    for (name, address) in [(&b"client"[..], entry.client), (b"peer", entry.peer)] {
        member(name, out);
        match address {
            Some(address) => {
                out.push(b'"');
                text::ip(address, out);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
    let strings: [(&[u8], &[u8]); 8] = [
        (b"method", entry.method),
        (b"target", entry.target),
        (b"protocol", entry.protocol.name()),
        (b"referer", entry.referer),
        (b"user_agent", entry.user_agent),
        (b"host", entry.host),
        (b"id", entry.request_id),
        (b"tls", entry.tls),
    ];
    for (name, value) in strings {
        member(name, out);
        string(value, out);
    }
    names(entry, out);
    member(b"status", out);
    match entry.status {
        0 => out.extend_from_slice(b"null"),
        status => out.extend_from_slice(&decimal(status.into())),
    }
    rest(entry, out);
}

fn names(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let (route, upstream, tried) = entry.names();
    for (name, value) in [(&b"route"[..], route), (b"upstream", upstream)] {
        member(name, out);
        label(value, out);
    }
    member(b"tried", out);
    out.push(b'[');
    for (at, endpoint) in tried.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        label(Some(endpoint), out);
    }
    out.push(b']');
}

fn label(label: Option<&Label>, out: &mut Vec<u8>) {
    let Some(Label(text)) = label else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn rest(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    for (name, number) in entry.counts() {
        member(name, out);
        out.extend_from_slice(&decimal(number));
    }
    for (name, time) in entry.timers.named() {
        member(name, out);
        match time {
            Some(time) => text::seconds(time, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    member(b"stream", out);
    match entry.stream {
        Some(stream) => out.extend_from_slice(&decimal(stream.get().into())),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(status) = entry.call_status {
        member(b"grpc_status", out);
        out.extend_from_slice(&decimal(status.code().into()));
    }
    member(b"end", out);
    string(entry.termination.letters(), out);
    if !entry.rule.is_empty() {
        member(b"rule", out);
        string(entry.rule.as_bytes(), out);
    }
    member(b"picked", out);
    string(entry.picked.as_bytes(), out);
    out.push(b'}');
}

fn member(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
}

fn string(value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    text::json(value, out);
    out.push(b'"');
}
