//! Writes a head again from its parsed form and its edits, with one framing and without what was
//! meant for this connection only. Nothing of a head is ever passed on as it came but method, target,
//! reason and the fields that are no concern of a proxy; those keep their order, case and number. Lines that
//! already stand just as we would write them are copied.

use super::framing::{self, Framing};
use super::head_writer::HeadWriter;
use super::persistence::{Named, Options};
use crate::buffer::Buffer;
use crate::decimal::decimal;
use crate::http::message::edits::Edits;
use crate::http::message::field::{self, Name};
use crate::http::message::head::{Field, RequestHead, ResponseHead, Version};
use crate::reject::Reject;

/// What the Connection field of a response tells the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionHeader {
    /// Nothing: HTTP/1.1 stays by default.
    Implied,
    /// To stay: an HTTP/1.0 client needs the word.
    KeepAlive,
    /// That this is the last answer.
    Close,
    /// That the protocol changes (101).
    Upgrade,
}

impl ConnectionHeader {
    /// The field line, with its CRLF.
    pub fn line(self) -> &'static [u8] {
        match self {
            Self::Implied => b"",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
            Self::Close => b"Connection: close\r\n",
            Self::Upgrade => b"Connection: upgrade\r\n",
        }
    }
}

/// Writes the head of a request to an endpoint, always as HTTP/1.1, and says how many fields it
/// left out because an endpoint could take them for others ([`Name::Alias`]).
///
/// `framing` is that of the body, as it came; [`ConnectionHeader::Upgrade`] passes the upgrade on that is
/// asked for. An extended CONNECT becomes the GET with Upgrade that it stands for (RFC 8441 §5). Fails with [`Reject::HeadTooLarge`] if it does not fit into `out`.
pub fn request(
    head: &RequestHead<'_, '_>,
    options: Options,
    edits: &Edits<'_>,
    framing: Framing,
    connection: ConnectionHeader,
    out: &mut Buffer,
) -> Result<usize, Reject> {
    let mut writer = HeadWriter::new(out, head.fields.head());
    let upgrade = connection == ConnectionHeader::Upgrade || head.protocol.is_some();
    let (mut aliases, mut te, mut is_framed) = (0, false, false);
    writer.request_line(head, edits);
    let host = edits.host().unwrap_or(head.authority);
    if !head.fields.has(Name::Host) {
        writer.end_run();
        writer.field(b"Host", host);
    }
    let named = Named::of(&head.fields, options);
    let is_named = |place| named.as_ref().is_some_and(|named| named.has(place));
    for (place, field) in head.fields.listed().enumerate() {
        let &Field { known, name, value, .. } = field;
        match known {
            Name::Other | Name::Date | Name::RequestId | Name::Via if is_named(place) => {}
            Name::Host if host == value => writer.keep(field),
            Name::Host => {
                writer.end_run();
                writer.field(name, host);
            }
            Name::Upgrade if upgrade => writer.keep(field),
            // An HTTP/1.0 client cannot be sent the 100 it would ask for, and without a body there
            // is nothing to wait for (RFC 9110 §10.1.1).
            Name::Expect
                if head.version != Version::Http10
                    && framing.has_body()
                    && !edits.withholds(known, name) =>
            {
                writer.keep(field);
            }
            Name::Te => te |= head.version != Version::Http10 && field::takes_trailers(value),
            Name::Alias => aliases += 1,
            Name::ContentLength if is_as_written(framing, field) => {
                writer.keep(field);
                is_framed = true;
            }
            Name::Connection
            | Name::ContentLength
            | Name::Expect
            | Name::HopByHop
            | Name::TransferEncoding
            | Name::Upgrade => {}
            _ if edits.withholds(known, name) => {}
            _ => writer.keep(field),
        }
    }
    writer.end_run();
    writer.edits(edits, &head.fields);
    if !is_framed {
        writer.framing(framing);
    }
    if let Some(protocol) = head.protocol {
        writer.field(b"Upgrade", protocol.as_bytes());
    }
    if te {
        writer.bytes(b"TE: trailers\r\n");
    }
    writer.bytes(connection_options(upgrade, te));
    writer.end().map(|()| aliases)
}

