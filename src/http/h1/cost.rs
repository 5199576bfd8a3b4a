//! What heads cost that are made to cost much: no more than twice as much for twice as many bytes.

use super::encode::{self, ConnectionHeader};
use super::framing;
use super::parse;
use super::persistence::{self, Options};
use super::scan::{Limits, Scan};
use crate::buffer::Buffer;
use crate::http::message::edits::Edits;
use crate::http::message::field::STEPS;
use crate::http::message::forwarded;
use crate::http::message::head::{FIELDS_CEILING, Method, Storage};
use crate::http::message::hop::Hop;

const LIMITS: Limits = Limits { head_bytes_max: 64 * 1024, fields_max: FIELDS_CEILING };

/// So many different short names, each with this after it.
fn names(count: usize, behind: &str) -> String {
    let named: Vec<_> = (0..count).map(|at| format!("x{at:x}{behind}")).collect();
    named.concat()
}

/// A kind of field lines, and those of about so many bytes.
type Kind = (&'static str, fn(usize) -> String);

/// Field lines that are made to cost much.
const KINDS: [Kind; 12] = [
    ("options and fields", |bytes| {
        let (options, fields) = (names(bytes / 8, ","), names(bytes / 120, ": 1\r\n"));
        format!("Connection: {options}\r\n{fields}")
    }),
    ("one option, again and again", |bytes| {
        format!("Connection: {}\r\n{}", "a,".repeat(bytes / 4), "a:\r\n".repeat(bytes / 300))
    }),
    ("Connection fields", |bytes| "Connection: a\r\n".repeat(bytes / 300)),
    ("empty options", |bytes| format!("Connection: x{}\r\nx: 1\r\n", ", ".repeat(bytes / 2))),
    ("X-Forwarded-For fields", |bytes| "X-Forwarded-For: a,b\r\n".repeat(bytes / 300)),
    ("one X-Forwarded-For", |bytes| format!("X-Forwarded-For: {}\r\n", "a,".repeat(bytes / 2))),
    ("Forwarded", |bytes| format!("Forwarded: {}\r\n", "for=\"a,\",".repeat(bytes / 9))),
    ("TE", |bytes| format!("TE: {}\r\n", "a, ".repeat(bytes / 3))),
    ("TE fields", |bytes| "TE: trailers\r\n".repeat(bytes / 300)),
    ("Upgrade", |bytes| {
        format!("Connection: upgrade\r\nUpgrade: {}\r\n", "a/1, ".repeat(bytes / 5))
    }),
    ("cookies", |bytes| "Cookie: a=b; c=d\r\n".repeat(bytes / 300)),
    ("names with underscores", |bytes| format!("{}: 1\r\n", "a_".repeat(bytes / 2))),
];

/// The steps of a request with these field lines, from its first byte until it is written again.
fn of_request(fields: &str) -> usize {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    STEPS.set(0);
    let length = Scan::request().advance(bytes.as_bytes(), &LIMITS).unwrap();
    assert_eq!(length, Some(bytes.len()));
    let mut storage = Storage::new();
    let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
    let framing = framing::request(&head).unwrap();
    let options = Options::of(&head.fields);
    let upgrades = persistence::names_protocol(&head.fields, options, head.version);
    let (mut edits, mut out) = (Edits::new(), Buffer::new());
    forwarded::edit(&mut edits, &head, Hop::SAMPLE, true);
    let connection = if upgrades { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
    encode::request(&head, Options::of(&head.fields), &edits, framing, connection, &mut out)
        .unwrap();
    STEPS.get()
}

/// The same of a response.
fn of_response(fields: &str) -> usize {
    let bytes = format!("HTTP/1.1 204 A\r\n{fields}\r\n");
    STEPS.set(0);
    let mut storage = Storage::new();
    let head = parse::response(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
    let framing = framing::response(&head, Method::Idempotent).unwrap();
    let options = Options::of(&head.fields);
    persistence::names_protocol(&head.fields, options, head.version);
    let mut out = Buffer::new();
    encode::response(
        &head,
        Options::of(&head.fields),
        &Edits::new(),
        framing,
        ConnectionHeader::Implied,
        &mut out,
    )
    .unwrap();
    STEPS.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_twice_as_long_takes_about_twice_as_many_steps() {
        for (kind, fields) in KINDS {
            for (message, steps) in
                [("request", of_request as fn(&str) -> usize), ("response", of_response)]
            {
                let [one, two] = [12_000, 24_000].map(|bytes| steps(&fields(bytes)));
                assert!(two <= 2 * one + one / 4, "{message}, {kind}: {one} steps, then {two}");
                assert!(two <= 24_000 * 16, "{message}, {kind}: {two} steps");
            }
        }
    }
}
