//! What hyper, a parser nobody here wrote, makes of the bytes: the judge of the fuzz targets.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};

/// Far more fields than any head has whose limits are checked elsewhere.
const FIELDS_MAX: usize = 1000;

/// A request as hyper sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target as written.
    pub target: String,
    /// The body without its framing; `None` if it was cut short.
    pub body: Option<Vec<u8>>,
}

/// A final response as hyper sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body without its framing; `None` if it was cut short.
    pub body: Option<Vec<u8>>,
    /// How many bytes it took, interim responses before it included.
    pub length: usize,
    /// Whether its connection may carry another (RFC 9112 §9.3).
    pub persists: bool,
}

/// What hyper makes of a connection's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The requests, in order; at most the last one was cut short.
    pub seen: Vec<Seen>,
    /// The fields of all of them, names in lower case; those of one name in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Why it refused what stands after them, if it did.
    pub refused: Option<String>,
}

/// How a connection goes on after the bytes that are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Not at all, for now.
    Nothing,
    /// It ends.
    Fin,
    /// It is reset.
    Reset,
}

/// Whether hyper can hold such a target at all; it is stricter there than nginx and Evener.
pub fn takes_target(target: &str) -> bool {
    target.parse::<Uri>().is_ok_and(|uri| uri == *target)
}

/// The requests on a connection that carries `bytes` and ends.
pub fn requests(bytes: &[u8]) -> Observed {
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(|whole| whole.to_bytes().to_vec());
            let (method, target) = (head.method.to_string(), head.uri.to_string());
            let fields = head.headers.iter();
            let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
            let mut all = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.0.push(Seen { method, target, body });
            all.1.extend(fields);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let wire = Wire::new(bytes, Then::Fin, false);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true).max_headers(FIELDS_MAX).auto_date_header(false);
    let ended = finish(pin!(builder.serve_connection(wire, service)));
    let (seen, fields) =
        std::mem::take(&mut *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let refused = match ended {
        // What was cut short ends its connection with an error, as it should.
        Some(Err(error)) if error.is_incomplete_message() => None,
        Some(Err(_)) if seen.iter().any(|request: &Seen| request.body.is_none()) => None,
        Some(Err(error)) => Some(error.to_string()),
        Some(Ok(())) => None,
        None => Some("hyper waits forever".to_owned()),
    };
    Observed { seen, fields, refused }
}

/// The first final response to a request with `method` in `bytes`; `None` if there is none, an
/// error if hyper refused it.
pub fn response(bytes: &[u8], method: &str, then: Then) -> Result<Option<Answered>, String> {
    let wire = Wire::new(bytes, then, true);
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_headers(FIELDS_MAX);
    let shaken = finish(pin!(builder.handshake::<_, Empty<Bytes>>(wire)));
    let Some(Ok((mut sender, mut connection))) = shaken else { return Ok(None) };
    let request = Request::builder().method(method).uri("/").body(Empty::new());
    let asking = sender.send_request(request.map_err(|error| error.to_string())?);
    let mut asking = pin!(async {
        let response = asking.await?;
        let (head, body) = response.into_parts();
        let persists = persists(&head);
        Ok::<_, hyper::Error>((head.status.as_u16(), persists, body.collect().await.ok()))
    });
    let (flag, waker) = Flag::new();
    let mut cx = Context::from_waker(&waker);
    let mut is_open = true;
    loop {
        is_open = is_open && connection.poll_without_shutdown(&mut cx).is_pending();
        match asking.as_mut().poll(&mut cx) {
            Poll::Ready(Ok((status, persists, body))) => {
                let parts = connection.into_parts();
                let length = bytes.len() - parts.io.left() - parts.read_buf.len();
                let body = body.map(|whole| whole.to_bytes().to_vec());
                return Ok(Some(Answered { status, body, length, persists }));
            }
            Poll::Ready(Err(error)) if error.is_parse() => return Err(error.to_string()),
            Poll::Pending if flag.take() => {}
            Poll::Ready(Err(_)) | Poll::Pending => return Ok(None),
        }
    }
}

fn persists(head: &hyper::http::response::Parts) -> bool {
    let options = head.headers.get_all(hyper::header::CONNECTION);
    let says = |wanted: &str| {
        let texts = options.iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    !says("close") && (head.version == hyper::Version::HTTP_11 || says("keep-alive"))
}

/// Drives work that waits for nothing but itself; `None` if it waits for something else.
fn finish<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let (flag, waker) = Flag::new();
    let mut cx = Context::from_waker(&waker);
    loop {
        match work.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending if flag.take() => {}
            Poll::Pending => return None,
        }
    }
}

/// Set when somebody wants to be polled again.
struct Flag(AtomicBool);

impl Flag {
    fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::new(Self(AtomicBool::new(false)));
        (Arc::clone(&flag), flag.into())
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection with everything that will ever come on it.
struct Wire {
    input: Vec<u8>,
    at: usize,
    then: Then,
    /// Nothing comes before something has been written.
    waits: bool,
}

impl Wire {
    fn new(input: &[u8], then: Then, waits: bool) -> Self {
        Self { input: input.to_vec(), at: 0, then, waits }
    }

    fn left(&self) -> usize {
        self.input.len() - self.at
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waits {
            return Poll::Pending;
        }
        let count = room.remaining().min(self.left());
        if count == 0 {
            return match self.then {
                Then::Nothing => Poll::Pending,
                Then::Fin => Poll::Ready(Ok(())),
                Then::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        room.put_slice(&self.input[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.waits) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_requests_are_told_apart() {
        let bytes = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /b?c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\
            PUT /d HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\ncut";
        let Observed { seen, fields, refused } = requests(bytes);
        assert_eq!(fields.iter().filter(|(name, _)| name == "host").count(), 3);
        assert_eq!(refused, None);
        let shown: Vec<_> = seen
            .iter()
            .map(|s| (s.method.as_str(), s.target.as_str(), s.body.as_deref()))
            .collect();
        let expected =
            [("GET", "/a", Some(&b""[..])), ("POST", "/b?c", Some(b"hi")), ("PUT", "/d", None)];
        assert_eq!(shown, expected);
        assert!(requests(b"GET /a HTTP/1.1\r\nA b\r\n\r\n").refused.is_some());
    }

    #[test]
    fn a_response_ends_where_its_framing_says() {
        let bytes = b"HTTP/1.1 103 A\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP";
        let answered = response(bytes, "GET", Then::Nothing).unwrap().unwrap();
        assert_eq!((answered.status, answered.length), (200, bytes.len() - 4));
        assert_eq!(answered.body.as_deref(), Some(&b"hi"[..]));
        let cut = b"HTTP/1.1 200 OK\r\n\r\nhi";
        assert_eq!(response(cut, "GET", Then::Fin).unwrap().unwrap().body, Some(b"hi".to_vec()));
        assert_eq!(response(cut, "GET", Then::Reset).unwrap().unwrap().body, None);
        assert!(response(b"HTTP/1.1 2x0 OK\r\n\r\n", "GET", Then::Fin).is_err());
    }
}
