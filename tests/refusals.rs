//! What is refused, with which status, and that nothing else is harmed by it.

use evener::reject::Reject;

use crate::support::{Origin, Proxy, filler};

struct Gate {
    origin: Origin,
    proxy: Proxy,
}

impl Gate {
    fn new(flags: &[&str]) -> Self {
        let origin = Origin::named("in");
        Self { proxy: Proxy::before(&[&origin], flags), origin }
    }

    /// Refuses it in good order, counts it, and serves the next client.
    #[track_caller]
    fn refuses(&self, request: impl AsRef<[u8]>, status: u16, reject: Reject) {
        let counted = || self.proxy.count(|m| &m.rejects[reject as usize]);
        let shown = String::from_utf8_lossy(request.as_ref()).chars().take(200).collect::<String>();
        let (before, served) = (counted(), self.origin.heads().len());
        let mut client = self.proxy.client();
        let response = client.ask(request);
        assert_eq!(
            (response.status, response.field("connection")),
            (status, Some("close")),
            "{shown}"
        );
        assert!(!client.is_reset(), "{shown}");
        assert_eq!(counted(), before + 1, "{reject:?}: {shown}");
        assert_eq!(self.proxy.get("/").text(), "in");
        assert_eq!(self.origin.heads().len(), served + 1, "{shown}");
    }

    #[track_caller]
    fn refuses_field(&self, lines: &str, status: u16, reject: Reject) {
        let request = format!("POST / HTTP/1.1\r\nHost: test\r\n{lines}\r\n0\r\n\r\n");
        self.refuses(request, status, reject);
    }
}

#[test]
fn ambiguous_framing() {
    let gate = Gate::new(&[]);
    let rows = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, Reject::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, Reject::LengthAndEncoding),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400, Reject::DuplicateContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400, Reject::DuplicateContentLength),
        ("Content-Length: 5, 5\r\n", 400, Reject::ContentLength),
        ("Content-Length: +5\r\n", 400, Reject::ContentLength),
        ("Content-Length: -5\r\n", 400, Reject::ContentLength),
        ("Content-Length: 0x5\r\n", 400, Reject::ContentLength),
        ("Content-Length: 99999999999999999999\r\n", 400, Reject::ContentLength),
        ("Content-Length: \r\n", 400, Reject::ContentLength),
        ("Transfer-Encoding: gzip\r\n", 501, Reject::UnknownEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, Reject::UnknownEncoding),
        ("Transfer-Encoding: xchunked\r\n", 501, Reject::UnknownEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", 400, Reject::ChunkedNotLast),
        ("Transfer-Encoding: chunked, chunked\r\n", 400, Reject::ChunkedNotLast),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400, Reject::ChunkedNotLast),
    ];
    for (lines, status, reject) in rows {
        gate.refuses_field(lines, status, reject);
    }
}

#[test]
fn a_transfer_coding_in_http_1_0() {
    let request = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    Gate::new(&[]).refuses(request, 400, Reject::EncodingInHttp10);
}

#[test]
fn malformed_fields() {
    let gate = Gate::new(&[]);
    let rows = [
        ("X: a\nY: b\r\n", Reject::BareLf),
        ("X: a\r\n b\r\n", Reject::ObsFold),
        ("X: a\r\n\tb\r\n", Reject::ObsFold),
        ("X : a\r\n", Reject::FieldName),
        ("X\t: a\r\n", Reject::FieldName),
        (": a\r\n", Reject::FieldName),
        ("X\r\n", Reject::FieldName),
        ("X(: a\r\n", Reject::FieldName),
        ("X: a\0b\r\n", Reject::FieldValue),
        ("X: a\rb\r\n", Reject::FieldValue),
        ("X: a\x7fb\r\n", Reject::FieldValue),
        ("X: a\x1bb\r\n", Reject::FieldValue),
    ];
    for (lines, reject) in rows {
        gate.refuses_field(lines, 400, reject);
    }
}

#[test]
fn a_host_that_is_missing_or_in_doubt() {
    let gate = Gate::new(&[]);
    let rows = [
        ("/", "", Reject::MissingHost),
        ("/", "Host: a\r\nHost: b\r\n", Reject::DuplicateHost),
        ("/", "Host: a\r\nhost: a\r\n", Reject::DuplicateHost),
        ("/", "Host: a, b\r\n", Reject::InvalidHost),
        ("/", "Host: a/b\r\n", Reject::InvalidHost),
        ("/", "Host: a@b\r\n", Reject::InvalidHost),
        ("/", "Host: a b\r\n", Reject::InvalidHost),
        ("/", "Host: a:x\r\n", Reject::InvalidHost),
        ("http://b/", "Host: a\r\n", Reject::HostMismatch),
        ("http://a/", "", Reject::MissingHost),
    ];
    for (target, lines, reject) in rows {
        gate.refuses(format!("GET {target} HTTP/1.1\r\n{lines}\r\n"), 400, reject);
    }
}

