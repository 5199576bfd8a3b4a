//! One try at one endpoint: the connection it goes over, and the head of its answer.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::client::{WaitEnded, WaitingClient};
use super::record::AttemptTarget;
use super::secure::secure;
use crate::address::Address;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Progress, Stage};
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::{self, Connection};
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::{self, Options};
use crate::http::h1::scan::Limits;
use crate::http::h2;
use crate::http::h2::hpack::Encoder;
use crate::http::message::date::HttpDate;
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{Method, ResponseHead, Storage, Version};
use crate::http::message::redirect::Nowhere;
use crate::http::message::via::Via;
use crate::net::connect::connect;
use crate::net::deadline::Timer;
use crate::net::delivery::{CloseKind, DeliveryVerdict};
use crate::net::descriptors;
use crate::net::pool::{Ending, Lease};
use crate::net::socket::Unasked;
use crate::net::stream::Stream;
use crate::plan::context::WorkerContext;
use crate::proxy_protocol::{self, Header};
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::tls_fault::TlsFault;

/// Which connections may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An idle one, if there is any.
    Any,
    /// A new one: an attempt after a failure must not fail for the same reason again, and a trial
    /// must not be spent on a connection from before.
    New,
}

/// Leases an idle connection or opens one for requests. One that begins with `header` speaks
/// for one client only, and so is never shared.
pub async fn lease(
    context: &WorkerContext,
    target: AttemptTarget,
    freshness: Freshness,
    header: Option<Header>,
    client: &mut WaitingClient<'_>,
) -> Result<Lease, Fault> {
    let freshness = if header.is_some() { Freshness::New } else { freshness };
    if freshness == Freshness::Any {
        let pool = context.pool(target.upstream, target.endpoint);
        let idle = pool.borrow_mut().lease(target.started);
        if let Some(lease) = idle {
            context.metrics.reuses.add(1);
            context.counts(target.upstream, target.endpoint).reuses.add(1);
            return Ok(lease);
        }
    }
    let lease = open(context, target, header, client).await?;
    let fault = |kind| Err(Fault::upstream(Stage::ResponseHead, kind));
    match lease.stream.unasked() {
        Unasked::Nothing => Ok(lease),
        Unasked::Bytes => fault(Kind::Rejected(Reject::UnaskedResponse)),
        Unasked::End => fault(Kind::Closed),
    }
}

/// How long it may take to learn what has become of a request whose connection has ended: a round
/// trip, and then some. Longer than that its client waits for nothing.
const VERDICT_TIMEOUT: Duration = Duration::from_millis(250);

/// Between two looks.
const VERDICT_INTERVAL: Duration = Duration::from_millis(1);

/// How far a request got that was written after the first `carried` bytes of a connection, when that
/// ended without any byte of an answer.
pub async fn progress_of_unanswered(
    stream: &Stream,
    carried: u64,
    parting: CloseKind,
    timer: &mut Timer,
) -> Progress {
    let looking = async {
        loop {
            match stream.delivery().map(|delivery| delivery.verdict(carried, parting)) {
                Some(DeliveryVerdict::Undelivered) => return Progress::Unsent,
                Some(DeliveryVerdict::Open) => sleep(VERDICT_INTERVAL).await,
                Some(DeliveryVerdict::Unknown) | None => return Progress::Unanswered,
            }
        }
    };
    timer.within(VERDICT_TIMEOUT, pin!(looking)).await.unwrap_or(Progress::Unanswered)
}

