//! Sticky sessions: the cookie that keeps a client on its endpoint.

use std::num::NonZeroU16;

use evener::address::Address;
use evener::id::EndpointId;
use evener::upstream::admin_state::AdminMode;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::health::Tick;
use hyper::http::Request;
use serde_json::json;

use crate::support::h2::{Body, H2Client};
use crate::support::library::run;
use crate::support::logged::Logged;
use crate::support::origin::ok;
use crate::support::tls::{Authority, TlsOptions, TlsProxy};
use crate::support::{Admin, Origin, Proxy, Response};

const STICKY: [&str; 2] = ["--sticky", "s"];

fn origins<const N: usize>() -> [Origin; N] {
    std::array::from_fn(|index| Origin::named(&index.to_string()))
}

/// The answer to a GET with these lines of headers, on a new connection.
fn ask(proxy: &Proxy, lines: &str) -> Response {
    proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

/// The name and the value that a response sets, with the attributes.
fn set_cookie(response: &Response) -> (String, String) {
    let set = response.field("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    (pair.to_owned(), attributes.to_owned())
}

/// The cookie that names an endpoint of the first upstream.
fn cookie_of(proxy: &Proxy, endpoint: usize) -> String {
    let sticky = proxy.plan().upstreams[0].sticky.clone().expect("sticky sessions");
    let set = sticky.set_cookie(EndpointId::new(endpoint), false);
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn a_client_stays_where_it_was_served_first_whatever_worker_serves_it() {
    let [a, b, c] = origins();
    let proxy = Proxy::before(&[&a, &b, &c], &[&STICKY[..], &["--threads", "2"]].concat());
    for _ in 0..3 {
        let first = ask(&proxy, "");
        let (cookie, attributes) = set_cookie(&first);
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        for _ in 0..10 {
            let next = ask(&proxy, &format!("Cookie: x=y; {cookie}\r\n"));
            assert_eq!((next.text(), next.field("set-cookie")), (first.text(), None));
        }
    }
}

#[test]
fn clients_without_a_cookie_are_shared_out_by_the_policy() {
    let [a, b] = origins();
    let proxy = Proxy::before(&[&a, &b], &STICKY);
    let cookies: Vec<_> = (0..4).map(|_| set_cookie(&ask(&proxy, "")).0).collect();
    assert_eq!((&cookies[0], &cookies[1]), (&cookies[2], &cookies[3]));
    assert_ne!(cookies[0], cookies[1]);
}

#[test]
fn a_value_of_no_endpoint_is_as_good_as_none() {
    let [a, b] = origins();
    let proxy = Proxy::before(&[&a, &b], &STICKY);
    let known = cookie_of(&proxy, 0);
    let address = a.address.to_string();
    for value in ["s=", "s=1", &format!("s={address}"), &format!("{known}0"), &known[..33]] {
        assert_eq!(set_cookie(&ask(&proxy, &format!("Cookie: {value}\r\n"))).0.len(), 34);
    }
    // The one that is known counts, wherever it stands.
    let both = format!("Cookie: s=1; {known}\r\n");
    assert!((0..4).all(|_| ask(&proxy, &both).text() == "0"));
}

#[test]
fn an_endpoint_that_is_drained_is_left_for_one_with_a_cookie_of_its_own() {
    let [a, b] = origins();
    let proxy = Proxy::before(&[&a, &b], &STICKY);
    let cookie = format!("Cookie: {}\r\n", cookie_of(&proxy, 0));
    assert_eq!(ask(&proxy, &cookie).text(), "0");
    let drained = &proxy.plan().upstreams[0].endpoints[0].record.admin_state;
    drained.set(AdminMode::Drained, Tick::from_millis(1));
    let moved = ask(&proxy, &cookie);
    assert_eq!((moved.text(), set_cookie(&moved).0), ("1".into(), cookie_of(&proxy, 1)));
}

#[test]
fn the_one_that_answers_after_a_retry_is_named() {
    let (refusing, well) = (Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&refusing, &well], &STICKY);
    let answer = ask(&proxy, &format!("Cookie: {}\r\n", cookie_of(&proxy, 0)));
    assert_eq!((answer.text(), set_cookie(&answer).0), ("well".into(), cookie_of(&proxy, 1)));
}

#[test]
fn answers_of_our_own_set_none() {
    let refusing = Origin::refusing();
    let proxy = Proxy::before(&[&refusing], &STICKY);
    let answer = ask(&proxy, "");
    assert_eq!((answer.status, answer.field("set-cookie")), (502, None));
}

#[test]
fn cookies_of_the_endpoint_stay_and_interim_answers_have_none() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\n\
                Set-Cookie: s=theirs\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::answering(text);
    let proxy = Proxy::before(&[&origin], &STICKY);
    let mut client = proxy.client();
    client.get("/");
    let interim = client.response();
    assert_eq!((interim.status, interim.field("set-cookie")), (103, None));
    let head = client.response().head;
    let cookies: Vec<_> = head.lines().filter(|line| line.starts_with("Set-Cookie: ")).collect();
    let ours = format!("Set-Cookie: {}; Path=/; HttpOnly; SameSite=Lax", cookie_of(&proxy, 0));
    assert_eq!(cookies, ["Set-Cookie: a=1", "Set-Cookie: s=theirs", &ours]);
}

#[test]
fn the_endpoint_gets_the_cookie_like_any_other() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &STICKY);
    let cookie = format!("Cookie: a=1; {}; b=2", cookie_of(&proxy, 0));
    ask(&proxy, &format!("{cookie}\r\n"));
    assert!(origin.heads()[0].contains(&cookie));
}

