//! The combined log format, and what is written behind it.

use std::time::Duration;

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
    // One by one: copies of known length are no calls of memcpy.
    number(b" retries=", entry.retries.into(), out);
    number(b" up=", entry.bytes_from_client, out);
    number(b" down=", entry.bytes_to_client, out);
    number(b" spliced=", entry.bytes_spliced, out);
    time(b" head=", entry.timers.head, out);
    time(b" queue=", entry.timers.queue, out);
    time(b" connect=", entry.timers.connect, out);
    time(b" first_byte=", entry.timers.first_byte, out);
    time(b" total=", Some(entry.timers.total), out);
    out.extend_from_slice(b" end=");
    out.extend_from_slice(entry.termination.letters());
    out.extend_from_slice(b" id=");
    text::word(or_dash(text::bytes(entry.request_id)), out);
    out.extend_from_slice(b" tls=");
    text::word(or_dash(text::bytes(entry.tls)), out);
}

fn number<const WIDTH: usize>(name: &[u8; WIDTH], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    text::decimal(number, out);
}

fn time<const WIDTH: usize>(name: &[u8; WIDTH], time: Option<Duration>, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    match time {
        Some(time) => text::seconds(time, out),
        None => out.push(b'-'),
    }
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}
