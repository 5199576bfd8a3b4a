//! What passes through a WebSocket where one side or both speak HTTP/2 (RFC 8441), and how it ends.

use serde_json::json;

use crate::support::h2::{Frame, RawClient, error};
use crate::support::logged::Logged;
use crate::support::websocket::{
    CONNECT, GET, agreeing, agreeing_h2, before, expect_data, expect_end, inside,
};
use crate::support::{Proxy, Rendezvous};

#[test]
fn bytes_that_come_with_the_heads_are_part_of_the_tunnel() {
    let origin = agreeing("hello", |mut conn| {
        let said = conn.bytes(5).unwrap();
        conn.send(said);
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_all([Frame::headers(1, CONNECT), Frame::data(1, "early")]);
    client.section(1).unwrap();
    expect_data(&mut client, 1, b"helloearly");
}

#[test]
fn a_side_that_has_ended_still_receives() {
    let origin = agreeing("", |mut conn| {
        let said = conn.rest();
        conn.send(said);
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    client.send(Frame::data(1, "all").end());
    expect_data(&mut client, 1, b"all");
    expect_end(&mut client, 1);
    client.expect_alive();
}

#[test]
fn an_http_2_endpoint_that_has_ended_still_receives() {
    let (tell, told) = (Rendezvous::default(), Rendezvous::default());
    let (theirs, heard) = (tell.clone(), told.clone());
    let origin = agreeing_h2(move |mut peer, stream| {
        peer.send(Frame::data(stream, "all").end());
        theirs.wait();
        expect_data(&mut peer, stream, b"heard");
        expect_end(&mut peer, stream);
        heard.wait();
    });
    let proxy = before(&origin.endpoint(), &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status, 101);
    assert_eq!(client.rest(), b"all");
    tell.wait();
    client.send("heard");
    client.finish();
    told.wait();
}

#[test]
fn a_reset_of_an_endpoint_resets_the_stream() {
    let origin = agreeing("", |mut conn| {
        conn.bytes(2);
        conn.reset();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    client.send(Frame::data(1, "go"));
    client.expect_reset(1, error::CANCEL);
    client.expect_alive();
}

#[test]
fn a_reset_of_the_stream_resets_the_endpoint() {
    let cut = Rendezvous::default();
    let ours = cut.clone();
    let origin = agreeing("hello", move |mut conn| {
        assert!(conn.ends_by_reset());
        ours.wait();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    expect_data(&mut client, 1, b"hello");
    client.send(Frame::reset(1, error::CANCEL));
    cut.wait();
    client.expect_alive();
}

#[test]
fn a_reset_of_the_client_resets_the_stream_to_an_endpoint() {
    let cut = Rendezvous::default();
    let ours = cut.clone();
    let origin = agreeing_h2(move |mut peer, stream| {
        peer.send(Frame::data(stream, "hello"));
        peer.expect_reset(stream, error::CANCEL);
        ours.wait();
    });
    let proxy = before(&origin.endpoint(), &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status, 101);
    assert_eq!(client.exactly(5), b"hello");
    client.reset();
    cut.wait();
}

#[test]
fn a_reset_of_the_stream_to_an_endpoint_resets_the_client() {
    let origin = agreeing_h2(|mut peer, stream| {
        expect_data(&mut peer, stream, b"go");
        peer.send(Frame::reset(stream, error::CANCEL));
        peer.request();
    });
    let proxy = before(&origin.endpoint(), &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status, 101);
    client.send("go");
    assert!(client.is_reset());
}

#[test]
fn an_idle_websocket_is_ended_on_both_sides() {
    let origin = agreeing("", |mut conn| drop(conn.rest()));
    let proxy = Proxy::before(&[&origin], &["--tunnel-timeout", "100ms"]);
    inside(&proxy).expect_reset(1, error::CANCEL);
}

#[test]
fn the_access_log_has_a_line_about_it() {
    let origin = agreeing("", |mut conn| {
        conn.rest();
        conn.close();
    });
    let proxy = Logged::before(&[&origin], &[]);
    let mut client = inside(&proxy.proxy);
    client.send(Frame::data(1, "hello").end());
    expect_end(&mut client, 1);
    drop(client);
    assert_eq!(
        proxy.says(["method", "status", "end"]),
        [json!("CONNECT"), json!(200), json!("--")]
    );
}
