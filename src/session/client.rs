//! The client's connection during an exchange, and what becomes of it afterwards.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::client_info::ClientInfo;
use super::presence::Presence;
use super::request_log::RequestLog;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::filters::calls::ClientResponse;
use crate::filters::reply::LocalReply;
use crate::filters::{Filtered, Filters};
use crate::grpc::status::Status;
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h1::reply::Reply;
use crate::http::h2;
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::hpack::Encoder;
use crate::http::message::date::HttpDate;
use crate::http::message::edits::Edits;
use crate::http::message::head::Method;
use crate::id::RouteId;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::mux_stream::{MuxStream, kind_of_abort};
use crate::net::socket::Unasked;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};
use crate::plan::context::WorkerContext;
use crate::relay::copy::{Broken, End, Meter};
use crate::relay::ends::{Sink, Source};

/// How long a client that has been answered may take to stop sending, between two bytes and in
/// all, as in nginx. Closing at once would reset the connection and could destroy the answer on its
/// way (RFC 9112 §9.6).
const LINGER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The client's side of an exchange.
pub struct ClientConnection<'a> {
    /// What it is spoken to over.
    pub side: ClientSide<'a>,
    /// Who it is.
    pub client_info: &'a ClientInfo,
    /// The timer of the session, or of the stream.
    pub timer: &'a mut Timer,
    /// Whether it is still there, during an exchange.
    pub presence: Presence,
    /// Whether its request is a call of gRPC, which is answered in its own way.
    pub is_call: bool,
    /// How that call has ended, if its client has been told.
    pub call_status: Cell<Option<Status>>,
    /// What the endpoint has reset its stream with, if that is how the last attempt has failed.
    pub endpoint_reset: Option<ErrorCode>,
}

/// What a client is spoken to over.
pub enum ClientSide<'a> {
    /// A connection that carries one exchange at a time.
    H1 {
        /// The connection.
        stream: &'a mut Stream,
        /// What has been read from it and not been used.
        input: &'a mut Buffer,
    },
    /// A stream of a connection that carries many.
    H2(&'a MuxStream),
}

impl ClientSide<'_> {
    /// The two directions.
    pub fn split(&mut self) -> (Source<'_>, Sink<'_>) {
        match self {
            Self::H1 { stream, .. } => {
                let (read, write) = stream.split();
                (Source::H1(read), Sink::H1(write))
            }
            Self::H2(stream) => (Source::H2(stream), Sink::H2(stream)),
        }
    }

    /// The two directions, and what has been read and not been used: `none`, if its protocol keeps that.
    pub fn parts<'b>(&'b mut self, none: &'b mut Buffer) -> (Source<'b>, Sink<'b>, &'b mut Buffer) {
        match self {
            Self::H1 { stream, input } => {
                let (read, write) = stream.split();
                (Source::H1(read), Sink::H1(write), input)
            }
            Self::H2(stream) => (Source::H2(stream), Sink::H2(stream), none),
        }
    }

    /// The connection below.
    pub fn connection(&self) -> &Stream {
        match self {
            Self::H1 { stream, .. } => stream,
            Self::H2(stream) => stream.mux().stream(),
        }
    }
}

/// What becomes of the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterExchange {
    /// It carries the next request.
    Reuse,
    /// It is closed; everything was read and written.
    Close,
    /// It is closed once the client has had time to read the answer: it may still be sending.
    Linger,
    /// It is reset, so that the client can tell that the answer was cut short.
    Reset,
}

impl AfterExchange {
    /// The same without waiting for the client.
    #[must_use]
    pub fn hastened(self) -> Self {
        if self == Self::Linger { Self::Close } else { self }
    }
}

/// An answer whose beginning a client has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What becomes of the client's connection if the rest does not come.
    pub next: AfterExchange,
    /// Whether its trailers can still say what has happened: it is one to a call of gRPC.
    pub takes_status: bool,
}

impl Begun {
    /// The client can tell by its connection only that something is missing.
    pub const RESET: Self = Self { next: AfterExchange::Reset, takes_status: false };
}

impl ClientConnection<'_> {
    /// Whether everything that has come was used: otherwise closing the connection would reset it,
    /// and the reset could overtake our answer. A client that `persists` no longer is not suspected
    /// of sending more: what the reactor has reported is enough.
    pub fn is_quiet(&self, persists: bool) -> bool {
        match &self.side {
            ClientSide::H1 { input, .. } if !input.is_empty() => false,
            ClientSide::H1 { stream, .. } if persists => stream.is_quiet(),
            ClientSide::H1 { stream, .. } => stream.unasked() != Unasked::Bytes,
            ClientSide::H2(_) => true,
        }
    }

    /// What waits for something on its behalf.
    pub fn waiting(&mut self) -> WaitingClient<'_> {
        let Self { side, timer, presence, .. } = self;
        let (source, _) = side.split();
        WaitingClient { source, timer, presence }
    }

    /// Sends an answer of our own, of which each step may take as long as an idle client. What filters have
    /// to say about it has been said, but for its headers.
    pub async fn send<F: Filters>(
        &mut self,
        local: &LocalReply,
        (filtered, route): (&Filtered<'_, F>, Option<RouteId>),
        (to, connection): (Method, ConnectionHeader),
        (context, request_log): (&WorkerContext, Option<&RequestLog>),
    ) -> Result<(), Kind> {
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let _sent = request_log.map(|request_log| SentGuard(request_log, &meter));
        let call = self.call(local.status());
        let (_, write) = self.side.split();
        // Before the wait: edits take room.
        let written = {
            let reply = local.as_reply();
            let mut edits = Edits::new();
            local.edit(&mut edits);
            let out = ClientResponse { status: local.status(), from: None, route, context };
            filtered.filters.response_out(&out, &mut edits, &filtered.context);
            let date = context.date().get();
            WrittenReply::write((&reply, &edits), to, (connection, date), &write, call)
        };
        let writing = pin!(written.send(write, &meter));
        match self.timer.while_active(context.plan.timeouts.idle, &activity, writing).await {
            Ok(written) => written.map_err(|broken| broken.kind)?,
            Err(Elapsed) => return Err(Kind::TimedOut),
        }
        self.call_status.set(call);
        Ok(())
    }

    /// What a call of gRPC is told with an answer of this status, if the request was one.
    fn call(&self, status: u16) -> Option<Status> {
        let of_reset = self.endpoint_reset.map(|code| Status::of_reset(code as u32));
        self.is_call.then(|| of_reset.unwrap_or(Status::of_http(status)))
    }
}

