//! hyper's server as an origin: the same paths as the other origins of tools/interop.
//!
//! `hyper-origin PORT FOLDER` serves `small` and `large` of the folder.

use std::convert::Infallible;
use std::{env, fs, io};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, ETAG, HeaderValue, IF_NONE_MATCH, TRAILER, UPGRADE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, server, service, upgrade};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;

const PIECE: usize = 10_000;

#[derive(Clone)]
struct Files {
    small: Bytes,
    large: Bytes,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().collect();
    let [_, port, folder] = &arguments[..] else { panic!("hyper-origin PORT FOLDER") };
    let read = |name| fs::read(format!("{folder}/{name}")).map(Bytes::from);
    let files = Files { small: read("small")?, large: read("large")? };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let files = files.clone();
        let service = service::service_fn(move |request| answer(request, files.clone()));
        let connection =
            server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                eprintln!("{error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, files: Files) -> hyper::Result<Response<Body>> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/small") => file(&request, files.small),
        (&Method::GET | &Method::HEAD, "/large") => file(&request, files.large),
        (_, "/chunked") => Response::new(pieces(&files.large, HeaderMap::new())),
        (_, "/echo") => {
            let body = request.into_body().collect().await?.to_bytes();
            let digest: String =
                Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            Response::new(full(format!("{} {digest}\n", body.len()).into()))
        }
        (_, "/trailers") => trailers(request).await?,
        (_, "/upgrade") => echo(request),
        _ => with_status(StatusCode::NOT_FOUND),
    };
    Ok(response)
}

fn file(request: &Request<Incoming>, contents: Bytes) -> Response<Body> {
    let tag = format!("\"{}\"", contents.len());
    if request.headers().get(IF_NONE_MATCH).is_some_and(|value| value == tag.as_str()) {
        return with_status(StatusCode::NOT_MODIFIED);
    }
    let mut response = Response::new(full(contents));
    response.headers_mut().insert(ETAG, tag.parse().expect("a field value"));
    response
}

/// Says in a field which trailer the request had, and sends one itself.
async fn trailers(request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    let body = request.into_body().collect().await?;
    let seen = body.trailers().and_then(|fields| fields.get("x-sum")).cloned();
    let mut own = HeaderMap::new();
    own.insert("x-sum", HeaderValue::from_static("f00d"));
    let mut response = Response::new(pieces(&Bytes::from_static(b"done\n"), own));
    response.headers_mut().insert(TRAILER, HeaderValue::from_static("x-sum"));
    if let Some(value) = seen {
        response.headers_mut().insert("x-seen", value);
    }
    Ok(response)
}

/// Changes to a protocol that gives back every byte.
fn echo(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    });
    let mut response = with_status(StatusCode::SWITCHING_PROTOCOLS);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    response
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn full(contents: Bytes) -> Body {
    Full::new(contents).boxed()
}

/// A body without a length, which hyper sends in chunks.
fn pieces(contents: &Bytes, trailers: HeaderMap) -> Body {
    let cuts = (0..contents.len()).step_by(PIECE);
    let data = cuts.map(|at| Frame::data(contents.slice(at..contents.len().min(at + PIECE))));
    let end = (!trailers.is_empty()).then(|| Frame::trailers(trailers));
    let frames: Vec<_> = data.chain(end).map(Ok).collect();
    BodyExt::boxed(StreamBody::new(stream::iter(frames)))
}
