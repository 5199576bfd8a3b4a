//! TLS to endpoints over time: checks, reloads, upgrades.

use std::fs;
use std::io::Read;
use std::sync::mpsc::sync_channel;

use rustls::version::TLS13;

use crate::support::chain::Chain;
use crate::support::origin::ok;
use crate::support::tls::{Authority, Identity, TlsOrigin, TlsServer};
use crate::support::{Admin, Origin, Proxy, eventually, temporary};
use crate::upstream_tls::{ca, showing, to};

/// Answers each request with the index of its connection.
fn counting(server: &TlsServer) -> TlsOrigin {
    TlsOrigin::start(server, |mut conn| {
        while conn.head().is_some() {
            let index = conn.index.to_string();
            conn.send(ok(&index));
        }
    })
}

#[test]
fn a_check_over_tls_asks_for_a_path_as_a_request_would() {
    let origin = showing(&Authority::shared().issue(&["a.example"]));
    let (route, ca) = (to(&origin), ca());
    let check = ["--check", "https:/up", "--check-interval=200ms", "--upstream-sni=a.example"];
    let proxy = Proxy::start(&[&[&*route, &ca][..], &check].concat());
    eventually("it is checked", || !origin.heads().is_empty());
    let head = origin.heads().remove(0);
    assert!(head.starts_with("GET /up HTTP/1.1\r\nHost: a.example\r\n"), "{head}");
    let handshake = origin.handshakes().into_iter().find_map(Result::ok).unwrap();
    assert_eq!(handshake.sni.as_deref(), Some("a.example"));
    assert_eq!(proxy.get("/").text(), "hello");
    eventually("the next check resumes", || {
        origin.handshakes().iter().any(|handshake| handshake.as_ref().is_ok_and(|h| h.resumed))
    });
}

#[test]
fn an_endpoint_is_down_while_its_certificate_or_its_answer_is_bad() {
    let bad = showing(&Authority::shared().issue(&["a.example"]));
    let unwell = TlsOrigin::answering(
        &TlsServer::showing(Identity::localhost()),
        "HTTP/1.1 500 A\r\nContent-Length: 0\r\n\r\n",
    );
    let route = format!("--route=/={},{}", bad.endpoint(), unwell.endpoint());
    let admin = Admin::with(&[
        &route,
        &ca(),
        "--check=https:/",
        "--check-interval=200ms",
        "--admin=127.0.0.1:0",
        "--listen=127.0.0.1:0",
    ]);
    for (index, expected) in [
        "check, connect: certificate is for another name: expected 127.0.0.1, but it is for a.example",
        "check, response head: unhealthy answer: HTTP status 500, expected 200-399",
    ]
    .into_iter()
    .enumerate()
    {
        admin.until(index, "down");
        eventually(expected, || admin.endpoint(index)["why"] == expected);
    }
    let process = &admin.process;
    eventually("it is logged", || {
        process.says("is down: certificate is for another name (UN): exp")
    });
}

#[test]
fn idle_connections_go_on_only_if_nothing_about_their_tls_has_changed() {
    let (other, clients) = (Authority::new("Another"), Authority::new("Clients"));
    let identity = Authority::shared().issue(&["127.0.0.1", "a.example"]);
    let (one, two) = (clients.client("one").files(), clients.client("two").files());
    let both = temporary("both.pem");
    let text = [Authority::shared(), &other].map(|known| fs::read_to_string(known.file()).unwrap());
    fs::write(&both, text.concat()).unwrap();
    let own = |cert: &str, key: &str| {
        [format!("--upstream-cert={cert}"), format!("--upstream-key={key}")]
    };
    let origin = counting(&TlsServer::showing(&identity));
    let route = to(&origin);
    let base = vec![route.clone(), ca()];
    let with = |more: Vec<String>| [base.clone(), more].concat();
    // Each of them differs from the one before, except for the second.
    let rows = [
        (base.clone(), "0"),
        (with(vec!["--max-fails=7".to_owned()]), "0"),
        (with(vec!["--upstream-sni=a.example".to_owned()]), "1"),
        (with(own(&one.cert, &one.key).to_vec()), "2"),
        (with(own(&two.cert, &two.key).to_vec()), "3"),
        (vec![route.clone(), format!("--upstream-ca={}", both.display())], "4"),
        (vec![route, "--upstream-insecure".to_owned()], "5"),
    ];
    let words = |flags: &[String]| flags.iter().map(|flag| flag.clone().leak() as &str).collect();
    let flags: Vec<&str> = words(&rows[0].0);
    let mut proxy = Proxy::start(&flags);
    for (flags, index) in &rows {
        let flags: Vec<&str> = words(flags);
        proxy.reload(&flags).unwrap();
        assert_eq!(proxy.get("/").text(), *index, "{flags:?}");
    }
    assert_eq!(proxy.attempts(0), 7);
}

#[test]
fn sessions_are_resumed_after_a_reload_that_leaves_them() {
    let server = TlsServer::showing(Identity::localhost()).versions(&[&TLS13]);
    let origin = TlsOrigin::start(&server, |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
        conn.close();
    });
    let flags = [to(&origin), ca()];
    let mut proxy = Proxy::start(&[&flags[0], &flags[1]]);
    assert_eq!(proxy.get("/").text(), "hi");
    proxy.reload(&[&flags[0], &flags[1], "--max-fails=7"]).unwrap();
    assert_eq!(proxy.get("/").text(), "hi");
    assert!(origin.handshakes()[1].as_ref().unwrap().resumed);
}

#[test]
fn an_endpoint_that_begins_to_speak_tls_is_never_asked_in_plain_text_again() {
    let (sender, ended) = sync_channel(1);
    let config = TlsServer::showing(Identity::localhost()).config();
    let origin = Origin::start(move |mut conn| {
        if conn.index > 0 {
            let mut conn = conn.tls(&config).unwrap();
            conn.head();
            return conn.send(ok("over TLS"));
        }
        conn.head();
        conn.send(ok("in plain text"));
        let _ = sender.send(conn.rest());
    });
    let mut proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.get("/").text(), "in plain text");
    proxy.reload(&[&format!("--route=/=https://{}", origin.address), &ca()]).unwrap();
    assert_eq!(ended.recv().unwrap(), b"");
    assert_eq!(proxy.get("/").text(), "over TLS");
    assert_eq!(proxy.attempts(0), 2);
}

#[test]
fn an_upgrade_closes_idle_connections_in_order() {
    let (sender, ended) = sync_channel(2);
    let server = TlsServer::showing(Identity::localhost());
    let origin = TlsOrigin::start(&server, move |mut conn| {
        conn.head();
        let index = conn.index.to_string();
        conn.send(ok(&index));
        let _ = sender.send(conn.stream.read_to_end(&mut Vec::new()));
    });
    let (plain, route) = (Origin::named("plain"), format!("/tls={}", origin.endpoint()));
    let mut chain = Chain::start(&[&plain], &["--check", "off", "--route", &route, &ca()]);
    let mut client = chain.client();
    client.get("/tls");
    assert_eq!(client.response().text(), "0");
    let old = chain.upgrade(&[]);
    // With a close_notify: the end alone would be an error.
    assert_eq!(ended.recv().unwrap().ok(), Some(0));
    client.get("/tls");
    assert_eq!(client.response().text(), "1");
    assert_eq!(old.end().0, Some(0));
}
