//! A well-behaved client: the `h2` crate's.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Error, SendStream};
use hyper::http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::body::{Body, collect, send_body};
use super::tls_stream::AsyncTls;
use crate::support::library::spawn;
use crate::support::tls::TlsOptions;

/// One connection, for use inside [`crate::support::library::run`]. Requests may be made at the same time:
/// every method takes `&self`. Dropping it lets its streams end, and then closes the connection.
pub struct H2Client {
    sender: SendRequest<Bytes>,
    ended: JoinHandle<Result<(), Error>>,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct H2Answer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub body: Body,
}

impl H2Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.bytes).into_owned()
    }

    /// The value of a field, if present.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

impl H2Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new()).await
    }

    /// With other settings.
    pub async fn connect_with(address: SocketAddr, builder: &Builder) -> Self {
        Self::over(Self::tcp(address).await, builder).await
    }

    /// Over TLS, where `h2` must be agreed on.
    pub async fn connect_tls(address: SocketAddr, options: TlsOptions, name: &str) -> Self {
        let session = options.alpn(&["h2"]).session(name);
        let mut stream = AsyncTls::new(session, Self::tcp(address).await);
        let agreed = stream.handshake().await.expect("a handshake");
        assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
        Self::over(stream, &Builder::new()).await
    }

    async fn tcp(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        stream
    }

    /// Over a connection that exists.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: &Builder,
    ) -> Self {
        let (sender, connection) = builder.handshake(stream).await.expect("a preface");
        Self { sender, ended: spawn(connection) }
    }

    /// The response to GET.
    pub async fn get(&self, path: &str) -> H2Answer {
        let request = Request::get(format!("http://test{path}")).body(()).expect("a request");
        self.ask(request, Body::default()).await.expect("a response")
    }

    /// The response to POST with this body.
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> H2Answer {
        let request = Request::post(format!("http://test{path}")).body(()).expect("a request");
        let body = Body { bytes: body.into(), trailers: None };
        self.ask(request, body).await.expect("a response")
    }

    /// Sends a request and its body while it waits for the response.
    pub async fn ask(&self, request: Request<()>, body: Body) -> Result<H2Answer, Error> {
        let ends = body == Body::default();
        let (response, mut stream) = self.open(request, ends).await?;
        let sending = async {
            // A stream that the server has reset is the response's to report.
            if !ends {
                let _ = send_body(&mut stream, body).await;
            }
        };
        let receiving = async {
            let (head, body) = response.await?.into_parts();
            let body = collect(body).await?;
            Ok(H2Answer { status: head.status, fields: head.headers, body })
        };
        tokio::join!(sending, receiving).1
    }

    /// Sends a request's head, as soon as the server allows another stream.
    pub async fn open(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
        let mut sender = self.sender.clone();
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        sender.send_request(request, ends)
    }

    /// Lets what runs end, closes the connection, and waits for its end.
    pub async fn close(self) -> Result<(), Error> {
        drop(self.sender);
        self.ended.await.expect("no panic")
    }
}
