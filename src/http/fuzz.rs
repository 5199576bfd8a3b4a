//! The fuzz targets of this room: bodies only, each a property that must hold for any bytes.
//!
//! `fuzz/` runs them under libFuzzer; `cargo test` replays their corpora. See CONTRIBUTING.md.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::chunks_fuzz::{Admission, admit, admit_unseen};
use super::h1::chunked::Emit;
use super::h1::encode::{self, ConnectionHeader};
use super::h1::framing::{self, Framing};
use super::h1::parse;
use super::h1::persistence::{Options, names_protocol};
use super::h1::scan::{Limits, Scan, leading_blank};
use super::head_end_fuzz::{self, scan_split_anywhere, splits};
use super::message::edits::{EditName, Edits, Value};
use super::message::field::Name;
use super::message::forwarded;
use super::message::head::{Fields, Method, RequestHead, ResponseHead, Storage, Version};
use super::message::hop::Hop;
use super::oracle::{self, Answered, Seen, Then};
use crate::buffer::Buffer;
use crate::reject::Reject;

pub(super) const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

/// For heads that have been written again: some fields are added.
pub(super) const WIDER: Limits = Limits { head_bytes_max: 8192, fields_max: 48 };

/// Longer inputs find nothing that shorter ones do not, but take longer.
pub(super) const INPUT_BYTES_MAX: usize = 8192;

/// A head is found wherever its bytes are split; if it is accepted, hyper sees the same in it,
/// and it says the same once it has been written again.
pub fn request_head(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let bytes = &data[leading_blank(data)..];
    head_end_fuzz::check_request(bytes, &LIMITS);
    let Some(length) = scan_split_anywhere(bytes, &LIMITS, Scan::request) else { return };
    with_request(&bytes[..length], &LIMITS, |head, framing| {
        let written = write_request(head, framing);
        with_request(&written, &WIDER, |again, framing_again| {
            assert_eq!((again.method, again.target), (head.method, &*head.path_and_query()));
            assert_eq!(framing_again, framing);
            assert_eq!(others(&again.fields), others_written(head));
            check_fields(head, again);
        })
        .expect("what was written is a head");
        // hyper is stricter with targets, and with the hosts in absolute ones.
        let is_as_written = bytes[head.method.len() + 1..].starts_with(head.target.as_bytes());
        if !is_as_written || !oracle::takes_target(head.target) {
            return;
        }
        let seen = oracle::requests(&bytes[..length]).seen;
        assert_eq!((seen[0].method.as_str(), seen.len()), (head.method, 1));
        assert!(is_suffix_of_target(&seen[0].target, head.target));
    })
    .unwrap_or_default();
}

/// The same for responses.
pub fn response_head(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    head_end_fuzz::check_response(data, &LIMITS);
    let Some(length) = scan_split_anywhere(data, &LIMITS, Scan::response) else { return };
    let mut storage = Storage::new();
    let Ok(head) = parse::response(&data[..length], &LIMITS, &mut storage) else { return };
    let Ok(framing) = framing::response(&head, Method::Idempotent) else { return };
    let written = write_response(&head, framing, ConnectionHeader::Implied);
    let mut storage = Storage::new();
    let again = parse::response(&written, &WIDER, &mut storage).expect("a head");
    assert_eq!((again.status, again.reason), (head.status, head.reason));
    assert_eq!(again.version, Version::Http11);
    assert_eq!(framing::response(&again, Method::Idempotent), Ok(framing));
    assert_eq!(others(&again.fields), kept(&head.fields));
    for hop in [Name::HopByHop, Name::Te] {
        assert_eq!(again.fields.values(hop).count(), 0);
    }
    let connections: Vec<_> = again.fields.values(Name::Connection).collect();
    let expected: &[&[u8]] = if head.status == 426 { &[b"upgrade"] } else { &[] };
    assert_eq!(connections, expected);
    if head.status >= 200 {
        let answered = oracle::response(&data[..length], "GET", Then::Nothing);
        answered.expect("hyper takes what we take");
    }
}

