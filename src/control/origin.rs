//! A small, fast origin: something to balance over, for the demo, benchmarks and trying out.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::address::Address;
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::config::value;
use crate::http::chunked::Emit;
use crate::http::field::{self, Name};
use crate::http::framing;
use crate::http::head::{self, Limits, Method, RequestHead, Scan, Storage};
use crate::http::persistence::Options;
use crate::net::deadline::Activity;
use crate::net::listen::{self, Listener};
use crate::net::stream::{ReadHalf, Stream};
use crate::relay::body::Body;
use crate::relay::copy::Meter;

const LIMITS: Limits = Limits { head_bytes_max: 32 * 1024, fields_max: 256 };

/// The largest answer it can be asked for: more than any test needs, and still not endless.
const BYTES_MAX: usize = 1 << 40;

/// The longest delay it can be asked for.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// What it answers large requests with.
static FILLER: [u8; BUFFER_BYTES] = [b'.'; BUFFER_BYTES];

/// What a request asks for.
struct Order {
    status: u16,
    delay: Option<Duration>,
    /// Length of the answer, if not that of `text`.
    bytes: Option<usize>,
    text: Vec<u8>,
    body: Body,
    expects_continue: bool,
    head_only: bool,
    persists: bool,
}

/// Starts an origin on threads of its own and says where it listens. It runs until the process
/// ends.
pub fn start(address: &Address, name: &str, threads: NonZeroUsize) -> io::Result<Address> {
    let bound = listen::bind(address, threads.get())?;
    for socket in bound.sockets {
        let name = name.to_owned();
        thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(error) = run(socket, &name) {
                log::error!("origin {name}: {error}");
            }
        })?;
    }
    Ok(bound.address)
}

fn run(socket: Socket, name: &str) -> io::Result<()> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let listener = Listener::register(socket)?;
        let name: Rc<str> = name.into();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let name = Rc::clone(&name);
                    spawn_local(async move {
                        // An origin for trials need not say why a client left.
                        let _ = serve(stream, &name).await;
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

async fn serve(mut stream: Stream, name: &str) -> Result<(), ()> {
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut read, mut write) = stream.split();
    let mut input = Buffer::new();
    loop {
        let mut scan = Scan::request();
        let length = loop {
            match scan.advance(input.filled(), &LIMITS).map_err(|_| ())? {
                Some(length) => break length,
                None => more(&meter, &mut read, &mut input).await?,
            }
        };
        let mut order = order(&input.filled()[..length], name)?;
        input.consume(length);
        if order.expects_continue {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            meter.write(&mut write, interim).await.map_err(|_| ())?;
        }
        while !order.body.has_ended() {
            match order.body.admit(&mut input, usize::MAX).map_err(|_| ())? {
                0 if order.body.has_ended() => {}
                0 => more(&meter, &mut read, &mut input).await?,
                count => input.consume(count),
            }
        }
        if let Some(delay) = order.delay {
            sleep(delay).await;
        }
        let bytes = order.bytes.unwrap_or(order.text.len());
        let close = if order.persists { "" } else { "Connection: close\r\n" };
        let status = order.status;
        let mut out = Buffer::new();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Length: {bytes}\r\n{close}\r\n",
            if status == 200 { "OK" } else { "As Asked" }
        );
        out.append(head.as_bytes());
        let mut left = if order.head_only { 0 } else { bytes };
        let filler = if order.bytes.is_some() { &FILLER[..] } else { &order.text };
        left -= out.append(&filler[..left.min(filler.len())]);
        meter.write(&mut write, out.filled()).await.map_err(|_| ())?;
        while left > 0 {
            let piece = &FILLER[..left.min(FILLER.len())];
            meter.write(&mut write, piece).await.map_err(|_| ())?;
            left -= piece.len();
        }
        if !order.persists {
            return write.shutdown().await.map_err(|_| ());
        }
    }
}

async fn more(meter: &Meter<'_>, read: &mut ReadHalf<'_>, input: &mut Buffer) -> Result<(), ()> {
    match meter.read(read, input).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(()),
    }
}

fn order(bytes: &[u8], name: &str) -> Result<Order, ()> {
    let mut storage = Storage::new();
    let head = head::request(bytes, &LIMITS, &mut storage).map_err(|_| ())?;
    let framing = framing::request(&head).map_err(|_| ())?;
    let path = head.path();
    let echo = path == "/echo" || path.ends_with("/echo");
    let text = if echo { bytes.to_vec() } else { format!("{name} {path}\n").into_bytes() };
    let asked = |key: &str| query(&head, key);
    Ok(Order {
        status: asked("status").and_then(|text| value::number(text, 200, 599).ok()).unwrap_or(200),
        delay: asked("delay").and_then(|text| value::duration(text).ok()).map(|d| d.min(DELAY_MAX)),
        bytes: asked("bytes").and_then(|text| value::size(text).ok()).map(|n| n.min(BYTES_MAX)),
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
    fn the_query_says_what_to_answer() {
        let bytes = b"GET /a?bytes=1k&status=404&delay=5ms HTTP/1.1\r\nHost: a\r\n\r\n";
        let order = order(bytes, "o").unwrap();
        assert_eq!((order.bytes, order.status), (Some(1024), 404));
        assert_eq!(order.delay, Some(Duration::from_millis(5)));
    }
}
