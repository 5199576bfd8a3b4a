//! The combined log format, and what is written behind it.

use super::entry::Entry;
use super::{date, text};

/// Appends the entry in the combined format, without the end of the line.
pub(super) fn write(entry: &Entry<'_>, out: &mut Vec<u8>) {
    match entry.client {
        Some(client) => text::ip(client, out),
        None => out.extend_from_slice(b"unix:"),
    }
    out.extend_from_slice(b" - - [");
    date::common(entry.unix_micros, out);
    out.extend_from_slice(b"] \"");
    text::word(or_dash(entry.method), out);
    out.push(b' ');
    text::word(or_dash(entry.target), out);
    out.push(b' ');
    out.extend_from_slice(entry.protocol.name());
    out.extend_from_slice(b"\" ");
    text::digits::<3>(entry.status.into(), out);
    out.push(b' ');
    text::decimal(entry.bytes_to_client, out);
    let quoted: [(&[u8], &[u8]); 5] = [
        (b" \"", entry.referer),
        (b"\" \"", entry.user_agent),
        (b"\" host=\"", entry.host),
        (b"\" route=\"", text::bytes(entry.route)),
        (b"\" upstream=\"", text::bytes(entry.upstream)),
    ];
    for (before, value) in quoted {
        out.extend_from_slice(before);
        text::quoted(or_dash(value), out);
    }
    out.extend_from_slice(b"\" tried=");
    rest(entry, out);
}

fn rest(entry: &Entry<'_>, out: &mut Vec<u8>) {
    if entry.tried.is_empty() {
        out.push(b'-');
    }
    for (at, address) in entry.tried.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text::address(address, text::word, out);
    }
    for (name, number) in entry.counts() {
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(b'=');
        text::decimal(number, out);
    }
    for (name, time) in entry.timers.named() {
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(b'=');
        match time {
            Some(time) => text::seconds(time, out),
            None => out.push(b'-'),
        }
    }
    out.extend_from_slice(b" end=");
    out.extend_from_slice(entry.termination.letters());
    out.extend_from_slice(b" id=");
    text::word(or_dash(text::bytes(entry.request_id)), out);
    out.extend_from_slice(b" tls=");
    text::word(or_dash(text::bytes(entry.tls)), out);
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}
