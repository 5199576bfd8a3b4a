//! No request makes a rule write a line that its configuration does not have.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::configured::proxy;
use crate::support::h2::{Body, H2Client};
use crate::support::library::run;
use crate::support::strict::verdict;
use crate::support::{CheckVerdict, Origin, Proxy};

/// Every variable.
const ALL: &str = "{client} {client_port} {scheme} {host} {method} {target} {path} {query} {route} {upstream} \
                   {endpoint} {request_id} {tls_version} {sni} {client_cert_subject}";

/// What requests are made of, beside what browsers send.
const PIECES: [&[u8]; 44] = [
    b"\r\nX-Evil: 1",
    b"\nX-Evil: 1",
    b"\r",
    b"\n",
    b"\0",
    b"\t",
    b"\x7f",
    b"\x80",
    b"\xff",
    b" ",
    b"%0d%0aX-Evil:%201",
    b"%00",
    b"%",
    b"%2",
    b"%zz",
    b"//evil.example",
    b"/\\evil.example",
    b"\\",
    b"..",
    b"/../",
    b"/./",
    b"%2e%2e/",
    b"?",
    b"#",
    b"&",
    b"=",
    b"@evil.example",
    b":",
    b";",
    b",",
    b"\"",
    b"'",
    b"<script>",
    b"</p>",
    b"{host}",
    b"{{",
    b"}",
    b"${x}",
    b"[",
    b"]",
    b"[::1]",
    b":80",
    b"\xc3\xa9",
    b"x",
];

/// How many of them, at the beginning, may stand in no request.
const ODD: usize = 10;

/// Xorshift64, from a state other than 0.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// Up to so many pieces, few of which end a line. Where a line of the client's own may not begin, none does.
    fn draw(&mut self, count: usize, may_begin: bool) -> Vec<u8> {
        let mut drawn = Vec::new();
        for _ in 0..self.below(count + 1) {
            let first = if may_begin { 0 } else { 2 };
            let range = if self.below(10) == 0 { first..ODD } else { ODD..PIECES.len() };
            drawn.extend(PIECES[range.start + self.below(range.len())]);
        }
        drawn
    }
}

/// A balancer that copies every variable into headers, into Location, and into bodies of three kinds.
fn before(origin: &Origin) -> Proxy {
    let edits = format!("{{set: {{X-All: \"{ALL}\"}}, add: {{X-More: \"{ALL}\"}}}}");
    let request = edits.replace(" {endpoint}", "");
    let uri = ALL.replace(' ', "/");
    proxy(&format!(
        "trusted: [127.0.0.0/8]\nresponse_headers: {edits}\nroutes:\n  - {{prefix: /up, endpoints: ['{}'], \
         request_headers: {request}}}\n  - {{prefix: /to, redirect: {{to: 'https://a.example{{target}}?{uri}'}}}}\n  \
         - {{host: '*.b.example', prefix: /, redirect: {{to: 'https://{{host}}:8443{{path}}?{{query}}'}}}}\n  \
         - {{prefix: /in, redirect: {{to: '/new{{target}}'}}}}\n  \
         - {{prefix: /text, respond: {{status: 200, body: \"{ALL}\", headers: {{X-Own: \"{ALL}\"}}}}}}\n  \
         - {{prefix: /page, respond: {{status: 200, content_type: text/html, body: \"<p>{ALL}</p>\"}}}}\n  \
         - {{prefix: /json, respond: {{status: 200, content_type: application/json, body: '[\"{ALL}\"]'}}}}\n",
        origin.address
    ))
}

/// A request whose target, host, and headers about the client are drawn.
fn drawn(random: &mut Random) -> Vec<u8> {
    let paths: [&[u8]; 8] =
        [b"/up/", b"/to?", b"/in/", b"/text?", b"/page/", b"/json/", b"/", b"/up"];
    let hosts: [&[u8]; 4] = [b"a.example", b"X.b.example", b"[::1]:80", b""];
    let mut request = b"GET ".to_vec();
    request.extend(paths[random.below(paths.len())]);
    request.extend(random.draw(4, true));
    request.extend(b" HTTP/1.1\r\nConnection: close\r\nHost: ");
    request.extend(hosts[random.below(hosts.len())]);
    request.extend(if random.below(6) == 0 { random.draw(2, false) } else { Vec::new() });
    for name in ["X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto"] {
        request.extend(format!("\r\n{name}: v").bytes());
        request.extend(if random.below(6) == 0 { random.draw(2, false) } else { Vec::new() });
    }
    request.extend(b"\r\n\r\n");
    request
}

/// The names of headers in answers that Evener gives here, in lower case.
const OURS: [&str; 11] = [
    "date",
    "content-type",
    "content-length",
    "connection",
    "cache-control",
    "location",
    "x-all",
    "x-more",
    "x-own",
    "allow",
    "retry-after",
];

