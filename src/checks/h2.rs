//! A check over HTTP/2: one request, on a connection of its own.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::body::BodySearch;
use super::failure::CheckFailure;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::grpc::health::{self, ServingStatus};
use crate::grpc::status::Status;
use crate::http::h1::scan::Limits;
use crate::http::h2::connection::{Connection, Role, StreamKey};
use crate::http::h2::flow::WINDOW_BYTES;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::limits::ConnectionLimits;
use crate::http::h2::response;
use crate::http::h2::section::SectionLimits;
use crate::http::h2::sending::Available;
use crate::http::message::head::Storage;
use crate::net::deadline::Activity;
use crate::net::stream::Stream;
use crate::reject::Reject;
use crate::relay::copy::Meter;
use crate::upstream::check::HttpCheck;
use crate::upstream::endpoint::Scheme;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'a> {
    /// A request.
    Request(&'a HttpCheck),
    /// The health of this service, or of the whole server if that is empty, within so much time.
    Health(&'a str, Duration),
}

/// What is asked, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckRequest<'a> {
    pub(super) question: Question<'a>,
    pub(super) scheme: Scheme,
    pub(super) authority: &'a str,
}

/// Asks, and says what was wrong with the answer if it was not a good one. The caller holds the deadline; `late`
/// says what is wrong if it takes any longer.
pub(super) async fn ask(
    stream: &mut Stream,
    request: &CheckRequest<'_>,
    limits: &Limits,
    late: &Cell<Fault>,
) -> Result<(), CheckFailure> {
    let fault = |stage| move |kind| Fault::upstream(stage, kind);
    let body = match request.question {
        Question::Request(_) => Vec::new(),
        Question::Health(service, _) => health::request(service).unwrap_or_default(),
    };
    let cost = connection_limits(limits);
    let mut connection = Connection::new(Role::Client, cost, 1, Rc::default());
    let write = |encoder: &mut Encoder, out: &mut Vec<u8>| request.encode(encoder, out);
    let key = connection.open_stream(false, body.is_empty(), write);
    // A connection that has just been opened has room for one.
    let key = key.ok_or_else(|| fault(Stage::Request)(Kind::Broken))?;
    connection.send_data(key, &body, true);
    let search = match request.question {
        Question::Request(asked) => asked.body.as_deref().map(BodySearch::new),
        Question::Health(..) => None,
    };
    let (status, said, body) = (None, None, Vec::new());
    let mut answer = CheckAnswer { connection, key, status, said, body, search };
    late.set(fault(Stage::Connect)(Kind::NoSettings));
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut read, mut write) = stream.split();
    let (mut input, mut stage) = (Buffer::new(), Stage::Request);
    loop {
        let output = answer.connection.output();
        while !output.is_empty() {
            let bytes = output.front();
            let sent = meter.write(&mut write, bytes).await;
            sent.map_err(|broken| fault(stage)(broken.kind))?;
            let count = bytes.len();
            output.consume(count);
        }
        stage = Stage::ResponseHead;
        if let Some(outcome) = answer.judge(request.question, limits) {
            return outcome;
        }
        let count = meter.read(&mut read, &mut input).await;
        if count.map_err(|broken| fault(stage)(broken.kind))? == 0 {
            return Err(fault(stage)(Kind::Closed).into());
        }
        answer.receive(&mut input).map_err(fault(stage))?;
        if answer.connection.is_open() {
            late.set(fault(stage)(Kind::TimedOut));
        }
    }
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    let section = SectionLimits::of_heads(limits);
    ConnectionLimits { streams_max: 0, window_bytes: WINDOW_BYTES, section }
}

impl CheckRequest<'_> {
    fn encode(&self, encoder: &Encoder, out: &mut Vec<u8>) {
        let mut field = |name: &str, value: &str| {
            encoder.field(name.as_bytes(), value.as_bytes(), out);
        };
        let (method, path) = match self.question {
            Question::Request(asked) => (&*asked.method, &*asked.path),
            Question::Health(..) => ("POST", health::PATH),
        };
        field(":method", method);
        field(":scheme", if self.scheme.is_tls() { "https" } else { "http" });
        field(":authority", self.authority);
        field(":path", path);
        if let Question::Health(_, limit) = self.question {
            field("te", "trailers");
            // At most eight digits (PROTOCOL-HTTP2.md, Timeout-Value).
            field("grpc-timeout", &format!("{}m", limit.as_millis().clamp(1, 99_999_999)));
            field("content-type", "application/grpc");
        }
        field("user-agent", "evener-check");
    }
}

/// What has come of an answer.
struct CheckAnswer<'a> {
    connection: Connection,
    key: StreamKey,
    /// Of the head, once that has come.
    status: Option<u16>,
    /// What the head says of a call, which is how it ended if nothing follows.
    said: Option<Status>,
    body: Vec<u8>,
    /// For what is looked for in a body, if anything is.
    search: Option<BodySearch<'a>>,
}

