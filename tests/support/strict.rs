//! A strict reader of responses: judges only by the framing whether a response is complete or visibly
//! truncated.

/// What was received on a connection before it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// No headers of a final response.
    Headless,
    /// The status and body of a visibly truncated response.
    Cut(u16, String),
    /// The status and body of a complete response, with nothing after it.
    Whole(u16, String),
}

/// Judges all bytes of a connection; `by_reset` is whether it ended with a reset. Panics if they are
/// not HTTP.
pub fn verdict(mut bytes: &[u8], by_reset: bool) -> CheckVerdict {
    loop {
        let Some((head, rest)) = split(bytes, b"\r\n\r\n") else { return CheckVerdict::Headless };
        let head = String::from_utf8(head.to_vec()).expect("a head of text");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status: u16 = status[..3].parse().expect("a status");
        if status >= 200 {
            let (data, whole) = body(&head, rest, by_reset);
            let data = String::from_utf8(data).expect("data of text");
            return if whole {
                CheckVerdict::Whole(status, data)
            } else {
                CheckVerdict::Cut(status, data)
            };
        }
        bytes = rest;
    }
}

/// The body after these headers, and whether it is complete.
fn body(head: &str, rest: &[u8], by_reset: bool) -> (Vec<u8>, bool) {
    let field = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    match (field("content-length"), field("transfer-encoding")) {
        (None, None) => (rest.to_vec(), !by_reset),
        (Some(length), None) => {
            let length: usize = length.parse().expect("a length");
            assert!(rest.len() <= length, "bytes after the response");
            (rest.to_vec(), rest.len() == length)
        }
        (None, Some("chunked")) => chunks(rest),
        odd => panic!("framed by {odd:?}"),
    }
}

fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some((size, after)) = split(rest, b"\r\n") {
        let size = std::str::from_utf8(size).expect("a size of text");
        assert!(size.bytes().all(|byte| byte.is_ascii_hexdigit()), "a size of {size:?}");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return (data, ends(after));
        }
        data.extend(&after[..size.min(after.len())]);
        match after.get(size..) {
            Some([b'\r', b'\n', next @ ..]) => rest = next,
            None | Some([] | b"\r") => return (data, false),
            Some(odd) => panic!("{odd:?} after a chunk"),
        }
    }
    (data, false)
}

/// Whether a trailer section is complete.
fn ends(mut rest: &[u8]) -> bool {
    while let Some((line, after)) = split(rest, b"\r\n") {
        if line.is_empty() {
            assert!(after.is_empty(), "bytes after the response");
            return true;
        }
        assert!(line.contains(&b':'), "{line:?} as a trailer");
        rest = after;
    }
    false
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..start], &bytes[start + at.len()..]))
}

#[test]
fn the_strict_reader_tells_whole_from_cut() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n";
    let lengthy = "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    for whole in [chunked, lengthy] {
        let all = CheckVerdict::Whole(200, "hi".into());
        assert_eq!(verdict(whole.as_bytes(), false), all);
        for count in 0..whole.len() {
            assert_ne!(verdict(&whole.as_bytes()[..count], false), all, "{count}");
        }
    }
    let unframed = b"HTTP/1.1 200 OK\r\n\r\nhi";
    assert_eq!(verdict(unframed, false), CheckVerdict::Whole(200, "hi".into()));
    assert_eq!(verdict(unframed, true), CheckVerdict::Cut(200, "hi".into()));
}