/// Checks an answer by the strict reader and by hyper, and each line of its head.
async fn judge(bytes: &[u8], request: &[u8]) {
    let shown = || format!("{}\n{}", request.escape_ascii(), bytes.escape_ascii());
    assert!(matches!(verdict(bytes, false), CheckVerdict::Whole(..)), "{}", shown());
    let (ours, mut theirs) = duplex(256 * 1024);
    let (mut sender, connection) = handshake(TokioIo::new(ours)).await.unwrap();
    let asked = Request::builder().uri("/").body(Empty::<Bytes>::new()).unwrap();
    let asking = async {
        let answer =
            sender.send_request(asked).await.unwrap_or_else(|error| panic!("{error} {}", shown()));
        let (head, body) = answer.into_parts();
        let body =
            body.collect().await.unwrap_or_else(|error| panic!("{error} {}", shown())).to_bytes();
        (head, body)
    };
    let answering = async {
        let _ = theirs.read(&mut [0; 4096]).await.unwrap();
        theirs.write_all(bytes).await.unwrap();
        drop(theirs);
    };
    let driving = async { drop(connection.await) };
    let ((head, body), ..) = tokio::join!(asking, answering, driving);
    for name in head.headers.keys() {
        let count = head.headers.get_all(name).iter().count();
        assert!(OURS.contains(&name.as_str()) && count == 1, "{count} {name} in {}", shown());
    }
    if let Some(location) = head.headers.get("location") {
        let location = location.to_str().unwrap();
        assert!(!location.contains('\\') && location.bytes().all(|byte| byte.is_ascii_graphic()));
        let authority =
            location.strip_prefix("https://").map(|rest| rest.split(['/', '?']).next().unwrap());
        let is_home = match authority {
            Some(host) => host == "a.example" || host.ends_with("b.example:8443"),
            None => location.starts_with("/new/"),
        };
        assert!(is_home && !location.contains("X-Evil: "), "{}", shown());
    }
    let content_type = head.headers.get("content-type").map(hyper::http::HeaderValue::as_bytes);
    if content_type == Some(b"text/html") {
        assert_eq!(body.iter().filter(|byte| b"<>".contains(byte)).count(), 4, "{}", shown());
    }
    if content_type == Some(b"application/json") {
        serde_json::from_slice::<[String; 1]>(&body)
            .unwrap_or_else(|error| panic!("{error} {}", shown()));
    }
}

#[test]
fn ten_thousand_mutated_requests_write_no_unexpected_line() {
    let origin = Origin::named("up");
    let proxy = before(&origin);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut answered = [0; 6];
    for _ in 0..100 {
        let answers: Vec<_> = (0..100)
            .map(|_| {
                let request = drawn(&mut random);
                let mut client = proxy.client();
                client.send(&request);
                (request, client.rest())
            })
            .collect();
        run(async {
            for (request, bytes) in &answers {
                answered[usize::from(bytes[9] - b'0')] += 1;
                judge(bytes, request).await;
            }
        });
    }
    assert!(answered.iter().skip(2).take(3).all(|count| *count > 500), "{answered:?}");
    let expected = [
        "GET",
        "Host:",
        "X-Request-Id:",
        "X-Forwarded-For:",
        "X-Forwarded-Proto:",
        "X-Forwarded-Host:",
        "Forwarded:",
        "Via:",
        "X-All:",
        "X-More:",
        "X-Real-IP:",
        "Connection:",
    ];
    for head in origin.heads() {
        for line in head.split_terminator("\r\n").filter(|line| !line.is_empty()) {
            let name = line.split(' ').next().unwrap();
            assert!(expected.contains(&name) && !line.contains(['\r', '\n', '\0']), "{head:?}");
        }
    }
}

#[test]
fn mutated_requests_over_http2_write_no_unexpected_field() {
    let origin = Origin::named("up");
    let proxy = before(&origin);
    let mut random = Random(7);
    run(async {
        let client = H2Client::connect(proxy.address).await;
        let mut sent = 0;
        while sent < 300 {
            let path = ["/up", "/to", "/text", "/page"][random.below(4)];
            let drawn = String::from_utf8_lossy(&random.draw(3, false)).into_owned();
            let uri = format!("http://a.example{path}?{drawn}");
            let id = String::from_utf8_lossy(&random.draw(2, false)).into_owned();
            let request = Request::builder().uri(uri).header("x-request-id", id).body(());
            let Ok(request) = request else { continue };
            // What is malformed is refused by a reset.
            let Ok(answer) = client.ask(request, Body::default()).await else { continue };
            sent += 1;
            for name in answer.fields.keys() {
                let count = answer.fields.get_all(name).iter().count();
                assert!(OURS.contains(&name.as_str()) && count == 1, "{name} {:?}", answer.fields);
            }
        }
    });
}
