//! Requests and responses of the admin listener, with the same parsers as for clients.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use crate::admin_client::ADMIN_SERVER;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::reply::reason;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::date::HttpDate;
use crate::http::message::head::{RequestHead, Storage, Version};
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::stream::{ReadHalf, Stream};
use crate::net::wall_clock::since_1970;
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::{Broken, Meter};
use crate::relay::head::read_head;

/// The time limit for reading a request, and for each write of a response to make progress.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits { head_bytes_max: 16 * 1024, fields_max: 100 };

/// The longest body that is read and ignored, in bytes: no request here needs one.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The client has disconnected or timed out.
pub(crate) struct ClientGone;

impl From<Broken> for ClientGone {
    fn from(_: Broken) -> Self {
        Self
    }
}

impl From<Elapsed> for ClientGone {
    fn from(_: Elapsed) -> Self {
        Self
    }
}

/// The kind of a request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// GET or HEAD.
    Get,
    /// POST.
    Post,
    /// Any other method.
    Other,
}

/// Whether the connection persists after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It does, which an HTTP/1.0 client is told explicitly.
    Stays(Version),
    /// It is closed.
    Ends,
}

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct AdminRequest {
    pub(crate) verb: Verb,
    /// Without the query, as sent.
    pub(crate) path: String,
    /// The part after the question mark; empty if there is none.
    pub(crate) query: String,
    /// The authority; empty if absent.
    pub(crate) host: String,
    pub(crate) version: Version,
    /// The value of each Origin header.
    pub(crate) origins: Vec<Vec<u8>>,
    /// The value of each Authorization header.
    pub(crate) authorizations: Vec<Vec<u8>>,
    wants_body: bool,
    after: After,
}

impl AdminRequest {
    fn of(head: &RequestHead<'_, '_>) -> Self {
        let values = |wanted: &str| {
            let fields = head.fields.iter();
            let found = fields.filter(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            found.map(|(_, _, value)| value.to_vec()).collect()
        };
        let path = head.path();
        let persists = Options::of(&head.fields).persists(head.version);
        Self {
            verb: match head.method {
                "GET" | "HEAD" => Verb::Get,
                "POST" => Verb::Post,
                _ => Verb::Other,
            },
            path: path.to_owned(),
            query: head.query().trim_start_matches('?').to_owned(),
            host: String::from_utf8_lossy(head.authority).into_owned(),
            version: head.version,
            origins: values("origin"),
            authorizations: values("authorization"),
            wants_body: head.method != "HEAD",
            after: if persists { After::Stays(head.version) } else { After::Ends },
        }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct AdminAnswer {
    pub(crate) status: u16,
    kind: &'static str,
    /// Additional header lines, each with its CRLF.
    fields: &'static str,
    pub(crate) body: Cow<'static, str>,
}

impl AdminAnswer {
    /// A plain text response.
    pub(crate) fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", fields: "", body: body.into() }
    }

    /// A 200 response with another content type.
    pub(crate) fn of_kind(kind: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, ..Self::text(200, body) }
    }

    /// The response with these additional header lines, each with its CRLF.
    pub(crate) fn with(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    fn write(&self, wants_body: bool, after: After) -> String {
        let Self { status, kind, fields, body } = self;
        let (reason, length) = (reason(*status), body.len());
        let connection = match after {
            After::Ends => "Connection: close\r\n",
            After::Stays(Version::Http10) => "Connection: keep-alive\r\n",
            After::Stays(Version::Http11 | Version::Http2) => "",
        };
        let date = HttpDate::of(since_1970().as_secs());
        let date = date.escape_ascii();
        let mut out = String::with_capacity(512 + length);
        let _ = write!(
            out,
            "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nServer: {ADMIN_SERVER}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{fields}{connection}\r\n"
        );
        if wants_body {
            out.push_str(body);
        }
        out
    }
}

/// A client's connection.
pub(crate) struct AdminExchange<'s> {
    stream: &'s mut Stream,
    input: Buffer,
    /// Limits every wait.
    pub(crate) timer: Timer,
}

impl<'s> AdminExchange<'s> {
    pub(crate) fn new(stream: &'s mut Stream) -> Self {
        Self { stream, input: Buffer::new(), timer: Timer::new() }
    }

    /// Reads the next request; an invalid one is answered here.
    pub(crate) async fn request(&mut self) -> Result<AdminRequest, ClientGone> {
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let read = {
            let (mut read, _) = self.stream.split();
            let reading = pin!(next(&mut read, &mut self.input, &meter));
            self.timer.within(IO_TIMEOUT, reading).await?
        };
        match read {
            Ok(request) => Ok(request),
            Err(Kind::Rejected(reject)) => {
                self.refuse(reject.status(), format!("{}\n", reject.phrase())).await
            }
            Err(Kind::Exhausted) => {
                self.refuse(413, format!("no body of more than {BODY_BYTES_MAX} bytes\n")).await
            }
            Err(_) => Err(ClientGone),
        }
    }

    async fn refuse(&mut self, status: u16, why: String) -> Result<AdminRequest, ClientGone> {
        let answer = AdminAnswer::text(status, why);
        self.send(&answer.write(true, After::Ends), After::Ends).await?;
        Err(ClientGone)
    }

    /// Answers a request; an error if no other may follow.
    pub(crate) async fn answer(
        &mut self,
        request: &AdminRequest,
        answer: &AdminAnswer,
    ) -> Result<(), ClientGone> {
        self.send(&answer.write(request.wants_body, request.after), request.after).await
    }

    async fn send(&mut self, bytes: &str, after: After) -> Result<(), ClientGone> {
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let (_, mut write) = self.stream.split();
        {
            let writing = pin!(meter.write(&mut write, bytes.as_bytes()));
            self.timer.while_active(IO_TIMEOUT, &activity, writing).await??;
        }
        match after {
            After::Stays(_) => Ok(()),
            After::Ends => write.shutdown().await.map_err(|_| ClientGone).and(Err(ClientGone)),
        }
    }
}

/// Reads a request including its body.
async fn next(
    read: &mut ReadHalf<'_>,
    input: &mut Buffer,
    meter: &Meter<'_>,
) -> Result<AdminRequest, Kind> {
    let length = read_head(read, input, Scan::request(), &LIMITS, meter).await?;
    let (request, framing) = parse(&input.filled()[..length]).map_err(Kind::Rejected)?;
    if matches!(framing, Framing::Length(length) if length > BODY_BYTES_MAX as u64) {
        return Err(Kind::Exhausted);
    }
    input.consume(length);
    let mut body = Body::new(framing, Emit::Data);
    let mut room = BODY_BYTES_MAX;
    while !body.has_ended() {
        match body.admit(input, usize::MAX) {
            Ok(0) if body.has_ended() => {}
            Ok(0) => match meter.read(read, input).await {
                Ok(0) => return Err(Kind::Closed),
                Ok(_) => {}
                Err(broken) => return Err(broken.kind),
            },
            Ok(count) => {
                body.pass(input, count);
                room = room.checked_sub(count).ok_or(Kind::Exhausted)?;
            }
            Err(reject) => return Err(Kind::Rejected(reject)),
        }
    }
    Ok(request)
}

fn parse(bytes: &[u8]) -> Result<(AdminRequest, Framing), Reject> {
    let mut storage = Storage::new();
    let head = parse::request(bytes, &LIMITS, &mut storage)?;
    let framing = framing::request(&head)?;
    Ok((AdminRequest::of(&head), framing))
}
