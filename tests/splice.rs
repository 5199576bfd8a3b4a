//! Bodies and tunnels moved with splice(2), byte for byte, and what happens when they break.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use evener::fault::Side;

use crate::support::origin::{ok, ok_head};
use crate::support::{Conn, Origin, Proxy, filler};

const LARGE: usize = 5 << 20;

/// A body full of requests, which would be executed if it were mistaken for the requests after it.
fn smuggled() -> Vec<u8> {
    b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n".repeat(LARGE / 38)
}

fn put(body: &[u8]) -> Vec<u8> {
    let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn spliced(proxy: &Proxy) -> usize {
    proxy.count(|metrics| &metrics.bytes_spliced).try_into().unwrap()
}

#[test]
fn a_long_response_is_spliced_and_leaves_both_connections_usable() {
    let origin = Origin::answering([ok_head(LARGE), filler(LARGE)].concat());
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for _ in 0..3 {
        client.get("/");
        assert!(client.response().body == filler(LARGE));
    }
    assert_eq!(origin.connections(), 1);
    assert!(spliced(&proxy) > 2 * LARGE, "{}", spliced(&proxy));
}

#[test]
fn a_short_response_is_copied() {
    let origin = Origin::answering([ok_head(90_000), filler(90_000)].concat());
    let proxy = Proxy::before(&[&origin], &[]);
    assert!(proxy.get("/").body == filler(90_000));
    assert_eq!(spliced(&proxy), 0);
}

#[test]
fn a_response_until_close_is_spliced_once_it_arrives_in_bulk() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send([&b"HTTP/1.1 200 OK\r\n\r\n"[..], &filler(LARGE)].concat());
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let response = proxy.get("/");
    assert!(response.body == filler(LARGE));
    assert!(spliced(&proxy) > LARGE / 2, "{}", spliced(&proxy));
}

#[test]
fn bytes_after_a_long_request_are_the_next_one() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        let intact = conn.bytes(smuggled().len()).unwrap() == smuggled();
        conn.send(ok(if intact { "intact" } else { "damaged" }));
        conn.answer_all(&ok("next"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send([&put(&smuggled())[..], b"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n"].concat());
    assert_eq!([client.response().text(), client.response().text()], ["intact", "next"]);
    assert!(spliced(&proxy) > LARGE / 2, "{}", spliced(&proxy));
    let lines: Vec<_> = origin.heads().iter().map(|head| head[..6].to_owned()).collect();
    assert_eq!(lines, ["PUT / ", "GET /b"]);
}

/// Sends `request` to endpoints of which one resets its connection once it has received so many bytes of the body:
/// the bytes that were spliced are lost with it, so there is no answer but 502, and none of them is executed as a
/// request. Returns what `read` has got of the body at endpoints that were asked again.
pub fn reset_amid<T: Send + 'static>(
    received: usize,
    request: Vec<u8>,
    read: impl Fn(Conn) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let (sender, bodies) = sync_channel(1);
    let resetting = move |mut conn: Conn| {
        socket2::SockRef::from(&conn.stream).set_recv_buffer_size(1 << 16).unwrap();
        conn.head();
        conn.bytes(received);
        // Send until all buffers are full.
        thread::sleep(Duration::from_millis(20));
        conn.reset();
    };
    let reading = move |mut conn: Conn| {
        conn.head();
        let _ = sender.send(read(conn));
    };
    let (one, other) = (Origin::start(resetting), Origin::start(reading));
    let proxy = Proxy::before(&[&one, &other], &[]);
    let mut client = proxy.client();
    let mut stream = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        // The proxy may stop reading and close the connection.
        let _ = stream.write_all(&request);
        let _ = stream.write_all(b"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n");
        let _ = stream.shutdown(Shutdown::Write);
    });
    let response = client.response();
    assert!(response.head.starts_with("HTTP/1.1 502"), "{received}: {}", response.head);
    drop(client);
    sending.join().unwrap();
    drop(proxy);
    let heads = [one.heads(), other.heads()].concat();
    assert!(heads.iter().all(|head| !head.contains("smuggled")), "{received}: {heads:?}");
    drop(other);
    bodies.iter().collect()
}

/// The request must not be repeated without the bytes that are lost.
#[test]
fn a_long_request_reset_by_its_endpoint_is_neither_repeated_nor_misread() {
    for received in [0, 1, 100_000, 1 << 20, LARGE / 2] {
        // The part that came with the headers is kept and may be sent again: then all of it must be.
        for body in reset_amid(received, put(&smuggled()), |mut conn| conn.rest()) {
            assert!(smuggled().starts_with(&body), "{received}: {} bytes differ", body.len());
        }
    }
}

#[test]
fn an_answer_that_ends_early_is_cut_for_its_client_too() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send([ok_head(LARGE), filler(LARGE / 2)].concat());
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let (bytes, _) = client.end();
    let body = &bytes[ok_head(LARGE).len()..];
    assert!(body.len() < LARGE && body == &filler(LARGE)[..body.len()]);
    assert_eq!(proxy.count(|metrics| &metrics.cut_answers[Side::Upstream as usize]), 1);
}

#[test]
fn a_tunnel_is_spliced_while_it_is_busy() {
    let echo = Origin::start(|mut conn: Conn| {
        let mut bytes = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = conn.stream.read(&mut bytes) {
            conn.send(&bytes[..count]);
        }
        conn.close();
    });
    let proxy = Proxy::start_words(&["--tcp", &format!("127.0.0.1:0={}", echo.address)]);
    let mut client = proxy.client();
    let (mut stream, bytes) = (client.stream.try_clone().unwrap(), Arc::new(filler(LARGE)));
    let sent = Arc::clone(&bytes);
    let sending = thread::spawn(move || {
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    assert!(client.rest() == *bytes);
    sending.join().unwrap();
    drop(client);
    crate::support::eventually("the tunnel is counted", || spliced(&proxy) > 0);
}

/// splice(2) never passes the urgent mark, and reports no data or the end of the stream there.
#[test]
fn bytes_after_urgent_data_are_not_lost() {
    let (sender, received) = sync_channel(1);
    let origin = Origin::start(move |mut conn: Conn| {
        conn.bytes(LARGE).unwrap();
        sender.send(0).unwrap();
        sender.send(conn.rest().len()).unwrap();
    });
    let proxy = Proxy::start_words(&["--tcp", &format!("127.0.0.1:0={}", origin.address)]);
    let mut client = proxy.client();
    client.send(filler(LARGE));
    received.recv().unwrap();
    client.send(filler(100_000));
    socket2::SockRef::from(&client.stream).send_out_of_band(b"!").unwrap();
    client.send(filler(100_000));
    client.finish();
    assert_eq!(received.recv().unwrap(), 200_000);
}