/// The line that says which fields of a request are for the endpoint's connection.
fn connection_options(upgrade: bool, te: bool) -> &'static [u8] {
    match (upgrade, te) {
        (false, false) => b"",
        (true, false) => ConnectionHeader::Upgrade.line(),
        (false, true) => b"Connection: TE\r\n",
        (true, true) => b"Connection: upgrade, TE\r\n",
    }
}

/// Writes the head of a response to the client, always as HTTP/1.1.
///
/// `framing` is that of the body as the client will see it; [`Framing::UntilClose`] goes with
/// [`ConnectionHeader::Close`]. Fails with [`Reject::HeadTooLarge`] if it does not fit into `out`.
pub fn response(
    head: &ResponseHead<'_, '_>,
    options: Options,
    edits: &Edits<'_>,
    framing: Framing,
    connection: ConnectionHeader,
    out: &mut Buffer,
) -> Result<(), Reject> {
    let mut writer = HeadWriter::new(out, head.fields.head());
    if let Some(line) = head.fields.first_line() {
        writer.begin(line);
    } else {
        let status = decimal(head.status.into());
        writer.all(&[b"HTTP/1.1 ", &status, b" ", head.reason.as_bytes(), b"\r\n"]);
    }
    let mut is_framed = false;
    let named = Named::of(&head.fields, options);
    let is_named = |place| named.as_ref().is_some_and(|named| named.has(place));
    for (place, field) in head.fields.listed().enumerate() {
        let &Field { known, name, .. } = field;
        match known {
            Name::Upgrade if connection == ConnectionHeader::Upgrade || head.status == 426 => {
                writer.keep(field);
            }
            Name::ContentLength if is_as_written(framing, field) => {
                writer.keep(field);
                is_framed = true;
            }
            _ if known.is_of_one_hop() => {}
            _ if is_named(place) => {}
            _ if edits.withholds(known, name) => {}
            _ => writer.keep(field),
        }
    }
    writer.end_run();
    writer.edits(edits, &head.fields);
    match (framing, head.status) {
        (Framing::Empty, 100..200 | 204) => {}
        (Framing::Empty, _) => {
            if let Some(length) = framing::announced_length(head) {
                writer.framing(Framing::Length(length));
            }
        }
        _ if is_framed => {}
        _ => writer.framing(framing),
    }
    // Agreed to in HTTP/2, where the field has no place.
    if let Some(protocol) = head.protocol {
        writer.field(b"Upgrade", protocol.as_bytes());
    }
    // RFC 9110 §15.5.22: a 426 names the protocols, and Connection names Upgrade.
    if head.status == 426 {
        writer.bytes(ConnectionHeader::Upgrade.line());
    }
    writer.bytes(connection.line());
    writer.end()
}

