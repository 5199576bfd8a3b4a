//! A small, fast origin server, for the demo, benchmarks and experiments.

use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::Socket;
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::answer_spec::{AnswerSpec, IDLE_TIMEOUT, LIMITS, PeerGone, expects_continue};
use super::origin_h2;
use crate::address::Address;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::reply::Reply;
use crate::http::h1::scan::Scan;
use crate::http::h2::frame::PREFACE;
use crate::http::message::date::HttpDate;
use crate::http::message::edits::Edits;
use crate::http::message::head::{Method, Storage, Version};
use crate::net::deadline::{Activity, Timer};
use crate::net::listen::{self, Incoming, ListeningSocket};
use crate::net::stream::{Stream, WriteHalf};
use crate::net::tls::handshake::{self, HandshakeTurns};
use crate::net::wall_clock::since_1970;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::head::read_head;

/// Starts an origin on its own threads and returns the address it listens on. It speaks TLS if it has
/// something to show its clients, and HTTP/2 with those that begin with its preface. It runs until the process
/// exits.
pub fn start(
    address: &Address,
    name: &str,
    threads: NonZeroUsize,
    tls: Option<&Arc<ServerConfig>>,
) -> io::Result<Address> {
    let bound = listen::bind(address, threads.get())?;
    for socket in bound.sockets {
        let (name, tls) = (name.to_owned(), tls.cloned());
        thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(error) = run(socket, &name, tls) {
                log::error!("origin {name}: {error}");
            }
        })?;
    }
    Ok(bound.address)
}

/// What the connections of one thread share.
struct OriginState {
    name: Rc<str>,
    tls: Option<Arc<ServerConfig>>,
    turns: HandshakeTurns,
}

fn run(socket: Socket, name: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let listener = ListeningSocket::register(socket)?;
        let turns = HandshakeTurns::default();
        let shared = Rc::new(OriginState { name: name.into(), tls, turns });
        loop {
            match listener.accept().await.and_then(Incoming::register) {
                Ok((stream, _)) => {
                    let shared = Rc::clone(&shared);
                    spawn_local(async move {
                        // Why a client disconnects does not matter to a test origin.
                        let _ = serve(stream, &shared).await;
                    });
                }
                Err(error) => {
                    log::warn!("origin {name}: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

async fn serve(stream: Stream, shared: &OriginState) -> Result<(), PeerGone> {
    let activity = Activity::new();
    let mut timer = Timer::new();
    let mut stream = match (stream, &shared.tls) {
        (Stream::Plain(socket), Some(config)) => {
            let early = Buffer::new();
            let shaking = handshake::accept(socket, &early, Arc::clone(config), &shared.turns);
            let shaken = timer.while_active(IDLE_TIMEOUT, &activity, pin!(shaking)).await;
            let Ok(Ok((stream, _))) = shaken else { return Err(PeerGone) };
            Stream::Tls(Box::new(stream))
        }
        (stream, _) => stream,
    };
    let meter = Meter::new(&activity);
    let mut input = Buffer::new();
    let served = {
        let serving = pin!(serve_requests(&mut stream, &mut input, &shared.name, &meter));
        timer.while_active(IDLE_TIMEOUT, &activity, serving).await
    };
    match served.unwrap_or(Err(PeerGone))? {
        Served::Whole => {}
        Served::Http2 => origin_h2::serve(stream, input, &shared.name).await,
    }
    Ok(())
}

/// What serving a connection has come to.
enum Served {
    Whole,
    /// It begins as one of HTTP/2.
    Http2,
}

async fn serve_requests(
    stream: &mut Stream,
    input: &mut Buffer,
    name: &str,
    meter: &Meter<'_>,
) -> Result<Served, PeerGone> {
    let (mut read, mut write) = stream.split();
    let mut is_first = true;
    loop {
        let length = match read_head(&mut read, input, Scan::request(), &LIMITS, meter).await {
            Ok(length) => length,
            Err(Kind::Rejected(reject)) => return refuse(&mut write, reject, meter).await,
            Err(_) => return Err(PeerGone),
        };
        let mut asked = match Asked::read(&input.filled()[..length], name) {
            Ok(asked) => asked,
            Err(_) if is_first && PREFACE.starts_with(&input.filled()[..length]) => {
                return Ok(Served::Http2);
            }
            Err(reject) => return refuse(&mut write, reject, meter).await,
        };
        is_first = false;
        input.consume(length);
        if asked.expects_continue {
            meter.write(&mut write, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while !asked.body.has_ended() {
            match asked.body.admit(input, usize::MAX) {
                Ok(0) if asked.body.has_ended() => {}
                Ok(0) if meter.read(&mut read, input).await? == 0 => return Err(PeerGone),
                Ok(count) => asked.body.pass(input, count),
                Err(reject) => return refuse(&mut write, reject, meter).await,
            }
        }
        asked.spec.wait(meter).await;
        asked.answer(&mut write, meter).await?;
        if !asked.persists {
            return write.shutdown().await.map(|()| Served::Whole).map_err(|_| PeerGone);
        }
    }
}

async fn refuse(
    write: &mut WriteHalf<'_>,
    reject: Reject,
    meter: &Meter<'_>,
) -> Result<Served, PeerGone> {
    let mut out = Buffer::new();
    let reply = Reply::new(reject.status(), reject.phrase());
    let date = HttpDate::of(since_1970().as_secs());
    let _all = reply.write(&Edits::new(), Method::Other, ConnectionHeader::Close, date, &mut out);
    meter.write(write, out.filled()).await?;
    write.shutdown().await.map(|()| Served::Whole).map_err(|_| PeerGone)
}

/// A request of HTTP/1.1, and the response that it asks for.
struct Asked {
    spec: AnswerSpec,
    version: Version,
    body: Body,
    expects_continue: bool,
    persists: bool,
}

impl Asked {
    fn read(bytes: &[u8], name: &str) -> Result<Self, Reject> {
        let mut storage = Storage::new();
        let head = parse::request(bytes, &LIMITS, &mut storage)?;
        Ok(Self {
            spec: AnswerSpec::of(&head, name, || bytes.to_vec()),
            version: head.version,
            body: Body::new(framing::request(&head)?, Emit::Data),
            expects_continue: expects_continue(&head),
            persists: Options::of(&head.fields).persists(head.version),
        })
    }

    async fn answer(&self, write: &mut WriteHalf<'_>, meter: &Meter<'_>) -> Result<(), PeerGone> {
        let AnswerSpec { status, .. } = self.spec;
        let bytes = self.spec.length();
        let reason = if status == 200 { "OK" } else { "As Requested" };
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {bytes}\r\n") };
        let connection = match (self.persists, self.version) {
            (false, _) => "Connection: close\r\n",
            (true, Version::Http10) => "Connection: keep-alive\r\n",
            (true, Version::Http11 | Version::Http2) => "",
        };
        let mut out = Buffer::new();
        out.append(format!("HTTP/1.1 {status} {reason}\r\n{length}{connection}\r\n").as_bytes());
        let (filler, mut left) = self.spec.body();
        left -= out.append(&filler[..left.min(filler.len())]);
        meter.write(write, out.filled()).await?;
        while left > 0 {
            let piece = &filler[..left.min(filler.len())];
            meter.write(write, piece).await?;
            left -= piece.len();
        }
        Ok(())
    }
}