#[test]
fn request_lines_that_are_none() {
    let gate = Gate::new(&[]);
    let rows = [
        ("GET / HTTP/2.0", 505, Reject::Version),
        ("GET / HTTP/1.2", 505, Reject::Version),
        ("PRI * HTTP/2.0", 505, Reject::Version),
        ("CONNECT a:443 HTTP/1.1", 501, Reject::Connect),
        ("GET /", 400, Reject::RequestLine),
        ("GET  / HTTP/1.1", 400, Reject::RequestLine),
        ("GET / HTTP/1.1 ", 400, Reject::RequestLine),
        ("GET / x HTTP/1.1", 400, Reject::RequestLine),
        ("GET /\ra HTTP/1.1", 400, Reject::RequestLine),
        ("GET /\0 HTTP/1.1", 400, Reject::RequestLine),
        ("GET /\u{e9} HTTP/1.1", 400, Reject::Target),
        ("GET / http/1.1", 400, Reject::RequestLine),
        ("G(T / HTTP/1.1", 400, Reject::RequestLine),
        (" GET / HTTP/1.1", 400, Reject::RequestLine),
        ("GET a HTTP/1.1", 400, Reject::Target),
        ("GET * HTTP/1.1", 400, Reject::Target),
        ("GET /#a HTTP/1.1", 400, Reject::Target),
        ("GET ftp://a/ HTTP/1.1", 400, Reject::Target),
        ("GET /../a HTTP/1.1", 400, Reject::PathAboveRoot),
    ];
    for (line, status, reject) in rows {
        gate.refuses(format!("{line}\r\nHost: a\r\n\r\n"), status, reject);
    }
}

#[test]
fn a_target_without_end() {
    let request = format!("GET /{}", "a".repeat(20_000));
    Gate::new(&[]).refuses(request, 414, Reject::TargetTooLong);
}

#[test]
fn a_head_that_is_too_large() {
    let gate = Gate::new(&["--max-head", "2k"]);
    let request = |count| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(count));
    gate.refuses(request(2048), 431, Reject::HeadTooLarge);
    assert_eq!(gate.proxy.ask(request(1900)).status, 200);
}

#[test]
fn a_head_without_end() {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(4_000));
    Gate::new(&[]).refuses(request, 431, Reject::HeadTooLarge);
}

#[test]
fn too_many_fields() {
    let gate = Gate::new(&["--max-fields", "10"]);
    let request = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    gate.refuses(request(10), 431, Reject::TooManyFields);
    assert_eq!(gate.proxy.ask(request(9)).status, 200);
}

#[test]
fn malformed_chunks() {
    let gate = Gate::new(&[]);
    let long = format!("1;{}\r\na\r\n", "x".repeat(1100));
    let trailers = format!("0\r\n{}", "X: y\r\n".repeat(1500));
    let rows = [
        ("x\r\n", Reject::ChunkSize),
        ("-1\r\n", Reject::ChunkSize),
        ("0x1\r\na\r\n", Reject::ChunkSize),
        ("10000000000000000\r\n", Reject::ChunkSize),
        ("\r\n", Reject::ChunkSize),
        ("1\na\r\n", Reject::BareLf),
        ("1;=\r\na\r\n", Reject::ChunkExtension),
        (&long, Reject::ChunkLineTooLong),
        ("1\r\nab\r\n", Reject::ChunkEnd),
        ("0\r\nX\r\n\r\n", Reject::Trailer),
        ("0\r\nX : y\r\n\r\n", Reject::Trailer),
        ("0\r\nContent-Length: 1\r\n\r\n", Reject::ForbiddenTrailer),
        ("0\r\nHost: b\r\n\r\n", Reject::ForbiddenTrailer),
        (&trailers, Reject::TrailerTooLarge),
    ];
    for (chunks, reject) in rows {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        gate.refuses(format!("{head}{chunks}"), 400, reject);
    }
}

#[test]
fn a_tls_greeting() {
    let start = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    let random: Vec<_> = filler(500).into_iter().filter(|byte| *byte != b'\n').collect();
    Gate::new(&[]).refuses([start, &random].concat(), 400, Reject::RequestLine);
}

#[test]
fn random_bytes() {
    let gate = Gate::new(&[]);
    for noise in filler(20_000).chunks(2_000) {
        let mut client = gate.proxy.client();
        client.send(noise);
        client.finish();
        let answer = client.rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{noise:?}");
    }
    assert!(gate.origin.heads().is_empty());
    assert_eq!(gate.proxy.get("/").text(), "in");
}

/// Begins a head and goes on with the same byte for as long as it may.
fn dripping(start: &str, byte: u8) {
    let gate = Gate::new(&["--header-timeout", "100ms"]);
    let mut client = gate.proxy.client();
    client.send(start);
    client.drip(byte);
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert!(!client.is_reset());
    assert_eq!(gate.proxy.count(|m| &m.head_timeouts), 1);
    assert_eq!(gate.proxy.get("/").text(), "in");
}

#[test]
fn a_first_line_that_drips() {
    dripping("G", b'E');
}

#[test]
fn a_field_that_drips() {
    dripping("GET / HTTP/1.1\r\nHost: a\r\nX: ", b'x');
}

#[test]
fn a_head_that_stops() {
    let gate = Gate::new(&["--header-timeout", "100ms"]);
    assert_eq!(gate.proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n").status, 408);
}

#[test]
fn a_client_that_leaves_inside_its_head_is_no_matter() {
    let gate = Gate::new(&[]);
    let mut client = gate.proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    client.finish();
    assert!(client.is_closed());
    assert_eq!(gate.proxy.get("/").text(), "in");
}

#[test]
fn a_target_that_is_too_long_in_one_piece() {
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000));
    Gate::new(&[]).refuses(request, 414, Reject::TargetTooLong);
}
