//! What a request asks an origin for, whichever protocol brought it.

use std::time::Duration;

use tokio::time::sleep;

use crate::buffer::BUFFER_BYTES;
use crate::config::value;
use crate::http::h1::scan::Limits;
use crate::http::message::field::{self, Name};
use crate::http::message::head::{Method, RequestHead};
use crate::relay::copy::{Broken, Meter};

/// What a head may cost.
pub(super) const LIMITS: Limits = Limits { head_bytes_max: 32 * 1024, fields_max: 256 };

/// How long an origin waits for a client to send or read anything.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response that can be requested: more than any test needs.
const BYTES_MAX: usize = 1 << 40;

/// The longest delay that can be requested.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// The contents of large responses.
static FILLER: [u8; BUFFER_BYTES] = [b'.'; BUFFER_BYTES];

/// The client has disconnected or timed out.
pub(super) struct PeerGone;

impl From<Broken> for PeerGone {
    fn from(_: Broken) -> Self {
        Self
    }
}

/// The response that a request asks for.
pub(super) struct AnswerSpec {
    /// Its status.
    pub(super) status: u16,
    delay: Duration,
    /// The length of the response body, if not that of `text`.
    bytes: Option<usize>,
    text: Vec<u8>,
    head_only: bool,
}

impl AnswerSpec {
    /// What a request asks the origin of this name for; `echoed` is the request itself, for those that ask for
    /// that.
    pub(super) fn of(
        head: &RequestHead<'_, '_>,
        name: &str,
        echoed: impl FnOnce() -> Vec<u8>,
    ) -> Self {
        let path = head.path();
        let echo = path == "/echo" || path.ends_with("/echo");
        let text = if echo { echoed() } else { format!("{name} {path}\n").into_bytes() };
        let param = |key: &str| query(head, key);
        let status = param("status").and_then(|text| value::number(text, 200, 599).ok());
        let delay = param("delay").and_then(|text| value::duration(text).ok());
        let bytes = param("bytes").and_then(|text| value::size(text).ok());
        Self {
            status: status.unwrap_or(200),
            delay: delay.map_or(Duration::ZERO, |delay| delay.min(DELAY_MAX)),
            bytes: bytes.map(|bytes| bytes.min(BYTES_MAX)),
            text,
            head_only: head.semantics == Method::Head,
        }
    }

    /// How long its body is, whether or not it is sent.
    pub(super) fn length(&self) -> usize {
        self.bytes.unwrap_or(self.text.len())
    }

    /// What its body repeats, and how many bytes of that are sent.
    pub(super) fn body(&self) -> (&[u8], usize) {
        let bodiless = self.head_only || self.status == 204 || self.status == 304;
        let filler = if self.bytes.is_some() { &FILLER[..] } else { &self.text };
        (filler, if bodiless { 0 } else { self.length() })
    }

    /// Waits before it is sent, if it is to be late: in steps, so that a long delay does not count as an idle
    /// client.
    pub(super) async fn wait(&self, meter: &Meter<'_>) {
        let mut delay = self.delay;
        while !delay.is_zero() {
            let step = delay.min(IDLE_TIMEOUT / 2);
            sleep(step).await;
            meter.touch();
            delay -= step;
        }
    }
}

/// Whether a client waits for a 100 before it sends the body.
pub(super) fn expects_continue(head: &RequestHead<'_, '_>) -> bool {
    let mut expected = head.fields.values(Name::Expect).flat_map(field::list);
    expected.any(|expected| expected.eq_ignore_ascii_case(b"100-continue"))
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
    use crate::http::h1::parse;
    use crate::http::message::head::Storage;

    #[test]
    fn the_query_selects_the_response() {
        let bytes = b"GET /a?bytes=100k&status=404&delay=5ms HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut storage = Storage::new();
        let head = parse::request(bytes, &LIMITS, &mut storage).unwrap();
        let spec = AnswerSpec::of(&head, "o", Vec::new);
        assert_eq!((spec.length(), spec.status), (102_400, 404));
        assert_eq!(spec.delay, Duration::from_millis(5));
    }
}