/// Opens a connection for this client, and sends `header` on it if the endpoint wants to be told.
pub async fn open(
    context: &WorkerContext,
    target: AttemptTarget,
    header: Option<Header>,
    client: &mut WaitingClient<'_>,
) -> Result<Lease, Fault> {
    let upstream = context.plan.upstream(target.upstream);
    let endpoint = upstream.endpoint(target.endpoint);
    let awaited = Cell::new(Awaited::Acceptance);
    let handshakes = &context.metrics.upstream_handshakes;
    let fault = |kind| Fault::upstream(Stage::Connect, kind);
    let broken = |error: io::Error| fault(Kind::of(&error)).caused_by(&error);
    let opening = pin!(async {
        let stream = dial(context, &endpoint.address, &awaited).await.map_err(broken)?;
        let mut lease = Lease::new(stream);
        if let (Some(version), Some(header)) = (upstream.announces, header) {
            lease.carried = announce(version, header, &mut lease.stream).await.map_err(broken)?;
        }
        if let Some(tls) = &endpoint.tls {
            awaited.set(Awaited::Handshake);
            let Lease { stream, carried, .. } = lease;
            // Boxed: those without TLS would have room for it.
            let securing = secure(stream, carried, (endpoint, tls), Some(handshakes));
            lease = Lease::new(Box::pin(securing).await?);
            lease.carried = lease.stream.carried_after(0, 0);
        }
        Ok(lease)
    });
    let opened = client.wait_for(upstream.timeouts.connect, opening).await;
    let lease = opened.map_err(|ended| match (ended, awaited.get()) {
        (WaitEnded::ClientLeft(kind), _) => Fault::client(Stage::Connect, kind),
        (WaitEnded::TimedOut, Awaited::Acceptance) => fault(Kind::TimedOut),
        (WaitEnded::TimedOut, Awaited::Handshake) => {
            handshakes.failed[TlsFault::TimedOut.index()].add(1);
            fault(Kind::Tls(TlsFault::TimedOut))
        }
        (WaitEnded::TimedOut, Awaited::Descriptor) => {
            fault(Kind::Exhausted).caused_by(&descriptors::exhausted())
        }
    })??;
    context.metrics.connects.add(1);
    context.counts(target.upstream, target.endpoint).connects.add(1);
    Ok(lease)
}

/// What opening a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The endpoint accepts it.
    Acceptance,
    /// There is a descriptor for it.
    Descriptor,
    /// TLS is agreed on.
    Handshake,
}

/// Between two tries to get a descriptor.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// Connects to an endpoint. While there is no descriptor for it, idle connections are closed, and one
/// that others give back is waited for; `awaited` says so meanwhile.
async fn dial(
    context: &WorkerContext,
    address: &Address,
    awaited: &Cell<Awaited>,
) -> io::Result<Stream> {
    match connect(address).await {
        Err(error) if descriptors::are_exhausted(&error) => {}
        dialled => return dialled,
    }
    awaited.set(Awaited::Descriptor);
    // Boxed: it is rare, and each request would have room for it.
    let waiting = async {
        loop {
            context.shed();
            descriptors::ask();
            match connect(address).await {
                Err(error) if descriptors::are_exhausted(&error) => sleep(ROOM_INTERVAL).await,
                dialled => return dialled,
            }
        }
    };
    Box::pin(waiting).await.inspect(|_| awaited.set(Awaited::Acceptance))
}

/// Writes the PROXY header; returns how many bytes that took.
pub async fn announce(
    version: proxy_protocol::Version,
    header: Header,
    stream: &mut Stream,
) -> io::Result<u64> {
    let mut out = Buffer::new();
    proxy_protocol::write(version, header, &mut out);
    let count = out.len();
    let (_, mut write) = stream.split();
    while !out.is_empty() {
        match write.write(out.filled()).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => out.consume(written),
        }
    }
    Ok(count as u64)
}

/// What an answer needs to know of the request it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct RequestTraits {
    /// Its method.
    pub method: Method,
    /// Its version: what the client understands.
    pub version: Version,
    /// Whether it asked for another protocol.
    pub upgrade: bool,
    /// Whether its client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects: bool,
    /// Whether the client's connection may go on after the answer, as far as the request goes.
    pub persists: bool,
    /// Our own answer, if it goes no further.
    pub answered_here: Option<OwnAnswer>,
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// Max-Forwards says so; with this status.
    MaxForwards(u16),
    /// Its client is sent to https.
    ToHttps,
    /// Its client would be, but there is nowhere to send it to.
    Nowhere(Nowhere),
}

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Another one follows (1xx).
    Interim,
    /// The answer.
    Final,
    /// The last one in HTTP: a tunnel follows (101).
    Upgrade,
}

