//! The fuzz target of this room: whole sessions, held to what must be true of any of them.
//!
//! What each side was sent is judged by hyper, which has never seen our code; what should have been
//! sent follows from the client's bytes alone, whatever their timing.

use std::rc::Rc;
use std::time::Duration;

use super::client_info::ClientInfo;
use super::preparation;
use super::request::Request;
use super::request_head::Sender;
use super::simulation::script::{CLIENT, Exchanged, HALF_CLOSE, Outcome, Script, simulate};
use super::simulation::world;
use crate::buffer::Buffer;
use crate::filters::rules::Rules;
use crate::http::chunks_fuzz::Chunks;
use crate::http::h1::scan::{Scan, leading_blank};
use crate::http::message::head::Method;
use crate::http::oracle::{self, Answered, Then};
use crate::net::memory::{MemoryEnd, Passage};
use crate::plan::context::WorkerContext;

/// Longer scripts find nothing that shorter ones do not, but take longer.
const SCRIPT_BYTES_MAX: usize = 4096;

/// Set in the first byte of what is a world ([`world::of_bytes`]), with HTTP/2 in it, and no script.
const WORLD: u8 = 0x80;

/// How long a session may go on when nothing happens any more: a connection that never opens, an
/// answer that does not come or a body that stalls, and then a client that does not leave.
const QUIET_LIMIT: Duration = Duration::from_secs(5 * 2 + 60 + 60 + 30);

/// The same after its client has reset the connection.
const RESET_LIMIT: Duration = Duration::from_secs(1);

/// The same after a 101.
const TUNNEL_LIMIT: Duration = Duration::from_secs(3600 + 60);

/// A world, or a session between peers that follow `data` as a script ([`Script::read`]): it ends, it panics
/// nowhere, it does the same again; each origin gets whole requests of this client, in order, each
/// byte as it was read, and begins none before the answer to the last one has ended; what must not
/// be sent twice is not; each answer the client gets whole is ours or the whole one of an origin
/// to that very request.
pub fn exchange(data: &[u8]) {
    let data = &data[..data.len().min(SCRIPT_BYTES_MAX)];
    if data.first().is_some_and(|first| first & WORLD != 0) {
        return world::of_bytes(data);
    }
    let outcome = simulate(&mut Script::read(data));
    assert_eq!(outcome, simulate(&mut Script::read(data)), "the same script, the same outcome");
    let believed = believe(&outcome.client.inward.bytes, &Script::read(data).context());
    let carried: Vec<_> =
        outcome.origins.iter().map(|origin| Carried::of(origin, &believed)).collect();
    refuse_repeats(&believed, &carried);
    let tunnels = carried.iter().flat_map(|c| &c.answers).any(|answer| answer.status == 101);
    let limit = if tunnels { TUNNEL_LIMIT } else { QUIET_LIMIT };
    // Noticed at once, unless a POST's fate is still being found out.
    if let Some(after) = outcome.after_reset {
        assert!(after <= RESET_LIMIT, "ended {after:?} after its client had reset it");
    }
    assert!(outcome.quiet <= limit, "ended {:?} after anything happened", outcome.quiet);
    check_answers(&outcome, &believed, &carried);
}

/// A request as it must go to an origin.
#[derive(Debug)]
struct Believed {
    method: String,
    semantics: Method,
    /// Its head, and its body unless that is chunked.
    bytes: Vec<u8>,
    /// Its chunks; the part of them that is understood if they are not whole.
    chunks: Option<Chunks>,
    is_whole: bool,
    /// Where the bytes after it begin in what the client sent.
    end: usize,
}

