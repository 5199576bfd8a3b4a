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

use crate::address::Address;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::config::value;
use crate::fault::Kind;
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::Connection;
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::reply::Reply;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::date::HttpDate;
use crate::http::message::field::{self, Name};
use crate::http::message::head::{Method, RequestHead, Storage, Version};
use crate::net::deadline::{Activity, Timer};
use crate::net::listen::{self, ListeningSocket};
use crate::net::stream::{Stream, WriteHalf};
use crate::net::tls::handshake::{self, HandshakeTurns};
use crate::net::wall_clock::since_1970;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::{Broken, Meter};
use crate::relay::head::read_head;

const LIMITS: Limits = Limits { head_bytes_max: 32 * 1024, fields_max: 256 };

/// How long it waits for a client to send or read anything.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response that can be requested: more than any test needs.
const BYTES_MAX: usize = 1 << 40;

/// The longest delay that can be requested.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// The contents of large responses.
static FILLER: [u8; BUFFER_BYTES] = [b'.'; BUFFER_BYTES];

/// The client has disconnected or timed out.
struct PeerGone;

impl From<Broken> for PeerGone {
    fn from(_: Broken) -> Self {
        Self
    }
}

/// The response that a request asks for.
struct AnswerSpec {
    version: Version,
    status: u16,
    delay: Duration,
    /// The length of the response body, if not that of `text`.
    bytes: Option<usize>,
    text: Vec<u8>,
    body: Body,
    expects_continue: bool,
    head_only: bool,
    persists: bool,
}

/// Starts an origin on its own threads and returns the address it listens on. It speaks TLS if it has
/// something to show its clients. It runs until the process exits.
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
struct Shared {
    name: String,
    tls: Option<Arc<ServerConfig>>,
    turns: HandshakeTurns,
}

fn run(socket: Socket, name: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let listener = ListeningSocket::register(socket)?;
        let turns = HandshakeTurns::default();
        let shared = Rc::new(Shared { name: name.to_owned(), tls, turns });
        loop {
            match listener.accept().await {
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

async fn serve(stream: Stream, shared: &Shared) -> Result<(), PeerGone> {
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
    let serving = serve_requests(&mut stream, &shared.name, &meter);
    timer.while_active(IDLE_TIMEOUT, &activity, pin!(serving)).await.unwrap_or(Err(PeerGone))
}

async fn serve_requests(
    stream: &mut Stream,
    name: &str,
    meter: &Meter<'_>,
) -> Result<(), PeerGone> {
    let (mut read, mut write) = stream.split();
    let mut input = Buffer::new();
    loop {
        let length = match read_head(&mut read, &mut input, Scan::request(), &LIMITS, meter).await {
            Ok(length) => length,
            Err(Kind::Rejected(reject)) => return refuse(&mut write, reject, meter).await,
            Err(_) => return Err(PeerGone),
        };
        let mut spec = match parse_spec(&input.filled()[..length], name) {
            Ok(spec) => spec,
            Err(reject) => return refuse(&mut write, reject, meter).await,
        };
        input.consume(length);
        if spec.expects_continue {
            meter.write(&mut write, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while !spec.body.has_ended() {
            match spec.body.admit(&mut input, usize::MAX) {
                Ok(0) if spec.body.has_ended() => {}
                Ok(0) if meter.read(&mut read, &mut input).await? == 0 => return Err(PeerGone),
                Ok(count) => spec.body.pass(&mut input, count),
                Err(reject) => return refuse(&mut write, reject, meter).await,
            }
        }
        // In steps, so that a long delay does not count as an idle client.
        let mut delay = spec.delay;
        while !delay.is_zero() {
            let step = delay.min(IDLE_TIMEOUT / 2);
            sleep(step).await;
            meter.touch();
            delay -= step;
        }
        spec.answer(&mut write, meter).await?;
        if !spec.persists {
            return write.shutdown().await.map_err(|_| PeerGone);
        }
    }
}

async fn refuse(
    write: &mut WriteHalf<'_>,
    reject: Reject,
    meter: &Meter<'_>,
) -> Result<(), PeerGone> {
    let mut out = Buffer::new();
    let reply = Reply::new(reject.status(), reject.phrase());
    let date = HttpDate::of(since_1970().as_secs());
    reply.write(Method::Other, Connection::Close, date, &mut out);
    meter.write(write, out.filled()).await?;
    write.shutdown().await.map_err(|_| PeerGone)
}

impl AnswerSpec {
    async fn answer(&self, write: &mut WriteHalf<'_>, meter: &Meter<'_>) -> Result<(), PeerGone> {
        let (status, bytes) = (self.status, self.bytes.unwrap_or(self.text.len()));
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
        let bodiless = self.head_only || status == 204 || status == 304;
        let mut left = if bodiless { 0 } else { bytes };
        let filler = if self.bytes.is_some() { &FILLER[..] } else { &self.text };
        left -= out.append(&filler[..left.min(filler.len())]);
        meter.write(write, out.filled()).await?;
        while left > 0 {
            let piece = &FILLER[..left.min(FILLER.len())];
            meter.write(write, piece).await?;
            left -= piece.len();
        }
        Ok(())
    }
}

fn parse_spec(bytes: &[u8], name: &str) -> Result<AnswerSpec, Reject> {
    let mut storage = Storage::new();
    let head = parse::request(bytes, &LIMITS, &mut storage)?;
    let framing = framing::request(&head)?;
    let path = head.path();
    let echo = path == "/echo" || path.ends_with("/echo");
    let text = if echo { bytes.to_vec() } else { format!("{name} {path}\n").into_bytes() };
    let param = |key: &str| query(&head, key);
    Ok(AnswerSpec {
        version: head.version,
        status: param("status").and_then(|text| value::number(text, 200, 599).ok()).unwrap_or(200),
        delay: param("delay")
            .and_then(|text| value::duration(text).ok())
            .map_or(Duration::ZERO, |delay| delay.min(DELAY_MAX)),
        bytes: param("bytes").and_then(|text| value::size(text).ok()).map(|n| n.min(BYTES_MAX)),
        text,
        body: Body::new(framing, Emit::Data),
        expects_continue: head
            .fields
            .values(Name::Expect)
            .flat_map(field::list)
            .any(|expected| expected.eq_ignore_ascii_case(b"100-continue")),
        head_only: head.semantics == Method::Head,
        persists: Options::of(&head.fields).persists(head.version),
    })
}

/// The value of `key` in the query of the target.
fn query<'b>(head: &RequestHead<'_, 'b>, key: &str) -> Option<&'b str> {
    let (_, query) = head.target.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_selects_the_response() {
        let bytes = b"GET /a?bytes=1k&status=404&delay=5ms HTTP/1.1\r\nHost: a\r\n\r\n";
        let spec = parse_spec(bytes, "o").unwrap();
        assert_eq!((spec.bytes, spec.status), (Some(1024), 404));
        assert_eq!(spec.delay, Duration::from_millis(5));
    }
}
