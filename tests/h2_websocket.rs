//! How a WebSocket is opened where one side or both speak HTTP/2 (RFC 8441).

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::h2::{H2Origin, RawClient, RawOrigin, setting};
use crate::support::library::run;
use crate::support::origin::ok;
use crate::support::websocket::{
    CONNECT, GET, SWITCH, agreeing, agreeing_h2, before, connect, connect_h2, echo, echo_h2,
    expect_end, inside,
};
use crate::support::{Origin, Proxy, filler};

async fn converse(
    mut socket: impl Sink<Message, Error = Error> + Stream<Item = Result<Message, Error>> + Unpin,
) {
    for message in [Message::text("hello"), Message::Binary(filler(1 << 20).into())] {
        socket.send(message.clone()).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap() == message);
    }
    socket.close().await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());
}

#[test]
fn messages_pass_from_an_http_2_client_to_an_http_1_1_endpoint() {
    let proxy = before(&echo().to_string(), &[]);
    run(async { converse(connect_h2(proxy.address).await).await });
}

#[test]
fn messages_pass_from_an_http_1_1_client_to_an_http_2_endpoint() {
    let origin = echo_h2();
    let proxy = before(&origin.endpoint(), &[]);
    run(async { converse(connect(proxy.address).await).await });
}

#[test]
fn messages_pass_between_two_connections_of_http_2() {
    let origin = echo_h2();
    let proxy = before(&origin.endpoint(), &[]);
    run(async { converse(connect_h2(proxy.address).await).await });
}

#[test]
fn an_http_1_1_endpoint_is_sent_a_key_of_its_own_for_every_client() {
    let origin = agreeing("", |mut conn| drop(conn.rest()));
    let proxy = Proxy::before(&[&origin], &[]);
    let _clients = [inside(&proxy), inside(&proxy)];
    let keys = origin.heads().into_iter().map(|head| {
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"), "{head}");
        let (_, after) = head.split_once("\r\nSec-WebSocket-Key: ").expect("a key");
        after.split_once("\r\n").unwrap().0.to_owned()
    });
    let keys: Vec<_> = keys.collect();
    assert!(keys[0] != keys[1] && keys[0].len() == 24, "{keys:?}");
}

#[test]
fn an_endpoint_that_has_not_read_the_key_is_a_502() {
    let rows = [
        (format!("{SWITCH}\r\n"), "Sec-WebSocket-Accept does not belong to the key"),
        (
            format!("{SWITCH}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            "Sec-WebSocket-Accept does not belong to the key",
        ),
        (
            SWITCH.replace("websocket", "echo") + "\r\n",
            "101 without an upgrade asked for and agreed to",
        ),
        (String::from_utf8(ok("a page")).unwrap(), "endpoint ignored the request for a WebSocket"),
    ];
    for (answer, phrase) in rows {
        let origin = Origin::answering(answer);
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = RawClient::connect(proxy.address);
        client.send_fields(1, CONNECT, false);
        assert_eq!(client.expect_answer(1, 502).text(), format!("502 Bad Gateway: {phrase}\n"));
    }
}

#[test]
fn an_endpoint_that_refuses_answers_as_usual() {
    let origin = Origin::answering("HTTP/1.1 403 A\r\nContent-Length: 2\r\n\r\nno");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, CONNECT, false);
    assert_eq!(client.expect_answer(1, 403).text(), "no");
}

#[test]
fn an_http_2_endpoint_that_refuses_answers_as_usual() {
    let origin = RawOrigin::start_with(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)], |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        peer.answer(stream, "403", b"no");
        peer.request();
    });
    let proxy = before(&origin.endpoint(), &[]);
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
}

#[test]
fn an_http_2_endpoint_that_has_not_announced_websockets_is_not_asked() {
    let deaf = H2Origin::named("hello");
    let proxy = before(&deaf.endpoint(), &[]);
    let answer = proxy.ask(GET);
    assert_eq!(answer.status, 502);
    let phrase = "endpoint does not take WebSockets over HTTP/2";
    assert_eq!(answer.text(), format!("502 Bad Gateway: {phrase}\n"));
    assert!(deaf.heads().is_empty());
    let open = echo_h2();
    let proxy = before(&format!("{},{}", deaf.endpoint(), open.endpoint()), &[]);
    for _ in 0..2 {
        assert_eq!(proxy.client().ask(GET).status, 101);
    }
}

#[test]
fn the_key_of_an_http_1_1_client_is_checked_for_an_http_2_endpoint() {
    let origin = echo_h2();
    let proxy = before(&origin.endpoint(), &[]);
    let answer = proxy.ask(GET.replace("Sec-WebSocket-Key", "X-Key"));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Sec-WebSocket-Key"), "{}", answer.text());
}

#[test]
fn an_http_1_1_client_gets_the_answer_to_its_key() {
    let origin = agreeing_h2(|mut peer, stream| expect_end(&mut peer, stream));
    let proxy = before(&origin.endpoint(), &[]);
    let mut client = proxy.client();
    let answer = client.ask(GET);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.field("Upgrade"), Some("websocket"));
    assert_eq!(answer.field("Connection"), Some("upgrade"));
}

#[test]
fn another_upgrade_is_a_plain_request_to_an_http_2_endpoint() {
    let origin = H2Origin::named("hello");
    let proxy = before(&origin.endpoint(), &[]);
    let answer = proxy.ask(GET.replace("websocket\r\n", "echo\r\n"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}
