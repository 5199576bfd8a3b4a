//! What a client may cost: its heads, and the streams of an HTTP/2 connection.

use super::mistake::Mistakes;
use super::sources::Sources;
use super::value;
use crate::buffer::HEAD_BYTES_CEILING;
use crate::http::h1::scan::Limits;
use crate::http::message::head::FIELDS_CEILING;
use crate::plan::Http2;

/// The least and the most bytes of a head that may be allowed.
const MAX_HEAD: (usize, usize) = (1024, HEAD_BYTES_CEILING);

/// The most streams of a connection that may be allowed: each may hold a head, and a connection to an
/// endpoint.
const STREAMS_CEILING: u32 = 65536;

/// How many there may be by default; RFC 9113 §6.5.2 advises against fewer than 100.
const STREAMS: &str = "128";

/// What a head may cost.
pub(super) fn heads(sources: &Sources, mistakes: &mut Mistakes) -> Limits {
    let max_head = value::size(&sources.flags.max_head).and_then(|bytes| {
        let in_range = (MAX_HEAD.0..=MAX_HEAD.1).contains(&bytes);
        in_range.then_some(bytes).ok_or_else(|| {
            let text = &sources.flags.max_head;
            format!("invalid value {text:?}: expected a size from 1k to 64k")
        })
    });
    let max_fields = value::number(&sources.flags.max_fields, 1, FIELDS_CEILING);
    Limits {
        head_bytes_max: mistakes.note(&sources.place("max-head"), max_head, 0),
        fields_max: mistakes.note(&sources.place("max-fields"), max_fields, 0),
    }
}

/// What HTTP/2 of clients may cost, if it is spoken.
pub(super) fn http2(sources: &Sources, mistakes: &mut Mistakes) -> Option<Http2> {
    let streams = value::number(&sources.flags.max_streams, 1, STREAMS_CEILING);
    let streams_max = mistakes.note(&sources.place("max-streams"), streams, 1);
    (!sources.flags.no_http2).then_some(Http2 { streams_max })
}

/// What is no mistake, but may not be what was meant.
pub(super) fn warnings(sources: &Sources) -> Vec<String> {
    // To ask for the default changes nothing.
    let is_given = sources.flags.max_streams != STREAMS;
    let warning = (sources.flags.no_http2 && is_given)
        .then(|| format!("{}: has no effect without HTTP/2", sources.place("max-streams")));
    warning.into_iter().collect()
}
