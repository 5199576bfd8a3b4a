//! What clients and endpoints see of the limits of a route.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use evener::config::Config;
use serde_json::json;

use crate::configuration::read;
use crate::support::logged::lines;
use crate::support::{Admin, Client, Origin, Proxy, eventually, temporary};

/// A file with one route to this origin, which has these keys.
fn file(origin: &Origin, keys: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nthreads: 1\ncheck: off\nlog_level: off\nroutes:\n  - {{prefix: /, \
         endpoints: ['{}'], {keys}}}\n",
        origin.address
    )
}

fn config(text: &str) -> Config {
    read(text, &[]).unwrap()
}

fn proxy(origin: &Origin, keys: &str) -> Proxy {
    Proxy::configured(config(&file(origin, keys)))
}

fn statuses(proxy: &Proxy, requests: &[&str]) -> Vec<u16> {
    requests.iter().map(|request| proxy.ask(format!("{request}\r\n\r\n")).status).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a";

#[test]
fn networks_that_are_denied_or_not_allowed_get_403() {
    let origin = Origin::named("o");
    for (keys, expected) in [
        ("allow: [127.0.0.0/8]", 200),
        ("allow: [10.0.0.0/8]", 403),
        ("deny: [127.0.0.1]", 403),
        ("deny: [10.0.0.0/8]", 200),
        ("allow: [127.0.0.0/8], deny: [127.0.0.0/16]", 403),
    ] {
        assert_eq!(proxy(&origin, keys).get("/").status, expected, "{keys}");
    }
}

#[test]
fn the_client_behind_a_trusted_proxy_is_the_one_it_names() {
    let origin = Origin::named("o");
    let text = format!("trusted: [127.0.0.0/8]\n{}", file(&origin, "deny: [192.0.2.0/24]"));
    let proxy = Proxy::configured(config(&text));
    let asked = |client| format!("{GET}\r\nX-Forwarded-For: {client}");
    let requests = [asked("192.0.2.1"), asked("198.51.100.1")];
    assert_eq!(statuses(&proxy, &[&requests[0], &requests[1]]), [403, 200]);
}

#[test]
fn a_request_beyond_the_rate_gets_429_and_is_told_when_to_come_back() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin, "rate_limit: {rate: 6/h, burst: 2}");
    let mut client = proxy.client();
    let mut get = || {
        client.get("/");
        client.response()
    };
    assert_eq!([get().status, get().status], [200, 200]);
    let refused = get();
    assert_eq!((refused.status, refused.field("Retry-After")), (429, Some("600")));
    assert_eq!(get().status, 429, "the connection goes on");
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn each_value_of_a_header_has_a_rate_of_its_own() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin, "rate_limit: {rate: 1/h, by: 'header:X-Key'}");
    let with = |key: &str| format!("{GET}\r\nx-key: {key}");
    let (a, b) = (with("a"), with("b"));
    let asked = [&*a, &b, &a, GET, GET, &b];
    assert_eq!(statuses(&proxy, &asked), [200, 200, 429, 200, 429, 429]);
}

#[test]
fn limits_hold_for_every_outcome_and_its_headers_and_pages_for_them() {
    let page = temporary("page.html");
    fs::write(&page, "<p>{status}").unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nthreads: 1\nlog_level: off\nroutes:\n  - {{prefix: /, respond: {{status: \
         204}}, rate_limit: {{rate: 1/h, by: route}}, max_body: 5, response_headers: {{set: {{X-A: \
         b}}}}, error_pages: {{429: '{}'}}}}\n",
        page.display()
    );
    let proxy = Proxy::configured(config(&text));
    let long = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123456";
    let refused = proxy.ask(long);
    assert_eq!((refused.status, refused.field("X-A")), (413, Some("b")));
    let refused = proxy.get("/");
    assert_eq!((refused.status, refused.field("X-A")), (429, Some("b")));
    assert_eq!(refused.text(), "<p>429");
}

#[test]
fn no_more_requests_than_the_ceiling_are_in_flight() {
    let waits = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let proxy = proxy(&waits, "max_requests: 2");
    let mut clients = [proxy.client(), proxy.client()];
    for client in &mut clients {
        client.get("/");
    }
    eventually("both are there", || waits.heads().len() == 2);
    let refused = proxy.get("/");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    let [first, _second] = clients;
    first.reset();
    let served = || {
        let mut client = proxy.client();
        client.get("/");
        waits.heads().len() == 3
    };
    eventually("there is room again", served);
}

#[test]
fn a_body_whose_length_is_too_large_is_refused_before_an_endpoint_is_asked() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin, "max_body: 5");
    let post = |length| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(proxy.ask(format!("{}12345", post(5))).status, 200);
    assert_eq!(proxy.ask(post(6)).status, 413);
    let expects = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(proxy.ask(expects).status, 413);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn chunks_that_are_here_already_are_refused_before_an_endpoint_is_asked() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin, "max_body: 5");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(proxy.ask(format!("{post}3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")).status, 413);
    assert_eq!(origin.heads().len(), 0);
}

