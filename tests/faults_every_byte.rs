//! Responses and requests that are cut after each of their bytes.

use std::sync::mpsc::sync_channel;

use crate::support::origin::ok;
use crate::support::{CheckVerdict, Ending, HANG, Origin, Proxy, eventually};

/// Answers `/N` with the first N bytes of the response and ends the connection; answers everything else
/// normally.
fn cutting(answer: &'static str, ending: Ending) -> Origin {
    Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let target = head.split(' ').nth(1).unwrap_or_default();
            if let Ok(count) = target.trim_start_matches('/').parse::<usize>() {
                conn.send(&answer[..count]);
                return conn.leave(ending);
            }
            conn.send(ok("well"));
        }
    })
}

/// Cuts a response with this body after every byte: the client never mistakes a part for the whole.
fn cut_everywhere(answer: &'static str, data: &str) {
    for version in ["1.0", "1.1"] {
        for ending in Ending::BOTH {
            cut_on(true, version, answer, data, ending);
            cut_on(false, version, answer, data, ending);
        }
    }
}

/// Cuts a response after every byte, on used or on new connections, for this version and this ending.
fn cut_on(used: bool, version: &str, answer: &'static str, data: &str, ending: Ending) {
    let head = answer.find("\r\n\r\n").unwrap() + 4;
    let has_end = ["Length: ", "chunked"].iter().any(|framing| answer.contains(framing));
    let origin = cutting(answer, ending);
    let idle_max = if used { "9" } else { "0" };
    let proxy = Proxy::before(&[&origin], &["--max-idle", idle_max, "--max-fails", "255"]);
    for count in 0..=answer.len() {
        if used {
            // Leaves a used connection in the pool.
            assert_eq!(proxy.get("/well").text(), "well");
        }
        let mut client = proxy.client();
        let fields = "Host: a\r\nConnection: close\r\n";
        client.send(format!("GET /{count} HTTP/{version}\r\n{fields}\r\n"));
        let verdict = client.verdict();
        let fits = match &verdict {
            CheckVerdict::Whole(502, _) => count < head,
            CheckVerdict::Whole(200, got) if has_end => count == answer.len() && got == data,
            CheckVerdict::Whole(200, got) => {
                ending == Ending::Close && count >= head && *got == data[..count - head]
            }
            CheckVerdict::Cut(200, got) => {
                let is_cut = if has_end { count < answer.len() } else { ending == Ending::Reset };
                count >= head && is_cut && data.starts_with(got)
            }
            _ => false,
        };
        assert!(fits, "{verdict:?} after {count} bytes, {ending:?}, {version}, used: {used}");
    }
    assert_eq!(proxy.get("/well").text(), "well");
}

#[test]
fn an_answer_with_a_length_is_never_whole_before_its_last_byte() {
    cut_everywhere("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "hello world");
}

#[test]
fn an_answer_in_chunks_is_never_whole_before_its_last_byte() {
    cut_everywhere(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         05;x=y\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n",
        "hello world",
    );
}

#[test]
fn an_answer_that_ends_with_its_connection_is_never_whole_if_that_is_reset() {
    cut_everywhere("HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello world", "hello world");
}

/// Breaks off a POST with this body after every byte, by a close and by a reset: the endpoint gets no
/// complete request before the last byte and none twice, and the next is served.
fn broken_off_everywhere(field: &str, body: &'static str) {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    let request = head.clone() + body;
    for ending in Ending::BOTH {
        let (sender, complete) = sync_channel(1);
        let origin = Origin::start(move |mut conn| {
            while conn.head().is_some() {
                let whole = conn.bytes(body.len()).is_some();
                let _ = sender.send(whole);
                if !whole {
                    return;
                }
                conn.send(ok("well"));
            }
        });
        let proxy = Proxy::before(&[&origin], &["--max-fails", "1"]);
        for count in 0..request.len() {
            let mut client = proxy.client();
            let before = origin.heads().len();
            client.send(&request[..count]);
            if count >= head.len() {
                eventually("it arrives", || origin.heads().len() > before);
            }
            if ending == Ending::Close {
                client.finish();
                assert!(client.is_closed(), "{count}");
            }
            client.leave(ending);
            if count >= head.len() {
                assert_eq!(complete.recv_timeout(HANG), Ok(false), "{count} {ending:?}");
            }
        }
        assert_eq!(proxy.ask(&request).text(), "well");
        assert_eq!(complete.recv_timeout(HANG), Ok(true));
        assert_eq!(origin.connections(), body.len() + 1, "{ending:?}");
        assert_eq!(proxy.drain(HANG), 0);
    }
}

#[test]
fn a_request_with_a_length_is_never_whole_before_its_last_byte() {
    broken_off_everywhere("Content-Length: 11", "hello world");
}

#[test]
fn a_request_in_chunks_is_never_whole_before_its_last_byte() {
    let body = "5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n";
    broken_off_everywhere("Transfer-Encoding: chunked", body);
}
