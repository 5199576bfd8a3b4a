//! The JSON format: one object per line.

use std::net::IpAddr;
use std::time::Duration;

use super::date::Dates;
use super::entry::{LogEntry, LogValue};
use super::field::LogField;
use super::format::Label;
use super::text;
use crate::decimal::decimal;

/// Appends the entry as a JSON object, without a newline.
pub(super) fn write(entry: &LogEntry<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    dates.rfc3339(entry.unix_micros, out);
    out.push(b'"');
    for (name, known) in [(&b"client"[..], entry.client), (b"peer", entry.peer)] {
        member(name, out);
        address(known, out);
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
    number(Some(u64::from(entry.status)).filter(|status| *status > 0), out);
    rest(entry, out);
}

/// Appends the chosen fields as a JSON object, without a newline.
pub(super) fn write_chosen(
    entry: &LogEntry<'_>,
    fields: &[LogField],
    dates: &mut Dates,
    out: &mut Vec<u8>,
) {
    for (nth, field) in fields.iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(field.name().as_bytes());
        out.extend_from_slice(b"\":");
        match entry.value(*field) {
            LogValue::Time(unix_micros) => {
                out.push(b'"');
                dates.rfc3339(unix_micros, out);
                out.push(b'"');
            }
            LogValue::Address(known) => address(known, out),
            LogValue::Text(value) | LogValue::Word(value) => string(value, out),
            LogValue::Name(name) => label(name, out),
            LogValue::Endpoints => endpoints(entry, out),
            LogValue::Status(status) => {
                number(Some(u64::from(status)).filter(|status| *status > 0), out);
            }
            LogValue::Number(known) => number(known, out),
            LogValue::Seconds(time) => seconds(time, out),
            LogValue::Trace(Some(trace)) => string(&trace.digits(), out),
            LogValue::Trace(None) => out.extend_from_slice(b"null"),
            LogValue::Share(rate) => rate.write(out),
        }
    }
    out.push(b'}');
}

fn address(address: Option<IpAddr>, out: &mut Vec<u8>) {
    let Some(address) = address else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    text::ip(address, out);
    out.push(b'"');
}

fn number(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => out.extend_from_slice(&decimal(number)),
        None => out.extend_from_slice(b"null"),
    }
}

fn seconds(time: Option<Duration>, out: &mut Vec<u8>) {
    match time {
        Some(time) => text::seconds(time, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn names(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let (route, upstream, _) = entry.names();
    for (name, value) in [(&b"route"[..], route), (b"upstream", upstream)] {
        member(name, out);
        label(value, out);
    }
    member(b"tried", out);
    endpoints(entry, out);
}

fn endpoints(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let (_, _, tried) = entry.names();
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
    for (name, count) in entry.counts() {
        member(name, out);
        number(Some(count), out);
    }
    for (name, time) in entry.timers.named() {
        member(name, out);
        seconds(time, out);
    }
    member(b"stream", out);
    number(entry.stream.map(|stream| stream.get().into()), out);
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
    if let Some(rate) = entry.shown_sample() {
        member(b"sample", out);
        rate.write(out);
    }
    if let Some(trace) = entry.trace {
        member(b"trace_id", out);
        string(&trace.digits(), out);
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