/// Whatever the fields say, a body we take ends for us where it ends for hyper.
pub fn framing(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let (version, fields) =
        if let Some(rest) = data.strip_prefix(b"0") { ("1.0", rest) } else { ("1.1", data) };
    let mut bytes = format!("POST / HTTP/{version}\r\nHost: a\r\n").into_bytes();
    bytes.extend_from_slice(fields);
    let walk = Walk::of(&bytes);
    // Only a body we take whole can be compared: hyper takes some that we refuse.
    if let Some(first) = walk.believed.first().filter(|request| request.body.is_some()) {
        let seen = oracle::requests(&bytes).seen;
        assert_eq!(seen.first().map(|seen| &seen.body), Some(&first.body));
    }
    let mut answer = format!("HTTP/{version} 200 OK\r\n").into_bytes();
    answer.extend_from_slice(fields);
    relay_response(&answer, Method::Idempotent, "GET");
}

/// A chunked body is understood the same wherever it is split, and whether or not its data goes on unseen; what goes on
/// is canonical, no size in it was written before its data had come, and hyper finds the same data in it.
pub fn chunked(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let whole = admit(data, Emit::Chunks, &[]);
    for split in splits(data.len()) {
        let halves = admit(data, Emit::Chunks, &[split]);
        let meaning = |admission: &Result<Admission, _>| admission.clone().map(Admission::meaning);
        assert_eq!(meaning(&halves).ok(), meaning(&whole).ok(), "split at {split}");
    }
    for most in [1, 5, 1000] {
        let unseen = admit_unseen(data, most).map(Admission::meaning);
        assert_eq!(unseen.ok(), whole.clone().map(Admission::meaning).ok(), "{most} at a time");
    }
    let bare = admit(data, Emit::Data, &[data.len() / 2]);
    assert_eq!(bare.is_ok(), whole.is_ok());
    let (Ok(whole), Ok(bare)) = (whole, bare) else { return };
    assert_eq!(bare.data, whole.data);
    if !whole.is_done {
        return;
    }
    assert!(data.ends_with(&whole.rest));
    let again = admit(&whole.written, Emit::Chunks, &[]).expect("a body");
    assert_eq!((&again.written, again.rest.len()), (&whole.written, 0));
    check_trailers(whole.trailers.as_deref().expect("its end"));
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let seen = oracle::requests(&[head, &whole.written[..]].concat()).seen;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body.as_deref(), Some(&bare.data[..]));
}

/// One framing out: of whatever comes in, hyper sees in what is written exactly the messages that
/// we believe to have passed on. The first byte chooses what the responses answer.
pub fn rewrite(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let Some((choice, bytes)) = data.split_first() else { return };
    let walk = Walk::of(bytes);
    if walk.believed.iter().all(|request| oracle::takes_target(&request.target)) {
        let observed = oracle::requests(&walk.written);
        assert_eq!(observed.refused, None, "hyper takes what we write");
        assert_eq!(observed.seen, walk.believed);
    }
    let (method, name) =
        if choice % 2 == 0 { (Method::Idempotent, "GET") } else { (Method::Head, "HEAD") };
    relay_response(bytes, method, name);
}

pub(super) fn with_request<T>(
    bytes: &[u8],
    limits: &Limits,
    look: impl FnOnce(&RequestHead<'_, '_>, Framing) -> T,
) -> Result<T, Reject> {
    let mut storage = Storage::new();
    let head = parse::request(bytes, limits, &mut storage)?;
    let framing = framing::request(&head)?;
    Ok(look(&head, framing))
}

pub(super) fn others<'b>(fields: &Fields<'_, 'b>) -> Vec<(&'b [u8], &'b [u8])> {
    let is_other = |known| matches!(known, Name::Other | Name::Date | Name::RequestId | Name::Via);
    let all = fields.iter().filter(|(known, ..)| is_other(*known));
    all.map(|(_, name, value)| (name, value)).collect()
}

/// The fields that are no concern of ours and are not named by Connection.
pub(super) fn kept<'b>(fields: &Fields<'_, 'b>) -> Vec<(&'b [u8], &'b [u8])> {
    let options = Options::of(fields);
    let mut kept = others(fields);
    kept.retain(|(name, _)| !options.names(fields, name));
    kept
}

