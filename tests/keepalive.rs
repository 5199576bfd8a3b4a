//! Which connections, on either side, carry another exchange.

use evener::reject::Reject;

use crate::support::origin::ok;
use crate::support::{Origin, Proxy, eventually};

/// Answers each request with its target.
fn telling_targets() -> Origin {
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
    let origin = telling_targets();
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
    let origin = telling_targets();
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
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for target in ["/1", "/2"] {
        client.send("\r\n\r\n");
        client.get(target);
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn a_head_byte_by_byte_is_the_same_head() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for byte in *b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n" {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "/slow");
}

#[test]
fn what_is_pipelined_behind_a_refused_head_is_never_executed() {
    let origin = telling_targets();
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
fn what_is_pipelined_behind_a_refused_body_is_never_executed() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().status, 400);
    assert!(client.is_closed());
    assert_eq!(proxy.count(|m| &m.rejects[Reject::ChunkEnd as usize]), 1);
    assert_eq!(origin.heads(), [""; 0]);
}

#[test]
fn what_is_pipelined_behind_a_close_is_never_executed() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    let requests = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n\
                    GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(requests);
    assert_eq!(client.response().text(), "/1");
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn a_client_that_asks_for_a_close_gets_one_and_the_endpoint_does_not() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    for _ in 0..2 {
        let mut client = proxy.client();
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(response.field("connection"), Some("close"));
        assert!(!client.is_reset());
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_http_1_0_client_stays_if_it_asks_to() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!(response.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn an_http_1_0_client_that_does_not_ask_to_stay_is_closed() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").field("connection"), Some("close"));
    assert!(!client.is_reset());
}

#[test]
fn clients_share_an_upstream_connection() {
    let origin = telling_targets();
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
fn an_upstream_connection_its_endpoint_means_to_close_is_not_used_again() {
    let endings = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\n",
        "HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n",
        "HTTP/1.0 200 OK\r\n",
    ];
    for start in endings {
        let origin = Origin::answering(format!("{start}Content-Length: 2\r\n\r\nhi"));
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        for connections in 1..=2 {
            client.get("/");
            assert_eq!(client.response().field("connection"), None, "{start}");
            assert_eq!(origin.connections(), connections, "{start}");
        }
    }
}

#[test]
fn an_http_1_0_endpoint_that_stays_is_used_again() {
    let start = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n";
    let origin = Origin::answering(format!("{start}Content-Length: 2\r\n\r\nhi"));
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_idle_upstream_connection_that_has_ended_is_no_error_to_anyone() {
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
        // The second request is read and not answered: the connection seemed fine until then.
        conn.head();
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &["--max-fails", "1"]);
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    assert_eq!((proxy.count(|m| &m.retries), origin.connections()), (1, 2));
}

#[test]
fn no_idle_connections_are_kept_if_none_may_be() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &["--max-idle", "0"]);
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    assert_eq!(origin.connections(), 2);
    eventually("both are counted", || proxy.count(|m| &m.pool_full) == 2);
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &["--keepalive-timeout", "100ms"]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
}

#[test]
fn an_idle_client_is_closed_and_not_reset() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &["--keepalive-timeout", "100ms"]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(client.response().status, 200);
    assert!(!client.is_reset());
}

#[test]
fn a_client_that_never_says_a_word_is_closed_without_one() {
    let origin = telling_targets();
    let proxy = Proxy::before(&[&origin], &["--header-timeout", "100ms"]);
    assert_eq!(String::from_utf8(proxy.client().rest()).unwrap(), "");
    assert_eq!(proxy.count(|m| &m.head_timeouts), 0);
}

#[test]
fn bytes_behind_the_last_request_do_not_cost_its_client_a_clean_end() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let told = std::sync::Mutex::new(told);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        told.lock().unwrap().recv().unwrap();
        conn.send(ok("hi"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    eventually("it arrives", || origin.heads().len() == 1);
    client.send("\r\n");
    tell.send(()).unwrap();
    assert_eq!(client.response().text(), "hi");
    assert!(!client.is_reset());
}
