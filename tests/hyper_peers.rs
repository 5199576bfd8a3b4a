//! Interoperability with hyper as client and server.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::library::{origin, run};
use crate::support::{Origin, Proxy, filler};

type Body = BoxBody<Bytes, Infallible>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body of unknown length, which hyper sends in chunks.
fn streamed(pieces: &[&[u8]], trailers: Option<HeaderMap>) -> Body {
    let data = pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
    let frames: Vec<_> = data.chain(trailers.map(Frame::trailers)).map(Ok).collect();
    StreamBody::new(stream::iter(frames)).boxed()
}

/// Answers with the `x-sum` trailer of the request if there is one, otherwise with its body; in chunks
/// if the request was chunked.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let chunked = request.headers().contains_key("transfer-encoding");
    let body = request.into_body().collect().await?;
    let sum = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
    let bytes = sum.map_or_else(|| body.to_bytes(), |sum| Bytes::copy_from_slice(sum.as_bytes()));
    Ok(Response::new(if chunked { streamed(&[&bytes], None) } else { full(bytes) }))
}

/// A hyper server for one connection.
fn hyper_origin() -> SocketAddr {
    origin(async |stream| {
        let server = hyper::server::conn::http1::Builder::new();
        // An error means that the other side has disconnected, which the test notices itself.
        let _ = server.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
    })
}

fn before_hyper() -> Proxy {
    let route = format!("/={}", hyper_origin());
    Proxy::start(&["--route", &route])
}

/// Does `work` with a hyper client on one connection to the proxy.
fn with_client<T>(proxy: &Proxy, work: impl AsyncFnOnce(SendRequest<Body>) -> T) -> T {
    run(async {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::join!(work(sender), async { connection.await.unwrap() }).0
    })
}

fn post(body: Body) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri("/").header("host", "test");
    request.header("trailer", "x-sum").body(body).unwrap()
}

async fn text(client: &mut SendRequest<Body>, request: Request<Body>) -> Bytes {
    client.ready().await.unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn hyper_as_client_gets_and_keeps_its_connection() {
    let origin = Origin::named("plain");
    let proxy = Proxy::before(&[&origin], &[]);
    with_client(&proxy, async |mut client| {
        for _ in 0..3 {
            let get = Request::get("/").header("host", "test").body(full("")).unwrap();
            assert_eq!(text(&mut client, get).await, "plain");
        }
    });
    assert_eq!((proxy.count(|m| &m.accepted), origin.connections()), (1, 1));
}

#[test]
fn hyper_as_origin_serves_several_clients_on_one_connection() {
    let proxy = before_hyper();
    for _ in 0..3 {
        let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(proxy.ask(request).text(), "hello");
    }
    assert_eq!(proxy.count(|m| &m.connects), 1);
}

#[test]
fn hyper_on_both_sides_streams_both_ways() {
    let proxy = before_hyper();
    let large = filler(1 << 20);
    with_client(&proxy, async |mut client| {
        let pieces: Vec<_> = large.chunks(10_007).collect();
        for _ in 0..2 {
            assert!(text(&mut client, post(streamed(&pieces, None))).await == large);
            assert!(text(&mut client, post(full(large.clone()))).await == large);
        }
    });
    assert_eq!((proxy.count(|m| &m.accepted), proxy.count(|m| &m.connects)), (1, 1));
}

#[test]
fn trailers_of_hyper_reach_hyper() {
    let proxy = before_hyper();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    with_client(&proxy, async |mut client| {
        let request = post(streamed(&[b"hello"], Some(trailers)));
        assert_eq!(text(&mut client, request).await, "42");
    });
}
