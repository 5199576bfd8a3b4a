//! Spans: what a collector is told of requests and attempts, and what becomes of them where it takes none.

use crate::support::collector::{Collector, SeenSpan, digits};
use crate::support::tls::Authority;
use crate::support::{Admin, Origin, Process, Proxy, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The server span of a request, and the client spans below it, in their order.
fn family(mut spans: Vec<SeenSpan>) -> (SeenSpan, Vec<SeenSpan>) {
    let at = spans.iter().position(|seen| seen.span.kind == 2).expect("a server span");
    let server = spans.remove(at);
    spans.sort_by_key(|seen| seen.span.start_time_unix_nano);
    for seen in &spans {
        assert_eq!((seen.span.kind, &seen.span.parent_span_id), (3, &server.span.span_id));
        assert_eq!(seen.span.trace_id, server.span.trace_id);
        assert!(seen.span.start_time_unix_nano >= server.span.start_time_unix_nano);
        assert!(seen.span.start_time_unix_nano <= seen.span.end_time_unix_nano);
        assert!(seen.span.end_time_unix_nano <= server.span.end_time_unix_nano);
    }
    (server, spans)
}

/// The trace and the caller that an endpoint was told of.
fn told(head: &str) -> (String, String) {
    let value = head.lines().find_map(|line| line.strip_prefix("traceparent: ")).expect("one");
    let parts: Vec<&str> = value.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{value}");
    (parts[1].to_owned(), parts[2].to_owned())
}

/// A balancer that sends all its spans to the collector.
fn before(origins: &[&Origin], collector: &Collector, more: &[&str]) -> Proxy {
    let flags = collector.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Proxy::before(origins, &flags)
}

/// The same, with an admin listener that says what has become of them.
fn counted(origin: &Origin, collector: &Collector) -> Admin {
    let flags = collector.flags();
    Admin::before(&[origin], &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// An endpoint that breaks off, one that answers, and a balancer that tries the second after the first.
fn tried_again() -> ([Origin; 2], Collector, Proxy) {
    let broken = Origin::start(|mut conn| {
        conn.head();
        conn.reset();
    });
    let (well, collector) = (Origin::named("o"), Collector::start());
    let proxy = before(&[&broken, &well], &collector, &["--retry-on", "connect,reset"]);
    ([broken, well], collector, proxy)
}

#[test]
fn a_request_is_a_span_with_one_below_it_that_its_endpoint_is_told_of() {
    let (origin, collector) = (Origin::named("o"), Collector::start());
    let proxy = before(&[&origin], &collector, &[]);
    let request = format!(
        "GET /a?secret=1 HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: u\r\n\
         traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\n\r\n"
    );
    assert_eq!(proxy.ask(request).status, 200);
    let (server, clients) = family(collector.spans(2));
    assert_eq!(digits(&server.span.trace_id), TRACE);
    assert_eq!(digits(&server.span.parent_span_id), PARENT);
    assert_eq!(server.span.name, "GET /");
    assert_eq!(server.span.flags, 0x301);
    let port = origin.address.port().to_string();
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.path", "/a"),
        ("url.query", ""),
        ("url.scheme", "http"),
        ("server.address", "a.example"),
        ("server.port", "8080"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "u"),
        ("error.type", ""),
    ] {
        assert_eq!(server.says(name), value, "{name} of {server:#?}");
    }
    assert_eq!(server.resource["service.name"], "evener");
    assert!(server.span.status.is_none());
    let [client] = &clients[..] else { panic!("{clients:#?}") };
    assert_eq!(client.span.name, "GET");
    for (name, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
        ("evener.upstream", "/"),
    ] {
        assert_eq!(client.says(name), value, "{name} of {client:#?}");
    }
    let head = &origin.heads()[0];
    assert_eq!(told(head), (TRACE.to_owned(), digits(&client.span.span_id)));
    assert!(head.contains("\r\ntracestate: a=b\r\n"), "{head}");
}

#[test]
fn each_attempt_is_a_span_and_the_endpoint_is_told_of_its_own() {
    let ([broken, well], collector, proxy) = tried_again();
    assert_eq!(proxy.get("/").text(), "o");
    let (server, clients) = family(collector.spans(3));
    let [failed, answered] = &clients[..] else { panic!("{clients:#?}") };
    assert_eq!(failed.says("error.type"), "upstream_failed");
    assert_eq!(failed.span.status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(answered.says("http.request.resend_count"), "1");
    assert_eq!(answered.says("http.response.status_code"), "200");
    assert_eq!(server.says("error.type"), "");
    let trace = digits(&server.span.trace_id);
    for (origin, span) in [(&broken, failed), (&well, answered)] {
        assert_eq!(told(&origin.heads()[0]), (trace.clone(), digits(&span.span.span_id)));
    }
}

#[test]
fn what_a_client_writes_elsewhere_stays_as_it_is_when_a_request_is_tried_again() {
    let ([broken, well], collector, proxy) = tried_again();
    let fields = format!("X-A: 00-{TRACE}-\r\nHost: a\r\ntraceparent: 00-{TRACE}-{PARENT}-01");
    let request = format!("GET /00-{TRACE}- HTTP/1.1\r\n{fields}\r\n\r\n");
    assert_eq!(proxy.ask(request).text(), "o");
    let (_, clients) = family(collector.spans(3));
    for (origin, span) in [(&broken, &clients[0]), (&well, &clients[1])] {
        let head = &origin.heads()[0];
        assert_eq!(told(head), (TRACE.to_owned(), digits(&span.span.span_id)));
        let kept = format!("GET /00-{TRACE}- HTTP/1.1\r\nX-A: 00-{TRACE}-\r\nHost: a\r\n");
        assert!(head.starts_with(&kept), "{head}");
    }
}

#[test]
fn what_fails_is_an_error_of_the_span_and_what_is_refused_is_not() {
    let (dead, collector) = (Origin::refusing(), Collector::start());
    let proxy = before(&[&dead], &collector, &["--retries", "0"]);
    assert_eq!(proxy.get("/").status, 502);
    let (server, clients) = family(collector.spans(2));
    assert_eq!((server.says("error.type"), server.says("evener.end")), ("502", "UN"));
    assert_eq!(clients[0].says("http.response.status_code"), "");
    let odd = "FORGED /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: x\r\n\r\n";
    assert_eq!(proxy.ask(odd).status, 400);
    let spans = collector.spans(3);
    let refused = &spans[2];
    assert_eq!(
        (refused.span.name.as_str(), refused.says("http.request.method")),
        ("HTTP", "_OTHER")
    );
    assert_eq!(refused.says("http.request.method_original"), "FORGED");
    assert_eq!(
        (refused.says("http.response.status_code"), refused.says("error.type")),
        ("400", "")
    );
}

#[test]
fn of_a_trace_that_is_not_sampled_nothing_is_sent_and_it_goes_on_as_it_came() {
    let (origin, collector) = (Origin::named("o"), Collector::start());
    let proxy = before(&[&origin], &collector, &[]);
    let theirs = format!("00-{TRACE}-{PARENT}-00");
    proxy.ask(format!("GET /unsampled HTTP/1.1\r\nHost: a\r\ntraceparent: {theirs}\r\n\r\n"));
    assert_eq!(proxy.get("/sampled").status, 200);
    let (server, _) = family(collector.spans(2));
    assert_eq!(server.says("url.path"), "/sampled");
    assert!(origin.heads()[0].contains(&format!("\r\ntraceparent: {theirs}\r\n")));
}

#[test]
fn a_collector_that_hangs_or_refuses_delays_no_request_and_loses_counted_spans() {
    let mute = Origin::start(|mut conn| drop(conn.rest()));
    for collector in [&mute, &Origin::refusing()] {
        let (origin, url) = (Origin::named("o"), format!("http://{}", collector.address));
        let flags = ["--otlp", &url, "--trace-sample", "100%"];
        let admin = Admin::before(&[&origin], &flags);
        let mut client = admin.client();
        // More than may wait, so that the queue is full whatever the collector does.
        for _ in 0..12_000 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        }
        eventually("spans are dropped", || {
            admin.metric("evener_spans_total{result=\"dropped\"}") > 0
        });
        assert_eq!(admin.metric("evener_spans_total{result=\"exported\"}"), 0);
    }
}

#[test]
fn spans_are_sent_again_where_a_collector_asks_for_that_and_given_up_where_it_takes_none() {
    let busy = "HTTP/1.1 503 A\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let collector = Collector::failing(busy, 2);
    let origin = Origin::named("o");
    let proxy = before(&[&origin], &collector, &[]);
    assert_eq!(proxy.get("/").status, 200);
    collector.spans(2);
    assert_eq!(collector.origin.heads().len(), 3);
    let refusing = Collector::failing("HTTP/1.1 400 A\r\nContent-Length: 0\r\n\r\n", 1);
    let admin = counted(&origin, &refusing);
    admin.client().ask("GET /lost HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("they are given up", || admin.metric("evener_spans_total{result=\"dropped\"}") == 2);
    assert_eq!(admin.metric("evener_span_export_failures_total"), 1);
    admin.client().ask("GET /taken HTTP/1.1\r\nHost: a\r\n\r\n");
    let (server, _) = family(refusing.spans(2));
    assert_eq!(server.says("url.path"), "/taken");
    eventually("they are counted", || admin.metric("evener_spans_total{result=\"exported\"}") == 2);
}

#[test]
fn what_a_collector_rejects_of_what_it_takes_is_dropped() {
    let partial = "HTTP/1.1 200 A\r\nContent-Length: 4\r\n\r\n\n\x02\x08\x01";
    let (origin, collector) = (Origin::named("o"), Collector::failing(partial, 1));
    let admin = counted(&origin, &collector);
    admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is counted", || admin.metric("evener_spans_total{result=\"dropped\"}") == 1);
    assert_eq!(admin.metric("evener_spans_total{result=\"exported\"}"), 1);
    assert_eq!(admin.metric("evener_span_export_failures_total"), 0);
}

#[test]
fn what_waits_is_sent_when_the_process_ends_and_headers_go_with_it() {
    let (origin, collector) = (Origin::named("o"), Collector::start());
    let route = format!("/={}", origin.address);
    let [otlp, url, sample, all] = collector.flags();
    let words = ["--listen", "127.0.0.1:0", "--route", &route, "--check", "off", "--threads", "1"];
    let more = [&otlp, &url, &sample, &all, "--otlp-headers", "x-key: k", "--otlp-service", "edge"];
    let process = Process::start(&[&words[..], &more].concat());
    let mut client = process.client();
    client.get("/");
    client.response();
    drop(client);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    let (server, _) = family(collector.spans(2));
    assert_eq!(server.resource["service.name"], "edge");
    let head = &collector.origin.heads()[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-key: k\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/x-protobuf\r\n"), "{head}");
}

#[test]
fn what_a_collector_that_hangs_does_not_take_until_the_end_is_told_of() {
    let (origin, mute) = (Origin::named("o"), Origin::start(|mut conn| drop(conn.rest())));
    let (route, url) = (format!("/={}", origin.address), format!("http://{}", mute.address));
    let words = ["--listen", "127.0.0.1:0", "--route", &route, "--check", "off", "--threads", "1"];
    let more = ["--otlp", &url, "--trace-sample", "100%"];
    let process = Process::start(&[&words[..], &more].concat());
    let mut client = process.client();
    client.get("/");
    client.response();
    drop(client);
    process.signal("TERM");
    let (code, lines) = process.end();
    assert_eq!(code, Some(0));
    assert!(lines.iter().any(|line| line.ends_with("2 spans were dropped")), "{lines:#?}");
}

#[test]
fn over_tls_the_collector_is_verified() {
    let (origin, collector) = (Origin::named("o"), Collector::start());
    let ca = Authority::shared().file();
    let sent = |name: &str| {
        let files = Authority::shared().issue(&[name]).files();
        let pair = ["--cert", &files.cert, "--key", &files.key];
        let route = format!("/={}", collector.origin.address);
        let in_front = ["--listen-tls", "127.0.0.1:0", "--route", &route];
        let in_front = Process::start(&[&in_front[..], &pair].concat());
        let url = format!("https://localhost:{}", in_front.address().port());
        let flags = ["--otlp", &url, "--trace-sample", "100%", "--upstream-ca", &ca];
        let admin = Admin::before(&[&origin], &flags);
        admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (exported, failures) =
            ("evener_spans_total{result=\"exported\"}", "evener_span_export_failures_total");
        eventually("an answer", || admin.metric(exported) + admin.metric(failures) > 0);
        assert!(!admin.process.says("has no effect"));
        admin.metric(exported)
    };
    assert_eq!(sent("other.example"), 0);
    assert_eq!(sent("localhost"), 2);
    collector.spans(2);
}

#[test]
fn a_reload_changes_the_share_and_not_the_collector() {
    let (origin, collector) = (Origin::named("o"), Collector::start());
    let route = format!("--route=/={}", origin.address);
    let url = format!("--otlp=http://{}", collector.origin.address);
    let mut proxy = Proxy::start(&[&route, &url, "--trace-sample=0%"]);
    assert_eq!(proxy.get("/before").status, 200);
    let changes = proxy.reload(&[&route, &url, "--trace-sample=100%"]).unwrap();
    assert!(changes.iter().any(|change| change.starts_with("~ tracing: ")), "{changes:?}");
    assert_eq!(proxy.get("/after").status, 200);
    let (server, _) = family(collector.spans(2));
    assert_eq!(server.says("url.path"), "/after");
    assert!(proxy.reload(&[&route]).unwrap_err().contains("cannot change otlp"));
}