impl Believed {
    /// How much of what an origin got is this request; `None` if it does not begin with it.
    fn found_in(&self, got: &[u8]) -> Option<Found> {
        let Some(behind) = got.strip_prefix(&self.bytes[..]) else {
            return self.bytes.starts_with(got).then_some(Found::Part);
        };
        let Some(expected) = &self.chunks else {
            let part = behind.is_empty().then_some(Found::Part);
            return if self.is_whole { Some(Found::Whole(self.bytes.len())) } else { part };
        };
        let chunks = Chunks::read(behind);
        // Whatever the client claimed, no size is more than it sent.
        assert!(chunks.announced <= expected.data.len(), "{}", got.escape_ascii());
        if chunks.trailers.is_some() {
            let is_same = (&chunks.data, &chunks.trailers) == (&expected.data, &expected.trailers);
            return is_same.then_some(Found::Whole(self.bytes.len() + chunks.length));
        }
        expected.data.starts_with(&chunks.data).then_some(Found::Part)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// So many bytes.
    Whole(usize),
    /// A beginning that goes to the end of what the origin got.
    Part,
}

/// The requests in a client's bytes, up to the first that is refused or not whole.
fn believe(bytes: &[u8], context: &Rc<WorkerContext>) -> Vec<Believed> {
    let client_info = ClientInfo::direct(CLIENT);
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        at += leading_blank(&bytes[at..]);
        let head = &bytes[at..];
        let scanned = Scan::request().advance(head, &context.plan.limits);
        let Ok(Some(length)) = scanned else { return all };
        let mut input = Buffer::new();
        input.append(&head[..length]);
        let sender = Sender { client_info: &client_info, stream: None };
        let mut request = Request::begin(context, &client_info, &Rules);
        if preparation::prepare(&mut request, (&mut input, length), sender, context).is_err() {
            return all;
        }
        let (written, mut body) = (request.outgoing.filled().to_vec(), Vec::new());
        let chunked = b"\r\nTransfer-Encoding: chunked\r\n";
        let is_chunked = written.windows(chunked.len()).any(|line| line == chunked);
        at += length;
        // Byte by byte, since what comes before a refused chunk may have gone on already.
        while !request.body.has_ended() && at < bytes.len() {
            input.append(&bytes[at..=at]);
            at += 1;
            let Ok(count) = request.body.admit(&mut input, usize::MAX) else { break };
            body.extend_from_slice(&input.filled()[..count]);
            request.body.pass(&mut input, count);
        }
        let is_whole = request.body.has_ended();
        let chunks = is_chunked.then(|| Chunks::read(&body));
        let method = String::from_utf8_lossy(head.split(|b| *b == b' ').next().unwrap_or_default());
        all.push(Believed {
            method: method.into_owned(),
            semantics: request.traits.method,
            bytes: if is_chunked { written } else { [written, body].concat() },
            chunks,
            is_whole,
            end: at,
        });
        if !is_whole {
            return all;
        }
    }
}

/// What a connection to an origin has carried.
struct Carried {
    /// The requests by their index, in order.
    requests: Vec<usize>,
    /// How many of them are whole: all, or all but the last.
    whole: usize,
    /// How many bytes those are.
    whole_bytes: usize,
    /// The final answers in what the origin sent, in order, as far as hyper understands them.
    answers: Vec<Answered>,
    /// What the origin sent.
    sent: Vec<u8>,
}

impl Carried {
    /// Takes apart what an origin got.
    fn of(origin: &Exchanged, believed: &[Believed]) -> Self {
        let got = &origin.outward;
        let (mut requests, mut methods, mut at, mut next) = (Vec::new(), Vec::new(), 0, 0);
        let (mut answers, mut whole_requests) = (Vec::new(), 0);
        while at < got.bytes.len() {
            let rest = &got.bytes[at..];
            let all = (next..believed.len()).map(|index| (index, believed[index].found_in(rest)));
            let all: Vec<_> = all.filter_map(|(index, found)| Some((index, found?))).collect();
            let whole = all.iter().find_map(|(index, found)| match found {
                Found::Whole(length) => Some((*index, *length)),
                Found::Part => None,
            });
            let Some((found, length)) = whole else {
                if answers.last().is_some_and(|last: &Answered| last.status == 101) {
                    break;
                }
                requests.extend(all.first().map(|(index, _)| *index));
                assert!(!all.is_empty(), "an origin got {}", rest.escape_ascii());
                break;
            };
            if at > 0 {
                refuse_dirty(origin, at, &methods);
            }
            at += length;
            methods.push(believed[found].method.as_str());
            requests.push(found);
            next = found + 1;
            whole_requests += 1;
            answers = answers_in(&origin.inward, &methods);
        }
        refuse_what_hyper_refuses(&got.bytes[..at], whole_requests);
        let methods: Vec<_> =
            requests.iter().map(|index| believed[*index].method.as_str()).collect();
        let answers = answers_in(&origin.inward, &methods);
        let sent = origin.inward.bytes.clone();
        Self { requests, whole: whole_requests, whole_bytes: at, answers, sent }
    }
}

/// hyper sees as many requests, all whole.
fn refuse_what_hyper_refuses(bytes: &[u8], count: usize) {
    let observed = oracle::requests(bytes);
    assert!(observed.seen.iter().all(|request| request.body.is_some()));
    match observed.refused {
        None => assert_eq!(observed.seen.len(), count, "{}", bytes.escape_ascii()),
        // Hyper is stricter with targets than we are; `http::fuzz` leaves these out.
        Some(error) => assert!(error.contains("URI"), "{error}: {}", bytes.escape_ascii()),
    }
}

