//! Connections that are reused for another exchange, on either side.

use crate::support::origin::ok;
use crate::support::{Origin, Proxy, eventually};

/// Answers each request with its target.
fn echoing_targets() -> Origin {
    Origin::start(|mut conn| {
        while let Some(head) = conn.head() {
            if head.contains("Content-Length: 2\r\n") && conn.bytes(2).is_none() {
                return;
            }
            conn.send(ok(head.split(' ').nth(1).unwrap_or_default()));
        }
    })
}

#[test]
fn several_requests_go_over_one_connection() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for target in ["/1", "/2", "/3"] {
        client.get(target);
        let response = client.response();
        assert_eq!((response.text().as_str(), response.field("connection")), (target, None));
    }
    assert_eq!((proxy.count(|m| &m.accepted), origin.connections()), (1, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    let request = |at: usize| match at % 3 {
        0 => format!("POST /{at} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
        _ => format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    client.send((0..60).map(request).collect::<String>());
    for at in 0..60 {
        assert_eq!(client.response().text(), format!("/{at}"));
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for target in ["/1", "/2"] {
        client.send("\r\n\r\n");
        client.get(target);
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn a_request_pipelined_after_a_refused_head_is_never_executed() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/1");
    assert_eq!(client.response().text(), "/1");
    client.send("GET /2 HTTP/1.1\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 400);
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn clients_share_an_upstream_connection() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!((proxy.count(|m| &m.connects), proxy.count(|m| &m.reuses)), (1, 9));
}

#[test]
fn requests_at_the_same_time_have_a_connection_each() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.bytes(2);
        conn.send(ok("both"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut clients = [proxy.client(), proxy.client()];
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    }
    eventually("both arrive", || origin.heads().len() == 2);
    for client in &mut clients {
        assert_eq!(client.ask("hi").text(), "both");
    }
}

#[test]
fn a_closed_idle_upstream_connection_causes_no_error() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(ok("hi"));
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &["--max-fails", "1"]);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
}

#[test]
fn an_upstream_connection_that_ends_under_a_get_is_replaced() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(ok("hi"));
        // The second request is read but not answered: the connection seemed fine until then.
        conn.head();
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &["--max-fails", "1"]);
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    assert_eq!((proxy.count(|m| &m.retries), origin.connections()), (1, 2));
}

#[test]
fn no_idle_connections_are_kept_if_none_may_be() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &["--max-idle", "0"]);
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    assert_eq!(origin.connections(), 2);
    eventually("both are counted", || proxy.count(|m| &m.pool_full) == 2);
}

#[test]
fn an_idle_client_is_closed_without_a_response() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &["--keepalive-timeout", "100ms"]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
}

#[test]
fn an_idle_client_is_closed_and_not_reset() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &["--keepalive-timeout", "100ms"]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(client.response().status, 200);
    assert!(!client.is_reset());
}

#[test]
fn a_client_that_sends_nothing_is_closed_without_a_response() {
    let origin = echoing_targets();
    let proxy = Proxy::before(&[&origin], &["--header-timeout", "100ms"]);
    assert_eq!(String::from_utf8(proxy.client().rest()).unwrap(), "");
    assert_eq!(proxy.count(|m| &m.head_timeouts), 0);
}

#[test]
fn bytes_after_the_last_request_do_not_cause_a_reset() {
    let (release, released) = std::sync::mpsc::sync_channel(1);
    let released = std::sync::Mutex::new(released);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        released.lock().unwrap().recv().unwrap();
        conn.send(ok("hi"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    eventually("it arrives", || origin.heads().len() == 1);
    client.send("\r\n");
    release.send(()).unwrap();
    assert_eq!(client.response().text(), "hi");
    assert!(!client.is_reset());
}
