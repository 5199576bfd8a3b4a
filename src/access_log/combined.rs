//! The combined log format, followed by Evener's own fields.

use std::net::IpAddr;
use std::time::Duration;

use super::date::Dates;
use super::entry::{LogEntry, LogValue};
use super::field::LogField;
use super::format::Label;
use super::text;
use crate::decimal::{decimal, padded};

/// Appends the entry in the combined format, without a newline.
pub(super) fn write(entry: &LogEntry<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    address(entry.client, out);
    out.extend_from_slice(b" - - [");
    dates.common(entry.unix_micros, out);
    out.extend_from_slice(b"] \"");
    text::word(or_dash(entry.method), out);
    out.push(b' ');
    text::word(or_dash(entry.target), out);
    out.push(b' ');
    out.extend_from_slice(entry.protocol.name());
    out.extend_from_slice(b"\" ");
    out.extend_from_slice(&padded::<3>(entry.status.into()));
    out.push(b' ');
    out.extend_from_slice(&decimal(entry.bytes_to_client));
    let quoted: [(&[u8], &[u8]); 3] =
        [(b" \"", entry.referer), (b"\" \"", entry.user_agent), (b"\" host=\"", entry.host)];
    for (before, value) in quoted {
        out.extend_from_slice(before);
        text::quoted(or_dash(value), out);
    }
    names(entry, out);
    rest(entry, out);
}

fn names(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let (route, upstream, _) = entry.names();
    out.extend_from_slice(b"\" route=\"");
    label(route, out);
    out.extend_from_slice(b"\" upstream=\"");
    label(upstream, out);
    out.extend_from_slice(b"\" tried=");
    endpoints(entry, out);
}

fn endpoints(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let (_, _, mut tried) = entry.names();
    label(tried.next(), out);
    for endpoint in tried {
        out.push(b',');
        label(Some(endpoint), out);
    }
}

/// Appends the chosen fields as `key=value`, without a newline. Texts are in quotes, so that a reader finds where
/// each value ends.
pub(super) fn write_chosen(
    entry: &LogEntry<'_>,
    fields: &[LogField],
    dates: &mut Dates,
    out: &mut Vec<u8>,
) {
    for (nth, field) in fields.iter().enumerate() {
        if nth > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(field.name().as_bytes());
        out.push(b'=');
        match entry.value(*field) {
            LogValue::Time(unix_micros) => dates.rfc3339(unix_micros, out),
            LogValue::Address(known) => address(known, out),
            LogValue::Text(value) => in_quotes(|out| text::quoted(or_dash(value), out), out),
            LogValue::Word(value) => text::word(or_dash(value), out),
            LogValue::Name(name) => in_quotes(|out| label(name, out), out),
            LogValue::Endpoints => endpoints(entry, out),
            LogValue::Status(status) => out.extend_from_slice(&padded::<3>(status.into())),
            LogValue::Number(Some(number)) => out.extend_from_slice(&decimal(number)),
            LogValue::Seconds(Some(time)) => text::seconds(time, out),
            LogValue::Trace(Some(trace)) => out.extend_from_slice(&trace.digits()),
            LogValue::Number(None) | LogValue::Seconds(None) | LogValue::Trace(None) => {
                out.push(b'-');
            }
            LogValue::Share(rate) => rate.write(out),
        }
    }
}

fn in_quotes(write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn rest(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    // Written out one by one: a copy of known length is inlined instead of calling memcpy.
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
    text::word(or_dash(entry.request_id), out);
    out.extend_from_slice(b" tls=");
    text::word(or_dash(entry.tls), out);
    out.extend_from_slice(b" peer=");
    address(entry.peer, out);
    match entry.stream {
        Some(stream) => number(b" stream=", stream.get().into(), out),
        None => out.extend_from_slice(b" stream=-"),
    }
    if let Some(status) = entry.call_status {
        number(b" grpc_status=", status.code().into(), out);
    }
    if !entry.rule.is_empty() {
        out.extend_from_slice(b" rule=");
        out.extend_from_slice(entry.rule.as_bytes());
    }
    if let Some(rate) = entry.shown_sample() {
        out.extend_from_slice(b" sample=");
        rate.write(out);
    }
    if let Some(trace) = entry.trace {
        out.extend_from_slice(b" trace_id=");
        out.extend_from_slice(&trace.digits());
    }
    out.extend_from_slice(b" picked=");
    out.extend_from_slice(or_dash(entry.picked.as_bytes()));
}

fn address(address: Option<IpAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => text::ip(address, out),
        None => out.extend_from_slice(b"unix:"),
    }
}

fn number<const WIDTH: usize>(name: &[u8; WIDTH], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(&decimal(number));
}

fn time<const WIDTH: usize>(name: &[u8; WIDTH], time: Option<Duration>, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    match time {
        Some(time) => text::seconds(time, out),
        None => out.push(b'-'),
    }
}

fn label(label: Option<&Label>, out: &mut Vec<u8>) {
    out.extend_from_slice(label.map_or(b"-", |Label(text)| text));
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}