/// A request must not be written to a connection before the answers to all earlier ones have come
/// whole, nor when anything has come after them.
fn refuse_dirty(origin: &Exchanged, at: usize, methods: &[&str]) {
    let mut writes = origin.outward.writes.iter();
    let (_, sent) = *writes.find(|(before, _)| *before == at).expect("a request begins a write");
    let so_far =
        Passage { bytes: origin.inward.bytes[..sent].to_vec(), end: None, ..Passage::default() };
    let answers = answers_in(&so_far, methods);
    let taken: usize = answers.iter().map(|answer| answer.length).sum();
    assert!(
        answers.len() == methods.len()
            && answers.iter().all(|answer| answer.body.is_some() && answer.persists)
            && taken == sent,
        "used again after {}",
        so_far.bytes.escape_ascii()
    );
}

/// The answers to these requests, up to the first that is not whole.
fn answers_in(passage: &Passage, methods: &[&str]) -> Vec<Answered> {
    let then = match passage.end {
        None => Then::Nothing,
        Some(MemoryEnd::Fin) => Then::Fin,
        Some(MemoryEnd::Reset) => Then::Reset,
    };
    let (mut answers, mut at) = (Vec::new(), 0);
    for method in methods {
        let Ok(Some(answer)) = oracle::response(&passage.bytes[at..], method, then) else { break };
        at += answer.length;
        let goes_on = answer.body.is_some() && answer.status != 101;
        answers.push(answer);
        if !goes_on {
            break;
        }
    }
    answers
}

/// What is not idempotent arrives whole once at most.
fn refuse_repeats(believed: &[Believed], carried: &[Carried]) {
    for request in believed.iter().filter(|request| !request.semantics.is_idempotent()) {
        let same = |index: &&usize| believed[**index].bytes == request.bytes;
        let arrived = carried.iter().flat_map(|c| &c.requests[..c.whole]).filter(same);
        let traits = believed.iter().filter(|other| other.bytes == request.bytes);
        assert!(arrived.count() <= traits.count(), "repeated: {}", request.bytes.escape_ascii());
    }
}

/// Each answer the client got whole is ours, or an origin's to that request.
fn check_answers(outcome: &Outcome, believed: &[Believed], carried: &[Carried]) {
    let got = &outcome.client.outward;
    let then = match got.end {
        Some(MemoryEnd::Fin) if !got.was_left => Then::Fin,
        _ => Then::Reset,
    };
    // What is refused may say that it is a HEAD all the same.
    let sent = &outcome.client.inward.bytes;
    let behind = &sent[believed.last().map_or(0, |last| last.end)..];
    let is_head = behind[leading_blank(behind)..].starts_with(b"HEAD ");
    let refused = if is_head { "HEAD" } else { "GET" };
    let (mut at, mut goes_on) = (0, true);
    for index in 0.. {
        let rest = &got.bytes[at..];
        if rest.is_empty() {
            let whole = believed.iter().filter(|request| request.is_whole).count();
            let is_patient = outcome.after_finish.is_none_or(|after| after < HALF_CLOSE);
            let is_due = goes_on && index < whole && !got.was_left && !outcome.drains && is_patient;
            assert!(!is_due, "no answer to request {index}");
            return;
        }
        assert!(goes_on, "behind the last answer: {}", rest.escape_ascii());
        assert!(index <= believed.len(), "an answer too many: {}", rest.escape_ascii());
        let method = believed.get(index).map_or(refused, |request| request.method.as_str());
        if method == "HEAD" && is_refusal_of_half_a_method(rest, then) {
            return;
        }
        let answered = oracle::response(rest, method, then);
        let answered = answered.unwrap_or_else(|e| panic!("{e}: {}", rest.escape_ascii()));
        // A head or a body that was cut is the last there is, and seen to be cut.
        let Some(answer) = answered else { return };
        refuse_unproven_sizes(rest, carried);
        at += answer.length;
        goes_on = answer.persists;
        if answer.body.is_none() {
            assert_eq!(at, got.bytes.len());
            return;
        }
        if answer.status == 101 {
            check_tunnel(index, &rest[answer.length..], outcome, believed, carried);
            return;
        }
        let theirs = index < believed.len()
            && carried.iter().any(|connection| {
                let mut pairs = connection.requests.iter().zip(&connection.answers);
                pairs.any(|(request, theirs)| {
                    // Two requests may be the same to a byte.
                    believed[*request].bytes == believed[index].bytes
                        && (theirs.status, &theirs.body) == (answer.status, &answer.body)
                })
            });
        assert!(theirs || is_ours(&answer, method), "not to request {index}: {answer:?}");
    }
}