/// The head of a response, understood.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What follows it.
    pub finality: Finality,
    /// Its body.
    pub body: Body,
    /// Whether the endpoint's connection may be used again after it.
    pub upstream_persists: bool,
    /// How sure it is that nothing follows it there.
    pub ending: Ending,
    /// Whether the client's connection may.
    pub client_persists: bool,
    /// Whether the client can only tell the end of the body by that of its connection.
    pub ends_with_connection: bool,
}

/// What the head of a response is held to, and what is added to it.
#[derive(Clone, Copy)]
pub struct AnswerRules<'a> {
    /// What it may cost.
    pub limits: &'a Limits,
    /// What Date says of one that has none (RFC 9110 §6.6.1).
    pub date: &'a Cell<HttpDate>,
    /// What is added to Via.
    pub via: Option<&'a Via>,
}

impl<'a> AnswerRules<'a> {
    /// Those in force.
    pub fn of(context: &'a WorkerContext) -> Self {
        Self { limits: &context.plan.limits, date: context.date(), via: context.plan.via.as_ref() }
    }
}

/// Where the head of an answer is written again, as the client's protocol has it.
pub enum HeadOut<'a> {
    /// As bytes of HTTP/1.1.
    H1(&'a mut Buffer),
    /// As a header block.
    H2(&'a mut Vec<u8>),
}

/// Parses the head at the front of `input`, consumes it, and writes it again to `out`.
pub fn read_answer(
    input: &mut Buffer,
    length: usize,
    traits: RequestTraits,
    rules: &AnswerRules<'_>,
    out: HeadOut<'_>,
) -> Result<Answer, Reject> {
    let mut storage = Storage::new();
    let head = parse::response(&input.filled()[..length], rules.limits, &mut storage)?;
    let framing = framing::response(&head, traits.method)?;
    let options = Options::of(&head.fields);
    let agreed = || persistence::names_protocol(&head.fields, options, head.version);
    let finality = match head.status {
        101 if traits.upgrade && agreed() => Finality::Upgrade,
        101 => return Err(Reject::UnaskedUpgrade),
        _ if head.is_interim() => Finality::Interim,
        _ => Finality::Final,
    };
    let old_client = traits.version == Version::Http10;
    let emit = match (traits.version, options.names_fields()) {
        (Version::Http10, _) | (Version::Http2, true) => Emit::Data,
        (Version::Http11, true) => Emit::BareChunks,
        (Version::Http11, false) => Emit::Chunks,
        (Version::Http2, false) => Emit::Frames,
    };
    let client_framing =
        if framing == Framing::Chunked && old_client { Framing::UntilClose } else { framing };
    let ends_with_connection =
        client_framing == Framing::UntilClose && traits.version != Version::Http2;
    let client_persists = traits.persists && !ends_with_connection;
    let connection = match finality {
        Finality::Upgrade => Connection::Upgrade,
        Finality::Final if !client_persists => Connection::Close,
        Finality::Final if old_client => Connection::KeepAlive,
        Finality::Interim | Finality::Final => Connection::Implied,
    };
    // Before the edits, which borrow it.
    let date;
    let mut edits = Edits::new();
    if finality == Finality::Final && lacks_date(&head, options) {
        date = rules.date.get();
        edits.set(EditName::DATE, Value::checked(&date));
    }
    if let Some(via) = rules.via.filter(|_| finality != Finality::Interim) {
        via.edit_response(&mut edits, &head);
    }
    match out {
        HeadOut::H1(out) => {
            encode::response(&head, options, &edits, client_framing, connection, out)?;
        }
        HeadOut::H2(block) => {
            let encoder = &mut Encoder::continued();
            h2::encode::response(&head, options, &edits, encoder, block);
        }
    }
    let answer = Answer {
        status: head.status,
        finality,
        body: Body::new(framing, emit),
        ending: ending(&head, framing, traits.method),
        upstream_persists: options.persists(head.version) && framing != Framing::UntilClose,
        client_persists,
        ends_with_connection,
    };
    input.consume(length);
    Ok(answer)
}

/// Whether there is no Date, or one that its sender means for us only.
fn lacks_date(head: &ResponseHead<'_, '_>, options: Options) -> bool {
    !head.fields.has(Name::Date) || options.names(&head.fields, "date")
}

fn ending(head: &ResponseHead<'_, '_>, framing: Framing, to: Method) -> Ending {
    let announced = to == Method::Head
        || framing::announced_length(head).is_some_and(|length| length > 0)
        || head.fields.has(Name::TransferEncoding);
    if framing == Framing::Empty && announced { Ending::Announced } else { Ending::Framed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    const ASKED: RequestTraits = RequestTraits {
        method: Method::Idempotent,
        version: Version::Http11,
        upgrade: false,
        expects: false,
        persists: true,
        answered_here: None,
    };

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    fn answer(bytes: &str, traits: RequestTraits) -> Result<(Answer, String), Reject> {
        let (mut input, mut out) = (Buffer::new(), Buffer::new());
        input.append(bytes.as_bytes());
        let rules =
            AnswerRules { limits: &LIMITS, date: &Cell::new(HttpDate::of(784_111_777)), via: None };
        let head = HeadOut::H1(&mut out);
        let answer = read_answer(&mut input, bytes.len(), traits, &rules, head)?;
        Ok((answer, String::from_utf8_lossy(out.filled()).into_owned()))
    }

    #[test]
    fn a_final_response_without_a_date_is_given_one() {
        let traits = RequestTraits { upgrade: true, ..ASKED };
        let theirs = "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
        let named = &format!("{theirs}Connection: date\r\n");
        let switch = "Upgrade: x\r\nConnection: upgrade\r\n";
        for (status, fields, expected) in [
            ("200 OK", "A: b\r\n", Some(DATE)),
            ("304 A", "", Some(DATE)),
            ("500 A", theirs, Some(theirs)),
            ("200 OK", named, Some(DATE)),
            ("103 A", "", None),
            ("101 A", switch, None),
        ] {
            let (_, head) = answer(&format!("HTTP/1.1 {status}\r\n{fields}\r\n"), traits).unwrap();
            let dates: Vec<_> =
                head.split_inclusive('\n').filter(|l| l.starts_with("Date")).collect();
            assert_eq!(dates, expected.as_slice(), "{status} {fields:?}");
        }
    }

    #[test]
    fn an_http_1_0_client_gets_chunks_taken_off_and_a_close() {
        let old = RequestTraits { version: Version::Http10, ..ASKED };
        let (answer, head) =
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", old).unwrap();
        assert_eq!(head, format!("HTTP/1.1 200 OK\r\n{DATE}Connection: close\r\n\r\n"));
        assert!(answer.ends_with_connection && answer.upstream_persists);
    }

    #[test]
    fn an_http_1_0_client_that_may_stay_is_told_so() {
        let old = RequestTraits { version: Version::Http10, ..ASKED };
        let (_, head) = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", old).unwrap();
        assert!(head.contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn an_unasked_101_is_refused() {
        let bytes = "HTTP/1.1 101 A\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        assert_eq!(answer(bytes, ASKED).err(), Some(Reject::UnaskedUpgrade));
        let traits = RequestTraits { upgrade: true, ..ASKED };
        assert_eq!(answer(bytes, traits).unwrap().0.finality, Finality::Upgrade);
    }

    #[test]
    fn a_101_names_a_protocol_and_never_http_2() {
        let traits = RequestTraits { upgrade: true, ..ASKED };
        let rows = [
            "HTTP/1.1 101 A\r\n\r\n",
            "HTTP/1.1 101 A\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 101 A\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 101 A\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.0 101 A\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ];
        for bytes in rows {
            assert_eq!(answer(bytes, traits).err(), Some(Reject::UnaskedUpgrade), "{bytes:?}");
        }
    }

    #[test]
    fn after_head_a_connection_rests_whatever_was_announced() {
        let bytes = "HTTP/1.1 200 OK\r\n\r\n";
        let to_head = RequestTraits { method: Method::Head, ..ASKED };
        assert_eq!(answer(bytes, to_head).unwrap().0.ending, Ending::Announced);
        assert_eq!(answer(bytes, ASKED).unwrap().0.ending, Ending::Framed);
    }

    #[test]
    fn an_endpoint_that_says_close_is_not_pooled() {
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
        ];
        for (bytes, pooled) in rows {
            assert_eq!(answer(bytes, ASKED).unwrap().0.upstream_persists, pooled, "{bytes:?}");
        }
    }
}
