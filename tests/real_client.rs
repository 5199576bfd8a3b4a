//! Behind trusted proxies: who the client is, in the log, at the endpoint and for limits.

use serde_json::json;

use crate::support::logged::Logged;
use crate::support::{Client, Origin, Proxy};

const TRUST: [&str; 2] = ["--trusted", "127.0.0.0/8,10.0.0.0/8"];

fn ask(client: &mut Client, lines: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    assert_eq!(client.ask(request).status, 200);
}

/// What the endpoint reads in X-Real-IP.
fn real_ip(origin: &Origin) -> Option<String> {
    let head = origin.heads().pop().unwrap();
    let mut named = head.lines().filter_map(|line| line.strip_prefix("X-Real-IP: "));
    let found = named.next().map(str::to_owned);
    assert_eq!(named.next(), None, "{head}");
    found
}

#[test]
fn it_is_the_last_that_is_no_trusted_proxy() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &TRUST);
    let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    ask(&mut logged.client(), &format!("{forged}X-Forwarded-For: 192.0.2.9, 10.0.0.2\r\n"));
    assert_eq!(real_ip(&origin).as_deref(), Some("192.0.2.9"));
    let line = logged.line();
    assert_eq!((&line["client"], &line["peer"]), (&json!("192.0.2.9"), &json!("127.0.0.1")));
}

#[test]
fn what_a_stranger_says_of_itself_is_not_believed() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &["--trusted", "10.0.0.0/8"]);
    ask(&mut logged.client(), "X-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n");
    assert_eq!(real_ip(&origin), None);
    let line = logged.line();
    assert_eq!((&line["client"], &line["peer"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
}

#[test]
fn the_x_real_ip_of_a_trusted_proxy_stands_where_it_names_nobody_else() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &TRUST);
    ask(&mut proxy.client(), "X-Real-IP: 192.0.2.9\r\n");
    assert_eq!(real_ip(&origin).as_deref(), Some("192.0.2.9"));
}

#[test]
fn it_is_who_a_proxy_header_names() {
    let origin = Origin::named("o");
    let route = format!("--route=/={}", origin.address);
    let log = crate::support::temporary("access.log");
    let log_to = format!("--access-log={}", log.display());
    let flags = ["--listen=127.0.0.1:0,proxy", &route, &log_to, "--access-log-format=json"];
    let proxy = Proxy::start_words(&[&flags[..], &TRUST].concat());
    let mut client = proxy.client();
    client.send("PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n");
    ask(&mut client, "X-Forwarded-For: 6.6.6.6\r\n");
    assert_eq!(real_ip(&origin).as_deref(), Some("192.0.2.9"));
    let line = crate::support::logged::lines(&log, 1).remove(0);
    assert_eq!((&line["client"], &line["peer"]), (&json!("192.0.2.9"), &json!("127.0.0.1")));
}

#[test]
fn connections_of_a_trusted_proxy_are_not_those_of_one_client() {
    let origin = Origin::named("o");
    let flags = [&TRUST[..], &["--max-connections-per-client", "1"]].concat();
    let proxy = Proxy::before(&[&origin], &flags);
    let mut clients: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        ask(client, "X-Forwarded-For: 192.0.2.9\r\n");
    }
}