/// An answer of our own, as its client's protocol has it.
enum WrittenReply<'a> {
    /// Its head and the beginning of its body, and the rest of that.
    H1(Buffer, &'a [u8]),
    /// Its head as a block, and its body.
    H2(Vec<u8>, Vec<u8>),
}

impl<'a> WrittenReply<'a> {
    fn write(
        (reply, edits): (&Reply<'a>, &Edits<'_>),
        to: Method,
        (connection, date): (ConnectionHeader, HttpDate),
        write: &Sink<'_>,
        call: Option<Status>,
    ) -> Self {
        if let Sink::H1(_) = write {
            let mut out = Buffer::new();
            let rest = reply.write(edits, to, connection, date, &mut out);
            return Self::H1(out, rest);
        }
        let (mut block, mut body) = (Vec::new(), Vec::new());
        let encoder = &mut Encoder::continued();
        let edited = (reply, edits);
        match call {
            Some(status) => {
                h2::encode::reply_to_call(edited, status, &date, encoder, &mut block);
            }
            None => h2::encode::reply(edited, to, &date, encoder, &mut block, &mut body),
        }
        Self::H2(block, body)
    }

    async fn send(self, write: Sink<'_>, meter: &Meter<'_>) -> Result<(), Broken> {
        match (self, write) {
            (Self::H1(out, rest), Sink::H1(mut write)) => {
                meter.write(&mut write, out.filled()).await?;
                if rest.is_empty() {
                    return Ok(());
                }
                meter.write(&mut write, rest).await
            }
            (Self::H2(block, body), Sink::H2(stream)) => {
                let encode = |_: &mut Encoder, out: &mut Vec<u8>| out.extend_from_slice(&block);
                let sent = stream.send_head(body.is_empty(), encode);
                sent.map_err(|abort| Broken { end: End::Sink, kind: kind_of_abort(abort) })?;
                meter.sent_head(block.len());
                if body.is_empty() {
                    return Ok(());
                }
                meter.send(stream, &body, true).await
            }
            // It was written for this very client.
            (Self::H1(..), Sink::H2(_)) | (Self::H2(..), Sink::H1(_)) => Ok(()),
        }
    }
}

/// A client that waits for something.
pub struct WaitingClient<'a> {
    /// Where it would leave.
    pub source: Source<'a>,
    /// Its timer.
    pub timer: &'a mut Timer,
    /// Whether it is still there.
    pub presence: &'a Presence,
}

impl WaitingClient<'_> {
    /// Does `work`, for which the client waits, until it has ended, `limit` from the first wait has
    /// passed, or the client has left.
    pub async fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, WaitEnded> {
        let Self { source, timer, presence } = self;
        let mut left = pin!(presence.left(*source));
        let either = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => left.as_mut().poll(cx).map(|kind| Err(WaitEnded::ClientLeft(kind))),
        });
        let end = Cell::new(None);
        let deadline = || {
            let due = end.get().unwrap_or_else(|| Instant::now() + limit);
            end.set(Some(due));
            presence.end().map_or(due, |(at, _)| at.min(due))
        };
        let waited = timer.until(deadline, either).await;
        waited.unwrap_or_else(|Elapsed| {
            Err(match presence.end() {
                Some((at, kind)) if Some(at) <= end.get() => WaitEnded::ClientLeft(kind),
                _ => WaitEnded::TimedOut,
            })
        })
    }
}

/// Why a wait that a client waits for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnded {
    /// Its deadline has passed.
    TimedOut,
    /// The client has left, in this way.
    ClientLeft(Kind),
}

/// Logs how much was sent when it is dropped, even if the task is cancelled.
struct SentGuard<'a>(&'a RequestLog, &'a Meter<'a>);

impl Drop for SentGuard<'_> {
    fn drop(&mut self) {
        self.0.gave(self.1.bytes());
    }
}

/// Ends a connection of which the client has read everything.
pub async fn close((_, mut write): (ReadHalf<'_>, WriteHalf<'_>), timer: &mut Timer) {
    // Whether the client takes even that makes no difference.
    let _ = timer.within(LINGER.0, pin!(write.shutdown())).await;
}

/// Reads until the client has seen our end of the connection, so that it reads the answer first.
pub async fn linger((mut read, mut write): (ReadHalf<'_>, WriteHalf<'_>), timer: &mut Timer) {
    let (mut waste, activity) = (Buffer::new(), Activity::new());
    let end = activity.last() + LINGER.1;
    let discarding = pin!(async {
        if write.shutdown().await.is_err() {
            return;
        }
        while matches!(read.read(&mut waste).await, Ok(1..)) {
            waste.clear();
            activity.touch();
        }
    });
    // Whether the client stopped in time makes no difference now.
    let _ = timer.until(|| end.min(activity.last() + LINGER.0), discarding).await;
}