/// The same, with the X-Request-Id that some requests are given instead of their own.
pub(super) fn others_written<'b>(head: &RequestHead<'_, 'b>) -> Vec<(&'b [u8], &'b [u8])> {
    let mut others = kept(&head.fields);
    if let Some(id) = request_id(head) {
        others.retain(|(name, _)| Name::of(name) != Name::RequestId);
        others.push((b"X-Request-Id", id));
    }
    others
}

/// What is our concern has been written as it should, whatever came.
pub(super) fn check_fields(head: &RequestHead<'_, '_>, written: &RequestHead<'_, '_>) {
    let all = |name| written.fields.values(name).collect::<Vec<_>>();
    for never in [Name::HopByHop, Name::Alias] {
        assert!(all(never).is_empty());
    }
    let is_hostless = head.authority.is_empty() && !head.fields.has(Name::Host);
    let host = if is_hostless { b"here" } else { head.authority };
    assert_eq!(all(Name::Host), [host]);
    let (te, connection) = (all(Name::Te), all(Name::Connection));
    assert!(te.is_empty() || te == [b"trailers"]);
    let upgrades = !all(Name::Upgrade).is_empty();
    let expected: &[&[u8]] = match (upgrades, te.is_empty()) {
        (false, true) => &[],
        (true, true) => &[b"upgrade"],
        (false, false) => &[b"TE"],
        (true, false) => &[b"upgrade, TE"],
    };
    assert_eq!(connection, expected);
    if !is_trusted(head) {
        assert_eq!(all(Name::ForwardedFor), [b"192.0.2.7"]);
        assert_eq!(all(Name::ForwardedProto), [b"http"]);
        assert!(all(Name::ForwardedOther).is_empty() && all(Name::Forwarded).is_empty());
    }
}

/// Some are, some are not.
fn is_trusted(head: &RequestHead<'_, '_>) -> bool {
    head.target.len().is_multiple_of(2)
}

/// Some are given one, some are not.
fn request_id(head: &RequestHead<'_, '_>) -> Option<&'static [u8]> {
    head.method.len().is_multiple_of(2).then_some(b"ours")
}

/// Fields that are no concern of a proxy.
fn check_trailers(mut bytes: &[u8]) {
    while !bytes.starts_with(b"\r\n") {
        let (name, _) = bytes.split_at(bytes.iter().position(|byte| *byte == b':').expect("one"));
        assert!(!Name::of(name).forbidden_in_trailer());
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a line");
        bytes = &bytes[end + 2..];
    }
    assert_eq!(bytes, b"\r\n");
}

/// hyper shows a target that begins with two slashes with an empty authority before it.
pub(super) fn is_suffix_of_target(seen: &str, target: &str) -> bool {
    seen == target || seen.ends_with(target)
}

