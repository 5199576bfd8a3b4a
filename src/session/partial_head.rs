//! A request whose head has not come whole: what is kept of it while its client is waited for.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::request_log::{RequestLog, RequestTiming};
use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::fault::Kind;
use crate::http::h1::scan::{Limits, Scan, leading_blank};
use crate::net::deadline::{Elapsed, Timer};
use crate::net::stream::{ReadHalf, Stream, kind_of};
use crate::plan::handle::PlanHandle;

/// How much is read at a time of a head that has not come at once, in bytes: what follows the head would be
/// copied twice.
const PIECE_BYTES: usize = 4 * 1024;

/// What has come before the work on requests begins.
pub enum Early {
    /// Bytes that nobody has looked at.
    Bytes(Buffer),
    /// A head that was not whole at first.
    Head(PartialHead),
}

impl Early {
    /// What has come, if nobody has looked at it.
    pub fn into_bytes(self) -> Buffer {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Head(_) => Buffer::new(),
        }
    }
}

/// What has come from a client that was waited for.
pub enum Arrival<T> {
    /// A request.
    Request(T),
    /// A part of its head; what else there is to read is not there yet.
    Partial,
    /// Nothing but empty lines: it is still idle.
    Nothing,
    /// The end, before another request had begun.
    End,
}

/// The search for the end of a request's head. Empty lines before it are skipped.
pub struct HeadSearch {
    /// None: there were only empty lines so far.
    scan: Option<Scan>,
}

impl HeadSearch {
    /// Nothing has come yet.
    pub const fn begin() -> Self {
        Self { scan: None }
    }

    /// Looks at what has come: all of it, from the first byte on that was not skipped. Says how many bytes at
    /// its front are to be dropped now, and what the others are, a whole head by its length.
    fn look(&mut self, bytes: &[u8], limits: &Limits) -> (usize, Result<Arrival<usize>, Kind>) {
        let skipped = if self.scan.is_none() { leading_blank(bytes) } else { 0 };
        let bytes = &bytes[skipped..];
        if self.scan.is_none() && matches!(bytes, b"" | b"\r") {
            let arrival = if bytes.is_empty() { Arrival::Nothing } else { Arrival::Partial };
            return (skipped, Ok(arrival));
        }
        let scan = self.scan.get_or_insert_with(Scan::request);
        let found = scan.advance(bytes, limits).map_err(Kind::Rejected);
        (skipped, found.map(|length| length.map_or(Arrival::Partial, Arrival::Request)))
    }

    /// Nothing more comes, for this reason. Half an empty line is no head.
    fn cut(&self, why: Kind) -> Result<Arrival<usize>, Kind> {
        if self.scan.is_none() { Ok(Arrival::End) } else { Err(why) }
    }

    /// Reads what is there already until the head is whole.
    pub async fn read_now(
        &mut self,
        stream: &mut Stream,
        input: &mut Buffer,
        limits: &Limits,
    ) -> Result<Arrival<usize>, Kind> {
        loop {
            let (skipped, found) = self.look(input.filled(), limits);
            input.consume(skipped);
            if !matches!(found, Ok(Arrival::Partial)) {
                return found;
            }
            if input.is_full() {
                input.enlarge();
            }
            match stream.read_now(input).await {
                None => return found,
                Some(Ok(1..)) => {}
                Some(Ok(0)) => return self.cut(Kind::Closed),
                Some(Err(error)) => return Err(kind_of(&error)),
            }
        }
    }
}

/// A request whose head has not come whole. It costs what has come of it, and this small state.
pub struct PartialHead {
    bytes: Vec<u8>,
    search: HeadSearch,
    /// Until when the rest is waited for.
    end: Instant,
    /// When its first byte came.
    began: Instant,
    /// What is logged if it is never resumed.
    request_log: Option<Box<RequestLog>>,
    found: Result<Arrival<usize>, Kind>,
}

impl PartialHead {
    /// Takes what has come from `input`, up to where `search` has looked. The rest has to come until `end`.
    pub fn new(
        input: &mut Buffer,
        search: HeadSearch,
        end: Instant,
        timing: &mut RequestTiming,
    ) -> Self {
        let bytes = input.filled().to_vec();
        input.clear();
        let (began, request_log) = (timing.began, timing.request_log.take());
        Self { bytes, search, end, began, request_log, found: Ok(Arrival::Partial) }
    }