/// No chunk of an answer is announced to be more than its origin sent.
fn refuse_unproven_sizes(answer: &[u8], carried: &[Carried]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let chunked = b"\r\nTransfer-Encoding: chunked\r\n";
    if answer[..end].windows(chunked.len()).any(|line| line == chunked) {
        let sent = carried.iter().map(|connection| connection.sent.len()).max();
        assert!(Chunks::read(&answer[end..]).announced <= sent.unwrap_or(0));
    }
}

/// A HEAD that took too long before it said so is answered as any other method, and that is all.
fn is_refusal_of_half_a_method(rest: &[u8], then: Then) -> bool {
    let answered = oracle::response(rest, "GET", then).ok().flatten();
    answered.is_some_and(|answer| {
        answer.status == 408 && answer.body.is_some() && answer.length == rest.len()
    })
}

fn is_ours(answer: &Answered, method: &str) -> bool {
    let body = answer.body.as_deref().unwrap_or_default();
    let begins = format!("{} ", answer.status);
    let named = body.starts_with(begins.as_bytes()) && body.ends_with(b"\n");
    // One route takes all there is.
    (answer.status == 200 && method == "OPTIONS" || (400..=505).contains(&answer.status))
        && answer.status != 404
        && (named || (method == "HEAD" && body.is_empty()))
}

/// After a 101 each side gets what the other sent after its head, and nothing else.
fn check_tunnel(
    index: usize,
    down: &[u8],
    outcome: &Outcome,
    believed: &[Believed],
    carried: &[Carried],
) {
    let connection = carried.iter().position(|connection| {
        let last = connection.requests.last();
        last.is_some_and(|last| believed[*last].bytes == believed[index].bytes)
            && connection.answers.last().is_some_and(|answer| answer.status == 101)
    });
    let connection = connection.expect("an origin agreed to the upgrade");
    let Carried { answers, sent, .. } = &carried[connection];
    let taken: usize = answers.iter().map(|answer| answer.length).sum();
    assert!(sent[taken..].starts_with(down), "{}", down.escape_ascii());
    let up = &outcome.client.inward.bytes[believed[index].end..];
    let got = &outcome.origins[connection].outward.bytes[carried[connection].whole_bytes..];
    assert!(up.starts_with(got), "{}", got.escape_ascii());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::simulation::script::{HALF_CLOSE, Script, simulate};

    /// What a client does at the end of `script`, 1 s after it began, and what its endpoint does.
    fn after(client: &[u8], end: u8, endpoint: &[u8]) -> super::Outcome {
        let client = [b"\0", client, b"\xffP\x01\xff", &[end]].concat();
        simulate(&mut Script::read(&[&client, endpoint].concat()))
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const UPGRADE: &[u8] =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello";

    #[test]
    fn a_reset_ends_a_session_at_once_wherever_it_stands() {
        const DATE: usize = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".len();
        let upload = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhello";
        let switching =
            b"\xffN\xffAHTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\xffD";
        let rows: [(&[u8], &[u8], usize); 8] = [
            (GET, b"\xffN\xff?", 0),
            (GET, b"\xffN\xffA", 0),
            (&GET.repeat(2), b"\xffN\xffA", 0),
            (GET, b"\xffN\xffAHTTP/1.1 103 A\r\n\r\n", 18),
            (GET, b"\xffN\xffAHTTP/1.1 200 OK\r\n\r\nhello", 43 + DATE),
            (upload, b"\xffN\xffD", 0),
            (upload, b"\xffN\xffAHTTP/1.1 200 OK\r\n\r\nhello", 43 + DATE),
            (UPGRADE, switching, 51),
        ];
        for (client, endpoint, told) in rows {
            let outcome = after(client, b'R', endpoint);
            let shown = (client.escape_ascii(), endpoint.escape_ascii());
            assert_eq!(outcome.client.outward.bytes.len(), told, "{shown:?}");
            assert_eq!(outcome.after_reset, Some(Duration::ZERO), "{shown:?}");
        }
    }

    #[test]
    fn a_client_that_has_ended_its_direction_is_waited_with_for_so_long() {
        let more = HALF_CLOSE + Duration::from_millis(3500);
        let rows: [(&[u8], Duration); 3] = [
            (b"\xffN\xffA", HALF_CLOSE),
            (b"\xffN\xffAHTTP/1.1 200 OK\r\n\r\nhello", HALF_CLOSE),
            // Something to pass on, 3.5 s after that.
            (b"\xffN\xffAHTTP/1.1 200 OK\r\n\r\n\xffP\x02hello", more),
        ];
        for (endpoint, expected) in rows {
            let outcome = after(GET, b'F', endpoint);
            assert_eq!(outcome.after_finish, Some(expected), "{}", endpoint.escape_ascii());
        }
    }

    #[test]
    fn exchange() {
        crate::corpus::replay("exchange", 15_000, super::exchange);
    }
}
