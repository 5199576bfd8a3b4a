//! Asks the admin listener of a running balancer, with the parsers that read everything else.

use std::fmt;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::LocalOptions;

use crate::address::Address;
use crate::buffer::Buffer;
use crate::config::admin::Token;
use crate::config::value::{self, Resolve};
use crate::fault::Kind;
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::field::Name;
use crate::http::message::head::{Method, Storage};
use crate::net::connect::connect;
use crate::net::deadline::{Activity, Timer};
use crate::net::stream::{ReadHalf, Stream};
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::head::read_head;

/// The most time for one request unless told otherwise, from the connection to the last byte of its response.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response body, in bytes: `/status` of some ten thousand endpoints.
const BODY_BYTES_MAX: usize = 32 << 20;

const LIMITS: Limits = Limits { head_bytes_max: 16 * 1024, fields_max: 100 };

/// What an admin listener calls itself in `Server` (RFC 9110 §10.2.4), so that no other answer is taken for its own.
pub(crate) const ADMIN_SERVER: &str = "evener-admin";

/// Where an admin listener is, and what it has to be told.
#[derive(Clone, Debug)]
pub(crate) struct AdminClient {
    /// At least one, tried in turn.
    addresses: Vec<Address>,
    host: String,
    token: Option<Token>,
}

/// The response to a request, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminResponse {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// No connection could be opened.
    Connect(io::Error),
    /// It took longer than this.
    Late(Duration),
    /// What came was no response of an HTTP server, or not all of one.
    Broken(Kind),
    /// It came from a server that is no admin listener.
    Stranger,
    /// The body is larger than [`BODY_BYTES_MAX`].
    TooLarge,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("connection refused"),
                io::ErrorKind::NotFound => f.write_str("there is no such socket"),
                io::ErrorKind::PermissionDenied => {
                    f.write_str("permission denied: only the user who started Evener may connect")
                }
                _ => error.fmt(f),
            },
            Self::Late(limit) => {
                write!(f, "no response within {}", humantime::format_duration(*limit))
            }
            Self::Broken(Kind::Rejected(reject)) => write!(f, "not HTTP: {}", reject.phrase()),
            Self::Broken(_) => {
                f.write_str("the connection was closed before the response was whole")
            }
            Self::Stranger => f.write_str("another server answers there"),
            Self::TooLarge => write!(f, "a response of more than {} MiB", BODY_BYTES_MAX >> 20),
        }
    }
}

impl AdminClient {
    /// That of `ip:port`, `[v6]:port`, `name:port`, `:port` of this machine, or `unix:/path`.
    pub(crate) fn new(
        text: &str,
        token: Option<Token>,
        resolve: Resolve<'_>,
    ) -> Result<Self, String> {
        let here = text.strip_prefix(':').map(|port| format!("127.0.0.1:{port}"));
        let text = here.as_deref().unwrap_or(text);
        if let Some((_, rest)) = text.split_once("://") {
            let bare = rest.split('/').next().unwrap_or(rest);
            return Err(format!("{text:?}: leave the scheme out: write {bare}"));
        }
        let addresses = value::addresses(text, resolve)?;
        let is_unix = matches!(addresses.first(), Some(Address::Unix(_)));
        let host = if is_unix { "localhost" } else { text };
        Ok(Self { addresses, host: host.to_owned(), token })
    }

    /// Whether a token is sent.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Sends a request without a body, on a connection of its own, and waits for the response.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Result<AdminResponse, Unanswered> {
        self.ask_within(method, path, ANSWER_TIMEOUT)
    }

    /// The same for up to `limit`, from the connection to the last byte of the response.
    pub(crate) fn ask_within(
        &self,
        method: &str,
        path: &str,
        limit: Duration,
    ) -> Result<AdminResponse, Unanswered> {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default());
        let request = self.request(method, path);
        runtime.map_err(Unanswered::Connect)?.block_on(async {
            let exchange = pin!(self.exchange(&request));
            let mut timer = Timer::new();
            timer.within(limit, exchange).await.unwrap_or(Err(Unanswered::Late(limit)))
        })
    }

    fn request(&self, method: &str, path: &str) -> Vec<u8> {
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let host = &self.host;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evener\r\n{length}Connection: close\r\n"
        );
        let mut request = head.into_bytes();
        if let Some(token) = &self.token {
            request.extend_from_slice(b"Authorization: Bearer ");
            request.extend_from_slice(token.bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    async fn connect(&self) -> Result<Stream, Unanswered> {
        let mut last = io::ErrorKind::NotFound.into();
        for address in &self.addresses {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(Unanswered::Connect(last))
    }

    async fn exchange(&self, request: &[u8]) -> Result<AdminResponse, Unanswered> {
        let mut stream = self.connect().await?;
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let (mut read, mut write) = stream.split();
        let sent = meter.write(&mut write, request).await;
        sent.map_err(|broken| Unanswered::Broken(broken.kind))?;
        let mut input = Buffer::new();
        let (status, framing) = loop {
            let head = read_head(&mut read, &mut input, Scan::response(), &LIMITS, &meter).await;
            let length = head.map_err(Unanswered::Broken)?;
            let answer = judged(&input.filled()[..length])?;
            input.consume(length);
            // What is informational says nothing of the answer (RFC 9110 §15.2).
            if answer.0 >= 200 {
                break answer;
            }
        };
        let body = whole(framing, (&mut read, input), &meter).await?;
        Ok(AdminResponse { status, body })
    }
}

/// The status of a response of an admin listener, and how its body is framed.
fn judged(head: &[u8]) -> Result<(u16, Framing), Unanswered> {
    let rejected = |reject| Unanswered::Broken(Kind::Rejected(reject));
    let mut storage = Storage::new();
    let head = parse::response(head, &LIMITS, &mut storage).map_err(rejected)?;
    let is_ours = |(_, name, value): (Name, &[u8], &[u8])| {
        name.eq_ignore_ascii_case(b"server") && value == ADMIN_SERVER.as_bytes()
    };
    if head.status >= 200 && !head.fields.iter().any(is_ours) {
        return Err(Unanswered::Stranger);
    }
    Ok((head.status, framing::response(&head, Method::Other).map_err(rejected)?))
}

/// The whole of a body.
async fn whole(
    framing: Framing,
    (read, mut input): (&mut ReadHalf<'_>, Buffer),
    meter: &Meter<'_>,
) -> Result<Vec<u8>, Unanswered> {
    let (mut body, mut bytes) = (Body::new(framing, Emit::Data), Vec::new());
    loop {
        let ready = body.admit(&mut input, usize::MAX);
        let ready = ready.map_err(|reject| Unanswered::Broken(Kind::Rejected(reject)))?;
        if ready > 0 {
            if bytes.len() + ready > BODY_BYTES_MAX {
                return Err(Unanswered::TooLarge);
            }
            bytes.extend_from_slice(&input.filled()[..ready]);
            body.pass(&mut input, ready);
        } else if body.has_ended() {
            return Ok(bytes);
        } else if meter
            .read(read, &mut input)
            .await
            .map_err(|broken| Unanswered::Broken(broken.kind))?
            == 0
        {
            body.close().map_err(Unanswered::Broken)?;
        }
    }
}
