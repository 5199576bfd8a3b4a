//! One JSON object.

use super::entry::Entry;
use super::{date, text};

/// Appends the entry as a JSON object, without the end of the line.
pub(super) fn write(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    date::rfc3339(entry.unix_micros, out);
    out.extend_from_slice(b"\",\"client\":");
    match entry.client {
        Some(client) => {
            out.push(b'"');
            text::ip(client, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    let strings: [(&[u8], &[u8]); 10] = [
        (b"method", entry.method),
        (b"target", entry.target),
        (b"protocol", entry.protocol.name()),
        (b"referer", entry.referer),
        (b"user_agent", entry.user_agent),
        (b"host", entry.host),
        (b"route", text::bytes(entry.route)),
        (b"upstream", text::bytes(entry.upstream)),
        (b"id", text::bytes(entry.request_id)),
        (b"tls", text::bytes(entry.tls)),
    ];
    for (name, value) in strings {
        member(name, out);
        string(value, out);
    }
    member(b"status", out);
    match entry.status {
        0 => out.extend_from_slice(b"null"),
        status => text::decimal(status.into(), out),
    }
    rest(entry, out);
}

fn rest(entry: &Entry<'_>, out: &mut Vec<u8>) {
    member(b"tried", out);
    out.push(b'[');
    for (at, address) in entry.tried.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        text::address(address, text::json, out);
        out.push(b'"');
    }
    out.push(b']');
    for (name, number) in entry.counts() {
        member(name, out);
        text::decimal(number, out);
    }
    for (name, time) in entry.timers.named() {
        member(name, out);
        match time {
            Some(time) => text::seconds(time, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    member(b"end", out);
    string(entry.termination.letters(), out);
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