impl CheckAnswer<'_> {
    /// Takes in what has come.
    fn receive(&mut self, input: &mut Buffer) -> Result<(), Kind> {
        while let Some(event) = self.connection.receive(input).transpose() {
            if event.is_err() {
                let is_http2 = self.connection.is_open();
                let other = Kind::Rejected(Reject::NotHttp2);
                return Err(if is_http2 { Kind::Broken } else { other });
            }
        }
        Ok(())
    }

    /// What the answer says, once that is known.
    fn judge(
        &mut self,
        question: Question<'_>,
        limits: &Limits,
    ) -> Option<Result<(), CheckFailure>> {
        match question {
            Question::Request(asked) => self.request(asked, limits).transpose(),
            Question::Health(..) => self.health(limits).transpose(),
        }
    }

    /// Whether the answer to a request is good, once that is known.
    fn request(&mut self, asked: &HttpCheck, limits: &Limits) -> Result<Option<()>, CheckFailure> {
        let Some(status) = self.status(limits).transpose()? else { return Ok(None) };
        CheckFailure::unless_healthy(asked, status)?;
        let Some(search) = &mut self.search else { return Ok(Some(())) };
        loop {
            match self.connection.available(self.key) {
                Available::Nothing => return Ok(None),
                Available::Cut(abort) => return Err(CheckFailure::cut(abort)),
                Available::End => return search.outcome().map(Some),
                Available::Bytes => {
                    let bytes = self.connection.body(self.key);
                    let (count, is_wanting) = (bytes.len(), search.take(bytes));
                    self.connection.consume(self.key, count);
                    if !is_wanting {
                        return search.outcome().map(Some);
                    }
                }
            }
        }
    }

    /// The status of the head, once that has come.
    fn status(&mut self, limits: &Limits) -> Option<Result<u16, CheckFailure>> {
        while self.status.is_none() {
            let Some(head) = self.connection.take_head(self.key) else {
                return match self.connection.available(self.key) {
                    Available::Cut(abort) => Some(Err(CheckFailure::cut(abort))),
                    Available::Nothing | Available::Bytes | Available::End => None,
                };
            };
            let mut storage = Storage::new();
            match response::read(&head.section, limits.fields_max, false, &mut storage) {
                Ok(read) if read.is_interim() => {}
                Ok(read) => {
                    self.status = Some(read.status);
                    self.said = Status::among(head.section.iter());
                }
                Err(reject) => {
                    let rejected = Kind::Rejected(reject);
                    return Some(Err(Fault::upstream(Stage::ResponseHead, rejected).into()));
                }
            }
        }
        self.status.map(Ok)
    }

    /// Whether the service is healthy, once all has come.
    fn health(&mut self, limits: &Limits) -> Result<Option<()>, CheckFailure> {
        match self.status(limits).transpose()? {
            None => return Ok(None),
            Some(200) => {}
            Some(status) => return Err(CheckFailure::of_status(status)),
        }
        loop {
            match self.connection.available(self.key) {
                Available::Nothing => return Ok(None),
                Available::Cut(abort) => return Err(CheckFailure::cut(abort)),
                Available::Bytes => {
                    let bytes = self.connection.body(self.key);
                    if self.body.len() + bytes.len() > health::RESPONSE_BYTES_MAX {
                        return Err(CheckFailure::unhealthy("its message is too long"));
                    }
                    let count = bytes.len();
                    self.body.extend_from_slice(bytes);
                    self.connection.consume(self.key, count);
                }
                Available::End => {
                    let trailers = self.connection.take_trailers(self.key);
                    let ended = match trailers {
                        Some(trailers) => Status::among(trailers.iter()),
                        None => self.said.filter(|_| self.body.is_empty()),
                    };
                    return serving(ended, &self.body).map(Some);
                }
            }
        }
    }
}

/// Whether a call to the health service that ended so says, with this body, that all is well.
fn serving(ended: Option<Status>, body: &[u8]) -> Result<(), CheckFailure> {
    let unhealthy = |answer: &str| Err(CheckFailure::unhealthy(answer));
    match (ended, health::response(body)) {
        (Some(Status::Ok), Ok(ServingStatus::Serving)) => Ok(()),
        (Some(Status::Ok), Ok(other)) => unhealthy(other.name()),
        (Some(Status::Ok), Err(_)) => unhealthy("its message is malformed"),
        (Some(status @ Status::Unimplemented), _) => {
            unhealthy(&format!("{status}: it has no health service"))
        }
        (Some(status @ Status::NotFound), _) => {
            unhealthy(&format!("{status}: it does not know the service"))
        }
        (Some(status), _) => unhealthy(&status.to_string()),
        (None, _) => unhealthy("no grpc-status"),
    }
}