#[test]
fn chunks_that_grow_too_long_are_cut_for_the_endpoint_and_413_for_the_client() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        assert!(conn.chunks().is_none(), "it is not whole");
        assert!(conn.ends_by_reset());
    });
    let proxy = proxy(&origin, "max_body: 5");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    eventually("the endpoint is asked", || origin.heads().len() == 1);
    client.send("3\r\ndef\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 413);
}

#[test]
fn a_rate_is_exact_over_two_workers() {
    let text = "listen: 127.0.0.1:0\nthreads: 2\nlog_level: off\nroutes:\n  - {prefix: /, respond: \
                {status: 204}, rate_limit: {rate: 1000/s, burst: 50}}\n";
    let (begun, proxy) = (Instant::now(), Proxy::configured(config(text)));
    let ask = || {
        // A connection to either worker.
        let mut client = proxy.client();
        let get = |_: &u32| {
            client.get("/");
            client.response_with(true).status == 204
        };
        (0..1000).filter(get).count() as u64
    };
    let admitted: u64 = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    // The burst, and what the time that has passed allows.
    let most = 51 + u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!((50..=most).contains(&admitted), "{admitted} of {most}");
}

#[test]
fn a_head_that_is_held_back_counts_when_it_has_come_whole() {
    let text = "listen: 127.0.0.1:0\nthreads: 1\nlog_level: off\nroutes:\n  - {prefix: /, respond: \
                {status: 204}, rate_limit: {rate: 10/s, burst: 1}}\n";
    let proxy = Proxy::configured(config(text));
    let begin = |_| {
        let mut client = proxy.client();
        client.send(GET);
        sleep(Duration::from_millis(110));
        client
    };
    let mut clients: Vec<_> = (0..10).map(begin).collect();
    let whole = Instant::now();
    for client in &mut clients {
        client.send("\r\n\r\n");
    }
    let statuses = clients.iter_mut().map(|client| client.response().status);
    let admitted = statuses.filter(|status| *status == 204).count() as u128;
    let most = 1 + whole.elapsed().as_millis() / 100;
    assert!((1..=most).contains(&admitted), "{admitted} of {most}");
}

#[test]
fn what_is_used_of_a_limit_survives_a_reload() {
    let origin = Origin::named("o");
    let path = temporary("conf.yaml");
    let write = |keys: &str| {
        let text = file(&origin, keys).replace("log_level: off", "log_level: info");
        fs::write(&path, format!("{text}admin: 127.0.0.1:0\n")).unwrap();
    };
    write("rate_limit: {rate: 1/h}");
    let admin = Admin::with(&["-c", path.to_str().unwrap()]);
    let status = || {
        let mut client = Client::connect(admin.address);
        client.get("/");
        client.response().status
    };
    assert_eq!([status(), status()], [200, 429]);
    write("rate_limit: {rate: 1/h}, response_headers: {set: {X-A: b}}");
    assert_eq!(admin.post("/reload").status, 200);
    assert_eq!(status(), 429, "the limit is the same");
    write("rate_limit: {rate: 2/h}");
    assert_eq!(admin.post("/reload").status, 200);
    assert_eq!(status(), 200, "it is another one");
}

#[test]
fn refusals_are_counted_and_logged_by_their_rule() {
    let (origin, log) = (Origin::named("o"), temporary("access.log"));
    let keys = "deny: [192.0.2.1], rate_limit: {rate: 1/h, by: 'header:X-Key'}, max_body: 5";
    let path = temporary("conf.yaml");
    let text = file(&origin, keys).replace("log_level: off", "log_level: info");
    let log_keys = format!("access_log: {}\naccess_log_format: json\n", log.display());
    fs::write(&path, format!("{text}admin: 127.0.0.1:0\ntrusted: 127.0.0.1\n{log_keys}")).unwrap();
    let admin = Admin::with(&["-c", path.to_str().unwrap()]);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nX-Key: b\r\nContent-Length: 6";
    let denied = format!("{GET}\r\nX-Forwarded-For: 192.0.2.1");
    for (request, status) in [(GET, 200), (GET, 429), (&denied, 403), (post, 413)] {
        assert_eq!(Client::connect(admin.address).ask(format!("{request}\r\n\r\n")).status, status);
    }
    let rules: Vec<_> = lines(&log, 4).iter().map(|line| line["rule"].clone()).collect();
    assert_eq!(rules, [json!(null), json!("rate_limit"), json!("deny"), json!("max_body")]);
    for (rule, count) in [("rate_limit", 1), ("deny", 1), ("max_body", 1)] {
        let sample = format!("evener_refusals_total{{route=\"/\",rule=\"{rule}\"}}");
        assert_eq!(admin.metric(&sample), count, "{rule}");
    }
    assert_eq!(admin.metric("evener_rate_limit_evictions_total{route=\"/\"}"), 0);
}
