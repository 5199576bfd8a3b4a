//! Writes a head anew from its parsed form, with one framing and without what was meant for this
//! connection only. Nothing of a head is ever passed on as it came but method, target, reason and
//! the fields that are no concern of a proxy; those keep their order, case and number.

use std::net::IpAddr;

use super::framing::{self, Framing};
use super::persistence::Options;
use crate::buffer::Buffer;
use crate::decimal::{decimal, ipv4};
use crate::http::message::field::{self, Name};
use crate::http::message::head::{RequestHead, ResponseHead, Version};
use crate::reject::Reject;

/// What a request's head is to say besides what the client wrote.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdit<'a> {
    /// How the body will be framed: as it came.
    pub framing: Framing,
    /// Whether the upgrade that is asked for is passed on.
    pub upgrade: bool,
    /// What is left of the target, where it loses a prefix.
    pub stripped: Option<Stripped<'a>>,
    /// Host towards the endpoint, where it is not the client's.
    pub host: Option<&'a str>,
    /// Host for an HTTP/1.0 client that sent none: the address it connected to.
    pub host_default: &'a str,
    /// The client's address, if it has one (a unix socket has none).
    pub client: Option<IpAddr>,
    /// Whether what the client says about earlier hops is believed.
    pub trusted: bool,
    /// What X-Real-IP says, if it is to say anything but what the client wrote there.
    pub real_ip: Option<IpAddr>,
    /// What X-Request-Id says instead of what the client wrote there, if it is to say anything else.
    pub request_id: Option<&'a [u8]>,
}

/// A path that has lost its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// What it has lost.
    prefix: &'a str,
    /// What is left, without slashes at its start.
    rest: &'a [u8],
}

impl<'a> Stripped<'a> {
    /// A normalised path without `prefix`, if that is its first segments: of the asterisk-form
    /// nothing is, and `/img` is not of `/img../x`, which would come to climb.
    pub fn of(path: &'a [u8], prefix: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(prefix.as_bytes()).filter(|_| path.starts_with(b"/"))?;
        if !matches!(rest, [] | [b'/', ..]) {
            return None;
        }
        // A target that begins with two slashes would be read as that of another host by some.
        let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
        Some(Self { prefix, rest: &rest[slashes..] })
    }
}

/// What the Connection field of a response tells the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: HTTP/1.1 stays by default.
    Implied,
    /// To stay: an HTTP/1.0 client needs the word.
    KeepAlive,
    /// That this is the last answer.
    Close,
    /// That the protocol changes (101).
    Upgrade,
}