/// Whether a Content-Length, of which there is one, says just as we would that the body is framed like this.
#[inline]
fn is_as_written(framing: Framing, field: &Field<'_>) -> bool {
    let Framing::Length(length) = framing else { return false };
    field.name == b"Content-Length"
        && !matches!(field.value, [b'0', _, ..])
        && field::decimal(field.value) == Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::edits::{EditName, Value};
    use crate::http::message::head::{Method, Storage};

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    /// How a request goes on whose fields are these.
    fn rewritten(fields: &str, edits: &Edits<'_>) -> String {
        sent(fields, edits, Framing::Empty, ConnectionHeader::Implied)
    }

    fn sent(
        fields: &str,
        edits: &Edits<'_>,
        framing: Framing,
        connection: ConnectionHeader,
    ) -> String {
        let bytes = format!("GET /a?b HTTP/1.1\r\n{fields}\r\n");
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let write = |head: &RequestHead<'_, '_>| {
            let (options, mut out) = (Options::of(&head.fields), Buffer::new());
            request(head, options, edits, framing, connection, &mut out).unwrap();
            String::from_utf8(out.filled().to_vec()).unwrap()
        };
        let written = write(&head);
        let mut storage = Storage::new();
        let whole = parse::whole_request(bytes.as_bytes(), &LIMITS, &mut storage);
        assert_eq!(write(&whole.expect("a plain head").0.unwrap()), written, "read in one pass");
        written
    }

    fn none() -> Edits<'static> {
        Edits::new()
    }

    fn answered(status: &str, fields: &str, to: Method, connection: ConnectionHeader) -> String {
        let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        let mut storage = Storage::new();
        let head = parse::response(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let framing = framing::response(&head, to).unwrap();
        let write = |head: &ResponseHead<'_, '_>| {
            let (options, mut out) = (Options::of(&head.fields), Buffer::new());
            response(head, options, &none(), framing, connection, &mut out).unwrap();
            String::from_utf8(out.filled().to_vec()).unwrap()
        };
        let written = write(&head);
        let mut storage = Storage::new();
        let whole = parse::whole_response(bytes.as_bytes(), &LIMITS, &mut storage);
        assert_eq!(write(&whole.expect("a plain head").0), written, "read in one pass");
        written
    }

    #[test]
    fn order_case_and_duplicates_of_the_rest_are_kept() {
        let head = rewritten("X-b: 1\r\nHOST: a:80\r\nx-A: 2\r\nX-b: 3\r\n", &none());
        let fields = "X-b: 1\r\nHOST: a:80\r\nx-A: 2\r\nX-b: 3\r\n\r\n";
        assert_eq!(head, format!("GET /a?b HTTP/1.1\r\n{fields}"));
    }

    #[test]
    fn what_is_meant_for_this_connection_stops_here() {
        let head = rewritten(
            "Host: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\n\
             Proxy-Connection: x\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\nX-Yours: 2\r\n",
            &none(),
        );
        for gone in ["X-Mine", "Keep-Alive", "TE", "Proxy-", "Upgrade", "HTTP2", "Connection"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
        assert!(head.contains("X-Yours: 2\r\n"));
    }

    #[test]
    fn connection_cannot_name_away_what_routes_or_is_added() {
        let mut edits = none();
        edits.set(EditName::X_FORWARDED_FOR, Value::checked(b"192.0.2.7"));
        let head = rewritten("Host: a\r\nConnection: host, x-forwarded-for\r\n", &edits);
        assert!(head.ends_with("Host: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"), "{head}");
    }

    #[test]
    fn a_request_has_one_id_if_it_is_given_one() {
        let fields = "Host: a\r\nX-Request-Id: theirs\r\nx-request-id: too\r\n";
        let kept = "X-Request-Id: theirs\r\nx-request-id: too\r\n";
        assert!(rewritten(fields, &none()).contains(kept));
        let mut edits = none();
        edits.set(EditName::X_REQUEST_ID, Value::checked(b"ours"));
        let head = rewritten(fields, &edits);
        assert!(head.ends_with("Host: a\r\nX-Request-Id: ours\r\n\r\n"), "{head}");
        let named = format!("{fields}Connection: x-request-id\r\n");
        assert!(!rewritten(&named, &none()).contains("theirs"));
    }

    #[test]
    fn each_edit_does_what_it_is_called() {
        let (name, value) = (EditName::new("X-A").unwrap(), Value::checked(b"ours"));
        let fields = "Host: a\r\nx-a: 1, ,2,\r\nX-B: 3\r\nX-A: \"4, 5\"\r\nX-A:\r\n";
        let check = |edit: &dyn Fn(&mut Edits<'static>), expected: &str| {
            let mut edits = none();
            edit(&mut edits);
            let head = rewritten(fields, &edits);
            assert_eq!(head, format!("GET /a?b HTTP/1.1\r\nHost: a\r\n{expected}\r\n"));
        };
        check(&|edits| edits.set(name, value), "X-B: 3\r\nX-A: ours\r\n");
        let all = "x-a: 1, ,2,\r\nX-B: 3\r\nX-A: \"4, 5\"\r\nX-A: \r\nX-A: ours\r\n";
        check(&|edits| edits.add(name, value), all);
        let list = "X-B: 3\r\nX-A: 1, 2, \"4, 5\", ours\r\n";
        check(&|edits| edits.append(name, value), list);
        check(&|edits| edits.remove(name), "X-B: 3\r\n");
    }

    #[test]
    fn a_list_that_comes_to_nothing_is_no_field() {
        let mut edits = none();
        edits.append(EditName::X_FORWARDED_FOR, Value::NOTHING);
        assert!(!rewritten("Host: a\r\nX-Forwarded-For: ,\r\n", &edits).contains("Forwarded"));
        let head = rewritten("Host: a\r\nX-Forwarded-For: ,b\r\n", &edits);
        assert!(head.ends_with("\r\nX-Forwarded-For: b\r\n\r\n"), "{head}");
    }

    #[test]
    fn the_path_is_replaced_and_the_query_stays() {
        let mut edits = none();
        edits.set_path([b"/v2", b"/c"]);
        assert!(rewritten("Host: a\r\n", &edits).starts_with("GET /v2/c?b HTTP/1.1\r\n"));
    }

    #[test]
    fn host_is_replaced_in_its_place_and_written_where_it_is_missing() {
        let mut edits = none();
        edits.set_host(b"b.example");
        let head = rewritten("A: b\r\nhost: a\r\nC: d\r\n", &edits);
        assert!(head.ends_with("A: b\r\nhost: b.example\r\nC: d\r\n\r\n"), "{head}");
        let mut storage = Storage::new();
        let old = parse::request(b"GET / HTTP/1.0\r\n\r\n", &LIMITS, &mut storage).unwrap();
        let mut out = Buffer::new();
        request(
            &old,
            Options::of(&old.fields),
            &edits,
            Framing::Empty,
            ConnectionHeader::Implied,
            &mut out,
        )
        .unwrap();
        assert_eq!(out.filled(), b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    }

    #[test]
    fn the_framing_is_written_once_and_by_us() {
        let fields = "Host: a\r\ncontent-length: 007\r\n";
        let head = sent(fields, &none(), Framing::Length(7), ConnectionHeader::Implied);
        assert_eq!(head.to_lowercase().matches("content-length").count(), 1);
        assert!(head.contains("Content-Length: 7\r\n"));
    }

    #[test]
    fn an_upgrade_is_passed_on_with_its_option() {
        let fields = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        let head = sent(fields, &none(), Framing::Empty, ConnectionHeader::Upgrade);
        assert!(head.contains("Upgrade: websocket\r\n"));
        assert!(head.contains("Connection: upgrade\r\n"));
    }

    #[test]
    fn trailers_are_asked_for_where_the_client_did() {
        let rows = [
            ("TE: trailers\r\n", "TE: trailers\r\nConnection: TE\r\n\r\n"),
            ("TE: gzip, Trailers\r\n", "TE: trailers\r\nConnection: TE\r\n\r\n"),
            ("TE: trailers;q=1\r\n", "Host: a\r\n\r\n"),
        ];
        for (fields, end) in rows {
            let head = rewritten(&format!("Host: a\r\nConnection: TE\r\n{fields}"), &none());
            assert!(head.ends_with(end), "{fields:?}: {head}");
        }
        let fields = "Host: a\r\nUpgrade: x\r\nTE: trailers\r\n";
        let head = sent(fields, &none(), Framing::Empty, ConnectionHeader::Upgrade);
        assert!(head.ends_with("Connection: upgrade, TE\r\n\r\n"), "{head}");
    }

    #[test]
    fn a_first_line_is_written_anew_where_its_path_is_edited() {
        let mut edits = none();
        edits.set_path([b"/x", b"/y"]);
        let head = rewritten("Host: a\r\nA: b\r\n", &edits);
        assert_eq!(head, "GET /x/y?b HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n");
    }

    #[test]
    fn a_length_keeps_its_place_unless_it_has_to_be_written_otherwise() {
        for (fields, expected) in [
            ("Content-Length: 5\r\nA: b\r\n", "Content-Length: 5\r\nA: b\r\n"),
            ("Content-Length:0 \r\nA: b\r\n", "Content-Length: 0\r\nA: b\r\n"),
            ("content-length: 5\r\nA: b\r\n", "A: b\r\nContent-Length: 5\r\n"),
            ("Content-Length: 05\r\nA: b\r\n", "A: b\r\nContent-Length: 5\r\n"),
            ("Content-Length: 00\r\nA: b\r\n", "A: b\r\nContent-Length: 0\r\n"),
        ] {
            let to = Method::Idempotent;
            let head = answered("200 OK", fields, to, ConnectionHeader::Implied);
            assert_eq!(head, format!("HTTP/1.1 200 OK\r\n{expected}\r\n"), "{fields:?}");
        }
        let (length, implied) = (Framing::Length(7), ConnectionHeader::Implied);
        let head = sent("Content-Length: 8\r\nHost: a\r\n", &none(), length, implied);
        assert_eq!(head, "GET /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n");
        let head = sent("Content-Length: 7\r\nHost: a\r\n", &none(), length, implied);
        assert_eq!(head, "GET /a?b HTTP/1.1\r\nContent-Length: 7\r\nHost: a\r\n\r\n");
        let head = sent("Content-Length: 07\r\nHost: a\r\n", &none(), length, implied);
        assert_eq!(head, "GET /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n");
    }

    #[test]
    fn responses() {
        let get = Method::Idempotent;
        let rows = [
            ("200 OK", "Content-Length: 5\r\n", get, "200 OK\r\nContent-Length: 5\r\n\r\n"),
            (
                "200 OK",
                "Content-Length: 5\r\n",
                Method::Head,
                "200 OK\r\nContent-Length: 5\r\n\r\n",
            ),
            ("304 A", "Content-Length: 5\r\n", get, "304 A\r\nContent-Length: 5\r\n\r\n"),
            ("204 A", "Content-Length: 5\r\n", get, "204 A\r\n\r\n"),
            (
                "426 A",
                "Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: h9\r\n",
                get,
                "426 A\r\nContent-Length: 0\r\nUpgrade: h9\r\nConnection: upgrade\r\n\r\n",
            ),
            (
                "200 OK",
                "Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nUpgrade: h2\r\nA: b\r\n",
                Method::Head,
                "200 OK\r\nA: b\r\n\r\n",
            ),
        ];
        for (status, fields, to, expected) in rows {
            let head = answered(status, fields, to, ConnectionHeader::Implied);
            assert_eq!(head, format!("HTTP/1.1 {expected}"), "{status} {fields:?}");
        }
    }

    #[test]
    fn a_head_that_does_not_fit_is_refused() {
        let mut out = Buffer::new();
        out.enlarge();
        out.append(&[0; crate::buffer::LARGE_BYTES - 40]);
        let bytes = b"GET /a HTTP/1.1\r\nHost: a\r\nA: bbbbbbbbbbbbb\r\n\r\n";
        let mut storage = Storage::new();
        let head = parse::request(bytes, &LIMITS, &mut storage).unwrap();
        let sent = request(
            &head,
            Options::of(&head.fields),
            &none(),
            Framing::Empty,
            ConnectionHeader::Implied,
            &mut out,
        );
        assert_eq!(sent, Err(Reject::HeadTooLarge));
    }
}
