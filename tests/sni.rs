//! TCP connections that go where the name in their ClientHello says, without terminating TLS.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use rustls::version::{TLS12, TLS13};

use crate::support::chain::Chain;
use crate::support::logged::Logged;
use crate::support::tls::{Authority, TlsOptions, TlsOrigin, TlsServer};
use crate::support::{Client, Origin, Proxy, socket_path};

/// Answers with its name and everything that it received.
fn repeating(name: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        let received = conn.rest();
        conn.send([name.as_bytes(), &received].concat());
        conn.close();
    })
}

/// The words of a listener with these names, each with its origin; that of an empty one gets the rest.
fn words(names: &[(&str, &Origin)]) -> Vec<String> {
    let word = |(name, origin): &(&str, &Origin)| match *name {
        "" => format!("--tcp=127.0.0.1:0={}", origin.address),
        name => format!("--tcp=127.0.0.1:0,sni={name}={}", origin.address),
    };
    names.iter().map(word).collect()
}

fn start(names: &[(&str, &Origin)]) -> Proxy {
    let words = words(names);
    Proxy::start_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn hello(name: &str) -> Vec<u8> {
    TlsOptions::unverified().hello(name)
}

/// What comes back for these bytes, sent at once.
fn ask(mut client: Client, bytes: &[u8]) -> Vec<u8> {
    client.send(bytes);
    client.finish();
    client.rest()
}

#[test]
fn a_connection_goes_to_the_upstream_of_its_name_with_all_of_its_bytes() {
    let [exact, wildcard, longer, rest] = ["exact", "wildcard", "longer", "rest"].map(repeating);
    let proxy = start(&[
        ("a.example.com", &exact),
        ("*.example.com", &wildcard),
        ("*.b.example.com", &longer),
        ("", &rest),
    ]);
    for (name, origin) in [
        ("a.example.com", "exact"),
        ("A.Example.COM", "exact"),
        ("c.example.com", "wildcard"),
        ("c.a.example.com", "wildcard"),
        ("b.example.com", "wildcard"),
        ("a.b.example.com", "longer"),
        ("x.a.b.example.com", "longer"),
        ("example.com", "rest"),
        ("other.org", "rest"),
        // No name is sent for an address.
        ("192.0.2.7", "rest"),
    ] {
        let sent = [&hello(name)[..], b"what comes after it"].concat();
        let expected = [origin.as_bytes(), &sent].concat();
        assert!(ask(proxy.client(), &sent) == expected, "{name}");
    }
    let plain = b"SSH-2.0-x\r\n";
    assert_eq!(ask(proxy.client(), plain), b"restSSH-2.0-x\r\n");
    assert_eq!(proxy.count(|metrics| &metrics.tcp_opened), 11);
}

#[test]
fn without_a_fallback_what_matches_nothing_is_closed_and_counted() {
    let origin = repeating("a");
    let proxy = start(&[("a.example.com", &origin)]);
    for bytes in [&hello("b.example.com")[..], &hello("192.0.2.7"), b"GET / HTTP/1.1\r\n"] {
        let mut client = proxy.client();
        client.send(bytes);
        assert!(client.ends_cleanly());
    }
    assert_eq!(proxy.count(|metrics| &metrics.sni_unmatched), 2);
    assert_eq!(proxy.count(|metrics| &metrics.sni_not_tls), 1);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn tls_is_spoken_with_the_endpoint_through_the_relay() {
    let names = ["a.example.com", "b.example.com"];
    let origins = names.map(|name| {
        let server = TlsServer::showing(&Authority::shared().issue(&[name]));
        TlsOrigin::answering(&server, crate::support::origin::ok(name))
    });
    let proxy = start(&[(names[0], &origins[0]), ("*.example.com", &origins[1])]);
    for version in [&TLS12, &TLS13] {
        let options = TlsOptions::trusting(Authority::shared()).versions(&[version]);
        for name in names {
            let mut client = options.connect(proxy.address, name);
            for _ in 0..2 {
                client.get("/");
                assert_eq!(client.response().text(), name);
            }
        }
    }
}

#[test]
fn a_proxy_header_comes_before_the_hello() {
    let [a, rest] = ["a", "rest"].map(repeating);
    let named = format!("--tcp=127.0.0.1:0,proxy,sni=a.example.com={}", a.address);
    let others = format!("--tcp=127.0.0.1:0,proxy={},proxy=v1", rest.address);
    let proxy = Proxy::start_words(&[&named, &others, "--trusted", "127.0.0.1"]);
    let header = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";
    let (known, unknown) = (hello("a.example.com"), hello("b.example.com"));
    let answer = ask(proxy.client(), &[header.as_bytes(), &known].concat());
    assert!(answer == [b"a", &known[..]].concat());
    let answer = ask(proxy.client(), &[header.as_bytes(), &unknown].concat());
    assert!(answer == [b"rest", header.as_bytes(), &unknown].concat());
    let mut client = proxy.client();
    client.send(&known);
    assert!(client.is_reset(), "no header");
}

#[test]
fn a_reload_changes_where_names_lead_for_connections_accepted_later() {
    let [one, two] = ["one", "two"].map(repeating);
    let mut proxy = start(&[("a.example.com", &one)]);
    let mut earlier = proxy.client();
    let bytes = hello("a.example.com");
    // It is accepted before the one after it, which is answered.
    earlier.send(&bytes[..9]);
    assert!(ask(proxy.client(), &bytes).starts_with(b"one"));
    let next = words(&[("a.example.com", &two), ("b.example.com", &one)]);
    let changes = proxy.reload_words(&[&next[0], &next[1]]).unwrap();
    assert!(changes.iter().any(|change| change.contains("+ server name b.example.com at")));
    assert!(ask(proxy.client(), &bytes).starts_with(b"two"));
    assert!(ask(proxy.client(), &hello("b.example.com")).starts_with(b"one"));
    assert!(ask(earlier, &bytes[9..]).starts_with(b"one"));
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_has_said_nothing() {
    let origin = repeating("a");
    let proxy = start(&[("a.example.com", &origin)]);
    let mut silent = proxy.client();
    let bytes = hello("a.example.com");
    assert!(ask(proxy.client(), &bytes).starts_with(b"a"));
    assert_eq!(proxy.drain(crate::support::HANG), 0);
    assert!(silent.is_closed());
}

#[test]
fn a_client_in_the_middle_of_its_hello_at_an_upgrade_is_served() {
    let (origin, http) = (repeating("a"), Origin::named("http"));
    let (path, bytes) = (socket_path("sni"), hello("a.example.com"));
    let relay = format!("--tcp=unix:{},sni=a.example.com={}", path.display(), origin.address);
    let mut chain = Chain::start(&[&http], &[&relay]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(&bytes[..99]).unwrap();
    let old = chain.upgrade(&[]);
    client.write_all(&bytes[99..]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer == [b"a", &bytes[..]].concat());
    assert_eq!(old.end().0, Some(0));
}

#[test]
fn a_connection_that_goes_nowhere_is_a_line_if_it_said_something() {
    let origin = repeating("a");
    let relay = format!("--tcp=127.0.0.1:0,sni=a.example.com={}", origin.address);
    let logged = Logged::start(&["--route", "/=127.0.0.1:1", &relay]);
    let at = logged.proxy.addresses()[1];
    let hello = hello("b.example.com");
    let sent = [&b""[..], &hello, &hello[..40], b"\x16\x03\x01\0\0", b"SSH-2.0-x\r\n"];
    for bytes in sent {
        assert!(ask(Client::connect(at), bytes).is_empty());
    }
    let ends = ["RH", "CH", "RH", "RH"];
    for ((line, end), bytes) in logged.lines(4).iter().zip(ends).zip(&sent[1..]) {
        assert_eq!((&line["end"], &line["up"]), (&end.into(), &bytes.len().into()), "{line}");
    }
    assert_eq!(logged.lines(4)[0]["tls"], "-/-/b.example.com/-");
}

#[test]
fn the_name_that_was_asked_for_is_logged() {
    let origin = repeating("a");
    let names = ["*.example.com", ""].map(|name| words(&[(name, &origin)]).remove(0));
    let logged = Logged::start(&["--route", "/=127.0.0.1:1", &names[0], &names[1]]);
    let at = logged.proxy.addresses()[1];
    for (asked, tls) in [("B.example.com", "-/-/b.example.com/-"), ("192.0.2.7", "-/-/-/-")] {
        assert!(!ask(Client::connect(at), &hello(asked)).is_empty());
        let count = if asked == "192.0.2.7" { 2 } else { 1 };
        let line = logged.lines(count).pop().unwrap();
        let upstream = if count == 1 { "127.0.0.1:0,sni=*.example.com" } else { "127.0.0.1:0" };
        assert_eq!((&line["tls"], &line["upstream"]), (&tls.into(), &upstream.into()), "{line}");
    }
}