    /// Waits until it is whole, or until it is known that it will not be. Each byte is looked at once, and moved
    /// a few times at most.
    pub async fn wait(&mut self, stream: &mut Stream, handle: &PlanHandle) {
        let (mut timer, end) = (Timer::new(), self.end);
        let (from, _) = stream.split();
        let reading = poll_fn(|cx| self.poll_read(cx, &from, handle));
        let read = timer.until(|| end, reading).await;
        self.found = read.unwrap_or_else(|Elapsed| self.search.cut(Kind::TimedOut));
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &ReadHalf<'_>,
        handle: &PlanHandle,
    ) -> Poll<Result<Arrival<usize>, Kind>> {
        loop {
            let mut piece = Buffer::new();
            // No block is held unless there is something to read.
            ready!(from.poll_readable(cx)).map_err(|error| kind_of(&error))?;
            piece.begin_with_room(PIECE_BYTES);
            match ready!(from.poll_read(cx, &mut piece)) {
                Ok(1..) => self.bytes.extend_from_slice(piece.filled()),
                Ok(0) => return Poll::Ready(self.search.cut(Kind::Closed)),
                Err(error) => return Poll::Ready(Err(kind_of(&error))),
            }
            let (skipped, found) = self.search.look(&self.bytes, &handle.get().plan.limits);
            self.bytes.drain(..skipped);
            if !matches!(found, Ok(Arrival::Partial)) {
                return Poll::Ready(found);
            }
        }
    }

    /// Moves what has come to `input`; says when its first byte came, and what has come of the wait.
    pub fn resume(self, input: &mut Buffer) -> (Instant, Result<Arrival<usize>, Kind>) {
        if self.bytes.len() > BUFFER_BYTES {
            input.enlarge();
        }
        input.append_read(&self.bytes);
        // What is logged from here on goes by the plan that is in force now.
        if let Some(request_log) = self.request_log {
            request_log.discard();
        }
        (self.began, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 1024, fields_max: 8 };

    /// What is found as these come one after the other, each with all that came before.
    fn found(pieces: &[&str]) -> Vec<(usize, String)> {
        let mut search = HeadSearch::begin();
        let look = |piece: &&str| {
            let (skipped, found) = search.look(piece.as_bytes(), &LIMITS);
            let arrival = match found {
                Ok(Arrival::Request(length)) => format!("{length} bytes"),
                Ok(Arrival::Partial) => "partial".to_owned(),
                Ok(Arrival::Nothing) => "nothing".to_owned(),
                Ok(Arrival::End) => "end".to_owned(),
                Err(kind) => format!("{kind:?}"),
            };
            (skipped, arrival)
        };
        pieces.iter().map(look).collect()
    }

    #[test]
    fn what_has_been_looked_at_is_not_looked_at_again() {
        // The bare line feed would be refused if it were seen.
        let found = found(&["GET / HTTP/1.1\r\nA", "G\nT / HTTP/1.1\r\nA: b\r\n\r\n"]);
        assert_eq!(found, [(0, "partial".to_owned()), (0, "24 bytes".to_owned())]);
    }

    #[test]
    fn empty_lines_before_a_head_are_skipped_however_they_come() {
        let partial = |skipped| (skipped, "partial".to_owned());
        assert_eq!(found(&["\r\n\r\n\r", "\r\nG"]), [partial(4), partial(2)]);
        assert_eq!(found(&["\r", "\r\n"]), [partial(0), (2, "nothing".to_owned())]);
    }

    #[test]
    fn half_an_empty_line_is_no_head_when_nothing_follows() {
        let mut search = HeadSearch::begin();
        for (bytes, is_head) in [(&b"\r"[..], false), (b"\r\n", false), (b"G", true)] {
            let _ = search.look(bytes, &LIMITS);
            assert_eq!(search.cut(Kind::TimedOut).is_err(), is_head, "{bytes:?}");
        }
    }
}