#[test]
fn it_is_secure_where_the_client_speaks_tls() {
    let origin = Origin::named("a");
    let proxy = TlsProxy::before(&[&origin], &[&STICKY[..], &["--trusted", "127.0.0.1"]].concat());
    let secure = |response: &Response| set_cookie(response).1.ends_with("; Secure");
    assert!(secure(&proxy.get("/")));
    let plain = Proxy::before(&[&origin], &[&STICKY[..], &["--trusted", "127.0.0.1"]].concat());
    assert!(secure(&ask(&plain, "X-Forwarded-Proto: https\r\n")));
    assert!(!secure(&ask(&plain, "X-Forwarded-Proto: http\r\n")));
    let untrusting = Proxy::before(&[&origin], &STICKY);
    assert!(!secure(&ask(&untrusting, "X-Forwarded-Proto: https\r\n")));
}

#[test]
fn clients_of_http_2_stick_like_any_other() {
    let [a, b] = origins();
    let proxy = TlsProxy::before(&[&a, &b], &[&STICKY[..], &["--threads", "2"]].concat());
    let cookie = cookie_of(&proxy, 1);
    run(async {
        let options = TlsOptions::trusting(Authority::shared());
        let client = H2Client::connect_tls(proxy.address, options, "localhost").await;
        let set: Vec<_> = [client.get("/").await, client.get("/").await]
            .map(|answer| answer.field("set-cookie").unwrap().to_owned())
            .into();
        assert!(set.iter().any(|set| set.starts_with(&format!("{cookie}; Path=/"))), "{set:?}");
        assert!(set.iter().all(|set| set.ends_with("; Secure")), "{set:?}");
        for _ in 0..4 {
            // In crumbs, as browsers send them.
            let request = Request::get("https://localhost/").header("cookie", "x=y");
            let request = request.header("cookie", &cookie).header("cookie", "z=").body(());
            let answer = client.ask(request.unwrap(), Body::default()).await.unwrap();
            assert_eq!((answer.text(), answer.field("set-cookie")), ("1".into(), None));
        }
    });
}

#[test]
fn a_value_means_the_same_after_a_restart_and_in_any_order_of_endpoints() {
    let [a, b, c] = origins();
    let mut proxy = Proxy::before(&[&a, &b, &c], &STICKY);
    let cookie = format!("Cookie: {}\r\n", cookie_of(&proxy, 1));
    let again = Proxy::before(&[&c, &b], &STICKY);
    assert!((0..3).all(|_| ask(&again, &cookie).text() == "1"));
    let route = format!("/={},{}", b.address, a.address);
    proxy.reload(&["--route", &route, "--sticky", "s"]).unwrap();
    assert!((0..3).all(|_| ask(&proxy, &cookie).text() == "1"));
    let endpoints =
        [&c, &a, &b].map(|origin| Endpoint::new(Address::Tcp(origin.address), NonZeroU16::MIN, 1));
    proxy.replace("/", endpoints.into()).unwrap();
    assert!((0..4).all(|_| ask(&proxy, &cookie).text() == "1"));
}

#[test]
fn the_handshake_of_a_websocket_sets_it_too() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let origin = Origin::answering(switch);
    let proxy = Proxy::before(&[&origin], &STICKY);
    let answer = ask(&proxy, "Upgrade: x\r\nConnection: upgrade\r\n");
    assert_eq!((answer.status, set_cookie(&answer).0), (101, cookie_of(&proxy, 0)));
}

#[test]
fn max_age_is_that_of_the_first_answer() {
    let origin = Origin::answering(ok("a"));
    let proxy = Proxy::before(&[&origin], &["--sticky", "s,max_age=1h"]);
    let first = ask(&proxy, "");
    let (cookie, attributes) = set_cookie(&first);
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
    assert_eq!(ask(&proxy, &format!("Cookie: {cookie}\r\n")).field("set-cookie"), None);
}

#[test]
fn the_log_says_why_an_endpoint_was_picked() {
    let [a, b] = origins();
    let logged =
        Logged::before(&[&a, &b], &[&STICKY[..], &["--policy", "least_requests"]].concat());
    let cookie = format!("Cookie: {}\r\n", cookie_of(&logged.proxy, 1));
    ask(&logged.proxy, "");
    ask(&logged.proxy, &cookie);
    b.stop();
    ask(&logged.proxy, &cookie);
    let picked: Vec<_> = logged.lines(3).iter().map(|line| line["picked"].clone()).collect();
    assert_eq!(picked, [json!("least_requests"), json!("sticky"), json!("only_one")]);
}

#[test]
fn the_status_says_what_ties_clients_to_endpoints() {
    let origin = Origin::named("a");
    let flags = ["--policy", "hash", "--hash-on", "cookie:sid", "--sticky", "s"];
    let status = Admin::before(&[&origin], &flags).status();
    let upstream = &status["upstreams"][0];
    assert_eq!((&upstream["policy"], &upstream["sticky"]), (&json!("hash"), &json!("s")));
    assert_eq!(upstream["hash_on"], json!("cookie:sid"));
}