impl Connection {
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
/// Fails with [`Reject::HeadTooLarge`] if it does not fit into `out`.
pub fn request(
    head: &RequestHead<'_, '_>,
    edit: &RequestEdit<'_>,
    out: &mut Buffer,
) -> Result<usize, Reject> {
    let mut writer = Writer::new(out);
    let (mut aliases, mut te) = (0, false);
    match edit.stripped {
        None if head.target.starts_with('?') => {
            writer.all(&[head.method.as_bytes(), b" /", head.target.as_bytes()]);
        }
        None => writer.all(&[head.method.as_bytes(), b" ", head.target.as_bytes()]),
        Some(Stripped { rest, .. }) => {
            writer.all(&[head.method.as_bytes(), b" /", rest, head.query().as_bytes()]);
        }
    }
    writer.bytes(b" HTTP/1.1\r\n");
    let host = edit.host.map_or(head.authority, str::as_bytes);
    let mut host_name = "Host";
    if let Some((_, name, _)) = head.fields.iter().find(|(known, ..)| *known == Name::Host) {
        host_name = name;
    } else {
        let host = if host.is_empty() { edit.host_default.as_bytes() } else { host };
        writer.field(host_name, host);
    }
    let options = Options::of(&head.fields);
    for (known, name, value) in head.fields.iter() {
        match known {
            Name::Host => writer.field(host_name, host),
            Name::Upgrade if edit.upgrade => writer.field(name, value),
            // An HTTP/1.0 client cannot be sent the 100 it would ask for, and without a body there
            // is nothing to wait for (RFC 9110 §10.1.1).
            Name::Expect if head.version == Version::Http11 && edit.framing.has_body() => {
                writer.field(name, value);
            }
            Name::ForwardedOther
                if edit.real_ip.is_some() && name.eq_ignore_ascii_case("x-real-ip") => {}
            Name::ForwardedHost | Name::ForwardedProto | Name::ForwardedOther if edit.trusted => {
                writer.field(name, value);
            }
            Name::RequestId if edit.request_id.is_some() => {}
            Name::Other | Name::RequestId if !options.names(&head.fields, name) => {
                writer.field(name, value);
            }
            Name::Te => te |= head.version == Version::Http11 && field::takes_trailers(value),
            Name::Alias => aliases += 1,
            _ => {}
        }
    }
    forwarded(head, edit, &mut writer);
    if let Some(id) = edit.request_id {
        writer.field("X-Request-Id", id);
    }
    writer.framing(edit.framing);
    if te {
        writer.bytes(b"TE: trailers\r\n");
    }
    writer.bytes(match (edit.upgrade, te) {
        (false, false) => b"",
        (true, false) => Connection::Upgrade.line(),
        (false, true) => b"Connection: TE\r\n",
        (true, true) => b"Connection: upgrade, TE\r\n",
    });
    writer.end().map(|()| aliases)
}

fn forwarded(head: &RequestHead<'_, '_>, edit: &RequestEdit<'_>, writer: &mut Writer<'_>) {
    let kept = |name: Name| edit.trusted && head.fields.has(name);
    let earlier = head.fields.values(Name::ForwardedFor).filter(|_| edit.trusted);
    let mut before: &[u8] = b"X-Forwarded-For: ";
    for value in earlier {
        writer.all(&[before, value]);
        before = b", ";
    }
    if let Some(client) = edit.client {
        writer.bytes(before);
        writer.address(client.to_canonical());
        before = b", ";
    }
    if before == b", " {
        writer.bytes(b"\r\n");
    }
    if let Some(client) = edit.real_ip {
        writer.bytes(b"X-Real-IP: ");
        writer.address(client.to_canonical());
        writer.bytes(b"\r\n");
    }
    if let Some(Stripped { prefix, .. }) = edit.stripped {
        writer.field("X-Forwarded-Prefix", prefix.as_bytes());
    }
    if !kept(Name::ForwardedProto) {
        writer.bytes(b"X-Forwarded-Proto: http\r\n");
    }
    if !kept(Name::ForwardedHost) && !head.authority.is_empty() {
        writer.field("X-Forwarded-Host", head.authority);
    }
}

/// Writes the head of a response to the client, always as HTTP/1.1.
///
/// `framing` is that of the body as the client will see it; [`Framing::UntilClose`] goes with
/// [`Connection::Close`]. Fails with [`Reject::HeadTooLarge`] if it does not fit into `out`.
pub fn response(
    head: &ResponseHead<'_, '_>,
    framing: Framing,
    connection: Connection,
    out: &mut Buffer,
) -> Result<(), Reject> {
    let mut writer = Writer::new(out);
    writer.bytes(b"HTTP/1.1 ");
    writer.bytes(&decimal(head.status.into()));
    writer.all(&[b" ", head.reason.as_bytes(), b"\r\n"]);
    let options = Options::of(&head.fields);
    for (known, name, value) in head.fields.iter() {
        match known {
            Name::Upgrade if connection == Connection::Upgrade || head.status == 426 => {
                writer.field(name, value);
            }
            Name::Connection
            | Name::HopByHop
            | Name::Te
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::Upgrade => {}
            _ if options.names(&head.fields, name) => {}
            _ => writer.field(name, value),
        }
    }
    match (framing, head.status) {
        (Framing::Empty, 100..200 | 204) => {}
        (Framing::Empty, _) => {
            if let Some(length) = framing::announced_length(head) {
                writer.framing(Framing::Length(length));
            }
        }
        _ => writer.framing(framing),
    }
    // RFC 9110 §15.5.22: a 426 names the protocols, and Connection names Upgrade.
    if head.status == 426 {
        writer.bytes(Connection::Upgrade.line());
    }
    writer.bytes(connection.line());
    writer.end()
}

/// Appends to a buffer and remembers whether all of it fitted.
struct Writer<'a> {
    out: &'a mut Buffer,
    full: bool,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Buffer) -> Self {
        Self { out, full: false }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let count = self.out.append(bytes);
        if count < bytes.len() {
            self.out.enlarge();
            self.full |= self.out.append(&bytes[count..]) < bytes.len() - count;
        }
    }

    fn all(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes(part);
        }
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.all(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(&ipv4(address)),
            IpAddr::V6(address) => self.bytes(address.to_string().as_bytes()),
        }
    }

    fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Empty | Framing::UntilClose => {}
            Framing::Chunked => self.bytes(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) => {
                self.bytes(b"Content-Length: ");
                self.bytes(&decimal(length));
                self.bytes(b"\r\n");
            }
        }
    }

    fn end(mut self) -> Result<(), Reject> {
        self.bytes(b"\r\n");
        if self.full { Err(Reject::HeadTooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::{Method, Storage};

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    const EDIT: RequestEdit<'_> = RequestEdit {
        framing: Framing::Empty,
        upgrade: false,
        stripped: None,
        host: None,
        host_default: "127.0.0.1:8080",
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        trusted: false,
        real_ip: None,
        request_id: None,
    };

    #[test]
    fn a_prefix_is_stripped_by_whole_segments_and_never_uncovers_a_dot_segment() {
        let rest = |path: &'static str, prefix| {
            Stripped::of(path.as_bytes(), prefix).map(|stripped| stripped.rest)
        };
        assert_eq!(rest("/img", "/img"), Some(&b""[..]));
        assert_eq!(rest("/img//x/y", "/img"), Some(&b"x/y"[..]));
        for (path, prefix) in [("/img../x", "/img"), ("/img2", "/img"), ("*", ""), ("/a", "/img")] {
            assert_eq!(rest(path, prefix), None, "{path}");
        }
    }

    fn rewritten(fields: &str, edit: &RequestEdit<'_>) -> String {
        let bytes = format!("GET /a?b HTTP/1.1\r\n{fields}\r\n");
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let mut out = Buffer::new();
        request(&head, edit, &mut out).unwrap();
        String::from_utf8(out.filled().to_vec()).unwrap()
    }

    fn answered(status: &str, fields: &str, to: Method, connection: Connection) -> String {
        let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        let mut storage = Storage::new();
        let head = parse::response(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let mut out = Buffer::new();
        let framing = framing::response(&head, to).unwrap();
        response(&head, framing, connection, &mut out).unwrap();
        String::from_utf8(out.filled().to_vec()).unwrap()
    }

    #[test]
    fn order_case_and_duplicates_of_the_rest_are_kept() {
        let head = rewritten("X-b: 1\r\nHOST: a:80\r\nx-A: 2\r\nX-b: 3\r\n", &EDIT);
        assert_eq!(
            head,
            "GET /a?b HTTP/1.1\r\nX-b: 1\r\nHOST: a:80\r\nx-A: 2\r\nX-b: 3\r\n\
             X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n\r\n"
        );
    }

    #[test]
    fn what_is_meant_for_this_connection_stops_here() {
        let head = rewritten(
            "Host: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\n\
             Proxy-Connection: x\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\nX-Yours: 2\r\n",
            &EDIT,
        );
        for gone in ["X-Mine", "Keep-Alive", "TE", "Proxy-", "Upgrade", "HTTP2", "Connection"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
        assert!(head.contains("X-Yours: 2\r\n"));
    }

    #[test]
    fn connection_cannot_name_away_what_routes_or_speaks_of_the_client() {
        let head = rewritten("Host: a\r\nConnection: host, x-forwarded-for\r\n", &EDIT);
        assert!(head.contains("Host: a\r\n") && head.contains("X-Forwarded-For: 192.0.2.7\r\n"));
    }

    #[test]
    fn an_untrusted_client_says_nothing_about_earlier_hops() {
        let head = rewritten(
            "Host: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\n",
            &EDIT,
        );
        for gone in ["6.6.6.6", "https", "evil", "Port"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
    }

    #[test]
    fn a_trusted_client_is_appended_to() {
        let edit = RequestEdit { trusted: true, ..EDIT };
        let head = rewritten(
            "Host: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
             X-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\n",
            &edit,
        );
        assert!(head.contains("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n"), "{head}");
        assert!(head.contains("X-Forwarded-Proto: https\r\n") && !head.contains("http\r\n"));
        assert!(head.contains("Forwarded: for=1.1.1.1\r\n"));
    }

    #[test]
    fn a_request_has_one_id_if_it_is_given_one() {
        let fields = "Host: a\r\nX-Request-Id: theirs\r\nx-request-id: too\r\n";
        assert!(rewritten(fields, &EDIT).contains("X-Request-Id: theirs\r\nx-request-id: too\r\n"));
        let head = rewritten(fields, &RequestEdit { request_id: Some(b"ours"), ..EDIT });
        assert!(head.ends_with("X-Request-Id: ours\r\n\r\n"), "{head}");
        assert_eq!(head.to_lowercase().matches("x-request-id").count(), 1);
        let named = format!("{fields}Connection: x-request-id\r\n");
        assert!(!rewritten(&named, &EDIT).contains("theirs"));
    }

    #[test]
    fn host_is_replaced_where_asked_and_made_up_where_missing() {
        let edit = RequestEdit { host: Some("b.example"), ..EDIT };
        let head = rewritten("Host: a\r\n", &edit);
        assert!(head.contains("\r\nHost: b.example\r\n"));
        assert!(head.contains("X-Forwarded-Host: a\r\n"));
        let bytes = b"GET / HTTP/1.0\r\n\r\n";
        let mut storage = Storage::new();
        let old = parse::request(bytes, &LIMITS, &mut storage).unwrap();
        let mut out = Buffer::new();
        request(&old, &EDIT, &mut out).unwrap();
        assert!(out.filled().starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
    }

    #[test]
    fn the_framing_is_written_once_and_anew() {
        let edit = RequestEdit { framing: Framing::Length(7), ..EDIT };
        let head = rewritten("Host: a\r\ncontent-length: 007\r\n", &edit);
        assert_eq!(head.to_lowercase().matches("content-length").count(), 1);
        assert!(head.contains("Content-Length: 7\r\n"));
    }

    #[test]
    fn an_upgrade_is_passed_on_with_its_option() {
        let edit = RequestEdit { upgrade: true, ..EDIT };
        let head = rewritten("Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", &edit);
        assert!(head.contains("Upgrade: websocket\r\n"));
        assert!(head.contains("Connection: upgrade\r\n"));
    }

    #[test]
    fn trailers_are_asked_for_where_the_client_did() {
        let rows = [
            ("TE: trailers\r\n", "TE: trailers\r\nConnection: TE\r\n\r\n"),
            ("TE: gzip, Trailers\r\n", "TE: trailers\r\nConnection: TE\r\n\r\n"),
            ("TE: trailers;q=1\r\n", "X-Forwarded-Host: a\r\n\r\n"),
        ];
        for (fields, end) in rows {
            let head = rewritten(&format!("Host: a\r\nConnection: TE\r\n{fields}"), &EDIT);
            assert!(head.ends_with(end), "{fields:?}: {head}");
        }
        let edit = RequestEdit { upgrade: true, ..EDIT };
        let head = rewritten("Host: a\r\nUpgrade: x\r\nTE: trailers\r\n", &edit);
        assert!(head.ends_with("Connection: upgrade, TE\r\n\r\n"), "{head}");
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
                "426 A\r\nUpgrade: h9\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n",
            ),
            (
                "200 OK",
                "Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nUpgrade: h2\r\nA: b\r\n",
                Method::Head,
                "200 OK\r\nA: b\r\n\r\n",
            ),
        ];
        for (status, fields, to, expected) in rows {
            let head = answered(status, fields, to, Connection::Implied);
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
        assert_eq!(request(&head, &EDIT, &mut out), Err(Reject::HeadTooLarge));
    }
}
