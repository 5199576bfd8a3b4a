//! Requests with the same key go to the same endpoint, and those without one are spread.

use std::collections::HashSet;
use std::net::TcpStream;

use hyper::http::Request;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::h2::{Body, H2Client};
use crate::support::library::run;
use crate::support::logged::Logged;
use crate::support::origin::ok;
use crate::support::{Client, Origin, Proxy};

/// So many keys leave one of three endpoints without any once in ten billion runs.
const KEYS: usize = 60;

fn origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

fn hashing<'a>(hash_on: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--policy", "hash", "--hash-on", hash_on, "--threads", "2"], more].concat()
}

/// Which endpoint answers this request on a new connection.
fn asked(proxy: &Proxy, request: &str) -> String {
    proxy.ask(request).text()
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Two requests with the same key that differ in everything else.
fn with_key(hash_on: &str, key: usize) -> [String; 2] {
    match hash_on {
        "client" => [
            get("/", &format!("X-Forwarded-For: 192.0.2.{key}\r\n")),
            get("/x", &format!("X-Forwarded-For: 6.6.6.6, 192.0.2.{key}:99, 127.0.0.1\r\n")),
        ],
        "path" => [get(&format!("/{key}"), ""), get(&format!("/x/../{key}?y"), "A: b\r\n")],
        "target" => [get(&format!("/?{key}"), ""), get(&format!("/./?{key}"), "A: b\r\n")],
        "host" => [
            format!("GET / HTTP/1.1\r\nHost: a{key}.example\r\n\r\n"),
            format!("GET /x HTTP/1.1\r\nHost: A{key}.Example:80\r\n\r\n"),
        ],
        "header:X-User" => [
            get("/", &format!("X-User: u{key}\r\n")),
            get("/x", &format!("x-user:  u{key}\r\nX-User: other\r\n")),
        ],
        "cookie:sid" => [
            get("/", &format!("Cookie: sid={key}\r\n")),
            get("/x", &format!("Cookie: a=b; sid={key}; sid=other\r\n")),
        ],
        _ => [get(&format!("/?id={key}"), ""), get(&format!("/x?a=b&%69d={key}&id=other"), "")],
    }
}

const KINDS: [&str; 7] =
    ["client", "path", "target", "host", "header:X-User", "cookie:sid", "query:id"];

#[test]
fn each_kind_of_key_leads_to_one_endpoint_on_every_worker() {
    let [a, b, c] = origins();
    for hash_on in KINDS {
        let proxy = Proxy::before(&[&a, &b, &c], &hashing(hash_on, &["--trusted", "127.0.0.1"]));
        let mut reached = HashSet::new();
        for key in 0..KEYS {
            let [one, other] = with_key(hash_on, key);
            let all: HashSet<_> =
                [&one, &other, &one, &other].map(|request| asked(&proxy, request)).into();
            assert_eq!(all.len(), 1, "{hash_on} {key}: {all:?}");
            reached.extend(all);
        }
        assert_eq!(reached.len(), 3, "{hash_on}");
    }
}

#[test]
fn a_key_leads_to_the_same_endpoint_after_a_reload_and_a_restart() {
    let [a, b, c] = origins();
    let mut proxy = Proxy::before(&[&a, &b, &c], &hashing("path", &[]));
    let led = |proxy: &Proxy| -> Vec<_> {
        (0..KEYS).map(|key| asked(proxy, &with_key("path", key)[0])).collect()
    };
    let first = led(&proxy);
    let route = format!("--route=/={},{},{}", c.address, a.address, b.address);
    proxy.reload(&hashing("path", &[&route])).unwrap();
    assert_eq!(led(&proxy), first);
    let other = Proxy::before(&[&b, &c, &a], &hashing("path", &[]));
    assert_eq!(led(&other), first);
}

#[test]
fn requests_without_the_key_are_spread() {
    let [a, b, c] = origins();
    let logged = Logged::before(&[&a, &b, &c], &hashing("cookie:sid", &[]));
    let reached: HashSet<_> =
        (0..KEYS).map(|_| asked(&logged.proxy, &get("/", "Cookie: other=1\r\n"))).collect();
    assert_eq!(reached.len(), 3);
    assert!(logged.lines(KEYS).iter().all(|line| line["picked"] == json!("no_key")));
}

#[test]
fn the_log_says_that_it_was_the_hash() {
    let [a, b, c] = origins();
    let logged = Logged::before(&[&a, &b, &c], &hashing("path", &[]));
    asked(&logged.proxy, &get("/x", ""));
    assert_eq!(logged.line()["picked"], json!("hash"));
}

#[test]
fn keys_are_the_same_over_http_2() {
    let [a, b, c] = origins();
    let proxy = Proxy::before(&[&a, &b, &c], &hashing("cookie:sid", &[]));
    run(async {
        let client = H2Client::connect(proxy.address).await;
        for key in 0..KEYS {
            let expected = asked(&proxy, &with_key("cookie:sid", key)[0]);
            let request = Request::get("http://a/").header("cookie", "x=y");
            let request = request.header("cookie", format!("sid={key}")).body(()).unwrap();
            let answer = client.ask(request, Body::default()).await.unwrap();
            assert_eq!(answer.text(), expected, "{key}");
        }
    });
}

#[test]
fn a_proxy_header_names_the_client_that_is_hashed() {
    let [a, b, c] = origins();
    let route = format!("--route=/={},{},{}", a.address, b.address, c.address);
    let listen = ["--listen=127.0.0.1:0,proxy", "--trusted=127.0.0.1", &route];
    let proxy = Proxy::start_words(&hashing("client", &listen));
    let plain = Proxy::before(&[&a, &b, &c], &hashing("client", &["--trusted", "127.0.0.1"]));
    for key in 0..KEYS {
        let line = format!("PROXY TCP4 192.0.2.{key} 192.0.2.1 {} 2\r\n", 1 + key);
        let expected = asked(&plain, &with_key("client", key)[0]);
        assert_eq!(asked(&proxy, &(line + &get("/", ""))), expected, "{key}");
    }
}

/// Which endpoint answers on a connection from this address of this machine. When this returns, it has
/// ended: an endpoint with many of them open would be passed over.
fn asked_from(host: u8, proxy: &Proxy) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
    socket.connect(&proxy.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::support::HANG)).unwrap();
    let mut client = Client::over(stream);
    let text = client.ask(get("/", "")).text();
    assert!(client.is_closed());
    text
}

#[test]
fn a_relayed_client_stays_on_its_endpoint() {
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        Origin::start(move |mut conn| {
            conn.head();
            conn.send(ok(name));
            conn.close();
        })
    });
    let relay = format!("--tcp=127.0.0.1:0={},{},{}", a.address, b.address, c.address);
    let proxy = Proxy::start_words(&hashing("client", &[&relay]));
    let mut reached = HashSet::new();
    for host in 1..=KEYS {
        let host = u8::try_from(host).unwrap();
        let all: HashSet<_> = (0..3).map(|_| asked_from(host, &proxy)).collect();
        assert_eq!(all.len(), 1, "{host}: {all:?}");
        reached.extend(all);
    }
    assert_eq!(reached.len(), 3);
}