pub(super) fn write_request(head: &RequestHead<'_, '_>, framing: Framing) -> Vec<u8> {
    let offered = names_protocol(&head.fields, Options::of(&head.fields), head.version);
    let upgrades = offered && !framing.has_body();
    let connection = if upgrades { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
    let mut edits = Edits::new();
    forwarded::edit(&mut edits, head, Hop::SAMPLE, is_trusted(head));
    if head.authority.is_empty() && !head.fields.has(Name::Host) {
        edits.set_host(b"here");
    }
    if let Some(id) = request_id(head) {
        edits.set(EditName::X_REQUEST_ID, Value::checked(id));
    }
    let mut out = Buffer::new();
    encode::request(head, Options::of(&head.fields), &edits, framing, connection, &mut out)
        .expect("a head of 4 KiB fits");
    out.filled().to_vec()
}

pub(super) fn write_response(
    head: &ResponseHead<'_, '_>,
    framing: Framing,
    connection: ConnectionHeader,
) -> Vec<u8> {
    let mut out = Buffer::new();
    encode::response(head, Options::of(&head.fields), &Edits::new(), framing, connection, &mut out)
        .expect("it fits");
    out.filled().to_vec()
}

/// What a body is written as, its data, and what is left after it.
struct Passed {
    written: Vec<u8>,
    /// `None` if it was cut short or refused.
    data: Option<Vec<u8>>,
    used: usize,
}

fn pass_body(framing: Framing, bytes: &[u8]) -> Passed {
    match framing {
        Framing::Empty => Passed { written: Vec::new(), data: Some(Vec::new()), used: 0 },
        Framing::UntilClose => {
            Passed { written: bytes.to_vec(), data: Some(bytes.to_vec()), used: bytes.len() }
        }
        Framing::Length(length) => {
            let used = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
            let written = bytes[..used].to_vec();
            let data = (used as u64 == length).then(|| written.clone());
            Passed { written, data, used }
        }
        Framing::Chunked => match admit(bytes, Emit::Chunks, &[]) {
            Ok(Admission { written, data, rest, is_done: true, .. }) => {
                Passed { written, data: Some(data), used: bytes.len() - rest.len() }
            }
            Ok(Admission { written, .. }) => Passed { written, data: None, used: bytes.len() },
            Err(_) => Passed { written: Vec::new(), data: None, used: bytes.len() },
        },
    }
}

/// What a client's bytes come to.
struct Walk {
    believed: Vec<Seen>,
    written: Vec<u8>,
}

impl Walk {
    /// Reads request after request until one is refused or cut short.
    fn of(mut bytes: &[u8]) -> Self {
        let mut walk = Self { believed: Vec::new(), written: Vec::new() };
        loop {
            bytes = &bytes[leading_blank(bytes)..];
            let Ok(Some(length)) = Scan::request().advance(bytes, &LIMITS) else { return walk };
            let read = with_request(&bytes[..length], &LIMITS, |head, framing| {
                let seen = Seen {
                    method: head.method.to_owned(),
                    target: head.path_and_query().into_owned(),
                    body: None,
                };
                (seen, framing, write_request(head, framing))
            });
            let Ok((seen, framing, written)) = read else { return walk };
            let passed = pass_body(framing, &bytes[length..]);
            walk.written.extend(written);
            walk.written.extend(passed.written);
            let is_whole = passed.data.is_some();
            walk.believed.push(Seen { body: passed.data, ..seen });
            if !is_whole {
                return walk;
            }
            bytes = &bytes[length + passed.used..];
        }
    }
}

/// Passes on one final response: hyper sees the same in what came and in what is written.
fn relay_response(bytes: &[u8], method: Method, name: &str) {
    let Ok(Some(length)) = Scan::response().advance(bytes, &LIMITS) else { return };
    let mut storage = Storage::new();
    let Ok(head) = parse::response(&bytes[..length], &LIMITS, &mut storage) else { return };
    let Ok(framing) = framing::response(&head, method) else { return };
    if head.status < 200 {
        return;
    }
    let close = framing == Framing::UntilClose;
    let connection = if close { ConnectionHeader::Close } else { ConnectionHeader::Implied };
    let mut written = write_response(&head, framing, connection);
    let passed = pass_body(framing, &bytes[length..]);
    written.extend(passed.written);
    let ours = Answered {
        status: head.status,
        body: passed.data,
        length: written.len(),
        persists: !close,
    };
    let theirs = oracle::response(&written, name, Then::Fin).expect("hyper takes what we write");
    assert_eq!(theirs.as_ref(), Some(&ours));
    // What came whole for us is read the same by others; hyper may take what we refuse.
    if ours.body.is_some() {
        let before = oracle::response(bytes, name, Then::Fin).expect("hyper takes what we take");
        let before = before.expect("there is a head");
        let persists = before.persists;
        let expected = Answered { length: length + passed.used, persists, ..ours };
        assert_eq!(before, expected);
    }
}

#[cfg(test)]
mod tests {
    use crate::corpus::replay;

    #[test]
    fn request_head() {
        replay("request_head", 3_000, super::request_head);
    }

    #[test]
    fn response_head() {
        replay("response_head", 3_000, super::response_head);
    }

    #[test]
    fn framing() {
        replay("framing", 3_000, super::framing);
    }

    #[test]
    fn chunked() {
        replay("chunked", 3_000, super::chunked);
    }

    #[test]
    fn rewrite() {
        replay("rewrite", 3_000, super::rewrite);
    }
}
