//! A well-behaved origin: the `h2` crate's server.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use h2::server::Builder;
use hyper::http::request::Parts;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::exchange::H2Exchange;
use super::tls_stream::AsyncTls;
use crate::support::library::{run_forever, spawn};
use crate::support::tls::TlsServer;

/// What happens to its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Those that exist are asked to leave; new ones are served.
    Leaving,
    Stopped,
}

/// A server on a thread of its own, which ends with this and cuts what still runs.
pub struct H2Origin {
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Seen>,
    stage: watch::Sender<Stage>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<Parts>>,
}

/// What serves a connection.
struct Server<H> {
    builder: Builder,
    tls: Option<Arc<ServerConfig>>,
    handle: H,
    seen: Arc<Seen>,
    stage: watch::Receiver<Stage>,
}

impl H2Origin {
    /// Serves every request with `handle`, all at the same time.
    pub fn start<F>(handle: impl Fn(H2Exchange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(Builder::new(), None, handle)
    }

    /// The same with other settings, and over TLS where a server is given.
    pub fn start_with<F>(
        builder: Builder,
        tls: Option<TlsServer>,
        handle: impl Fn(H2Exchange) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = StdListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address");
        let (stage, watched) = watch::channel(Stage::Serving);
        let scheme = if tls.is_some() { "h2" } else { "h2c" };
        let tls = tls.map(|server| server.alpn(&["h2"]).config());
        let seen = Arc::<Seen>::default();
        let ours = Arc::clone(&seen);
        let server = Arc::new(Server { builder, tls, handle, seen: ours, stage: watched });
        thread::spawn(move || run_forever(server.accept(listener)));
        Self { address, scheme, seen, stage }
    }

    /// Answers 200 with its name.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |exchange| exchange.answer(200, name))
    }

    /// Answers with the request's body and trailers as they come.
    pub fn echoing() -> Self {
        Self::start(async |exchange| {
            let _ = exchange.echo().await;
        })
    }

    /// For a route: the scheme and its address.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<Parts> {
        self.seen.heads.lock().expect("lock").clone()
    }

    /// Asks the connections that exist to leave (GOAWAY), and lets their requests end.
    pub fn leave(&self) {
        self.stage.send_replace(Stage::Leaving);
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Stopped);
    }
}

impl<H, F> Server<H>
where
    H: Fn(H2Exchange) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn accept(self: Arc<Self>, listener: StdListener) {
        let listener = TcpListener::from_std(listener).expect("a listener");
        let mut stage = self.stage.clone();
        loop {
            tokio::select! {
                _ = stage.wait_for(|stage| *stage == Stage::Stopped) => return,
                accepted = listener.accept() => {
                    let (stream, _) = accepted.expect("accept");
                    self.seen.connections.fetch_add(1, Ordering::SeqCst);
                    spawn(Arc::clone(&self).serve(stream));
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, tcp: TcpStream) {
        tcp.set_nodelay(true).expect("nodelay");
        let Some(tls) = &self.tls else { return self.serve_over(tcp).await };
        let session = ServerConnection::new(Arc::clone(tls)).expect("a session");
        let mut stream = AsyncTls::new(session, tcp);
        if stream.handshake().await.is_ok() {
            self.serve_over(stream).await;
        }
    }

    async fn serve_over(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Ok(mut connection) = self.builder.handshake(stream).await else { return };
        let mut stage = self.stage.clone();
        stage.mark_unchanged();
        loop {
            tokio::select! {
                Ok(()) = stage.changed() => connection.graceful_shutdown(),
                accepted = connection.accept() => {
                    let Some(Ok((request, respond))) = accepted else { return };
                    let (head, body) = request.into_parts();
                    self.seen.heads.lock().expect("lock").push(head.clone());
                    spawn((self.handle)(H2Exchange { head, body, respond }));
                }
            }
        }
    }
}
