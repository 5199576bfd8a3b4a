//! A proxy in front of a strict origin, and assertions about each message sent through it.

use std::sync::Mutex;

use evener::metrics::{Counter, Metrics};
use evener::reject::Reject;

use super::PLAIN;
use super::origin::{Script, Strict};
use crate::support::{Client, Proxy, eventually};

/// The headers of a request whose chunks are under test.
pub const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A request sent right after each request under test: executed if that one is misread.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The same request as it arrives, if it may.
const PASSED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A response sent right after each response under test.
const PLANTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted";

/// What happens to the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
}

/// What happens to the endpoint's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// It carries the next exchange.
    Reused,
    /// It is never used again.
    Dropped,
    /// It is not used again right away.
    Rests,
}

pub struct Gate {
    pub proxy: Proxy,
    pub inside: Strict,
}

/// Lends a gate that no other test is using; a new one for each would exhaust the ports.
pub fn lent(test: impl FnOnce(&Gate)) {
    static IDLE: Mutex<Vec<Gate>> = Mutex::new(Vec::new());
    let idle = IDLE.lock().unwrap().pop();
    let gate = idle.unwrap_or_else(|| Gate::new(&[]));
    test(&gate);
    gate.inside.follow(Script::Plain);
    IDLE.lock().unwrap().push(gate);
}

impl Gate {
    pub fn new(flags: &[&str]) -> Self {
        let inside = Strict::start();
        Self { proxy: Proxy::before(&[&inside.origin], flags), inside }
    }

    /// The numbers of messages refused for this reason, and for any reason.
    fn refused(
        &self,
        table: impl Fn(&Metrics) -> &[Counter; Reject::COUNT],
        reject: Reject,
    ) -> (u64, u64) {
        let count = |at: usize| self.proxy.count(|metrics| &table(metrics)[at]);
        (count(reject as usize), (0..Reject::COUNT).map(count).sum())
    }

    /// Asserts that only this request is refused: it is answered, counted once under its reason, and
    /// its connection closed cleanly; nothing after it reaches an endpoint, and the next client is
    /// served.
    pub fn refuses(&self, request: impl AsRef<[u8]>, status: u16, reject: Reject) {
        let requests = self.proxy.count(|metrics| &metrics.requests);
        let bytes = [request.as_ref(), SMUGGLED.as_bytes()].concat();
        self.refuses_last(&mut self.proxy.client(), &bytes, status, reject);
        assert_eq!(self.proxy.count(|metrics| &metrics.requests), requests + 1);
    }

    /// Asserts that these chunks are refused, whether they arrive with the headers or after those were
    /// passed on: no endpoint receives a complete request.
    pub fn refuses_body(&self, chunks: impl AsRef<[u8]>, reject: Reject) {
        let chunks = chunks.as_ref();
        self.refuses([CHUNKED.as_bytes(), chunks].concat(), 400, reject);
        let (heads, ended) = (self.inside.origin.heads().len(), self.inside.ended());
        let whole = self.inside.arrived().len();
        let mut client = self.proxy.client();
        client.send(CHUNKED);
        eventually("the headers are passed on", || self.inside.origin.heads().len() > heads);
        let bytes = [chunks, SMUGGLED.as_bytes()].concat();
        self.refuses_last(&mut client, &bytes, 400, reject);
        eventually("the endpoint's connection ends", || self.inside.ended() > ended);
        assert_eq!(self.inside.arrived().len(), whole + 1);
    }

    /// Asserts that the start of a request is refused without waiting for its end.
    pub fn refuses_at_once(&self, bytes: impl AsRef<[u8]>, status: u16, reject: Reject) {
        self.refuses_last(&mut self.proxy.client(), bytes.as_ref(), status, reject);
    }

    fn refuses_last(&self, client: &mut Client, bytes: &[u8], status: u16, reject: Reject) {
        let refused = || self.refused(|metrics| &metrics.rejects, reject);
        let (before, whole) = (refused(), self.inside.arrived().len());
        let response = client.ask(bytes);
        assert_eq!(response.status, status, "{response:?}");
        assert!(response.text().ends_with(&format!(": {}\n", reject.phrase())), "{response:?}");
        assert_eq!(response.field("connection"), Some("close"));
        assert!(client.ends_cleanly());
        assert_eq!(refused(), (before.0 + 1, before.1 + 1), "{reject:?}");
        let mut next = self.proxy.client();
        assert_eq!(next.ask(SMUGGLED.replace("smuggled", "next")).status, 200);
        assert!(next.ends_cleanly());
        let arrived = &self.inside.arrived()[whole..];
        assert!(matches!(arrived, [one] if one.text.starts_with("GET /next ")), "{arrived:?}");
    }

    /// Asserts that a request is passed on as `expected`, and what follows as the next request, unless
    /// the connection is closed: then that is dropped.
    pub fn passes(&self, request: impl AsRef<[u8]>, after: After, expected: &str) {
        self.passes_in_pieces(usize::MAX, request.as_ref(), after, expected);
    }

    /// Like [`Gate::passes`], sending `size` bytes at a time.
    pub fn passes_in_pieces(&self, size: usize, request: &[u8], after: After, expected: &str) {
        let all = [expected, PASSED];
        let expected = &all[..if after == After::Keep { 2 } else { 1 }];
        assert_eq!(self.arrived_in_pieces(size, request, after), expected);
    }

    /// What arrives of it.
    pub fn arrived_in_pieces(&self, size: usize, request: &[u8], after: After) -> Vec<String> {
        let whole = self.inside.arrived().len();
        let mut client = self.proxy.client();
        for piece in [request, SMUGGLED.as_bytes()].concat().chunks(size) {
            client.send(piece);
        }
        let response = client.response_with(!request.starts_with(b"HEAD "));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.field("connection") == Some("close"), after == After::Close);
        if after == After::Keep {
            assert_eq!(client.response().status, 200);
        }
        assert!(client.ends_cleanly());
        let arrived = self.inside.arrived();
        arrived[whole..].iter().map(|one| one.text.clone()).collect()
    }

    /// Asserts that a response to this request is refused: the client gets a 502 and no byte of it; it
    /// is counted once under its reason, and its connection never used again, whatever follows on it.
    pub fn refuses_response(&self, request: &str, response: impl AsRef<[u8]>, reject: Reject) {
        self.refuses_answer(request, [response.as_ref(), PLANTED].concat(), reject);
    }

    /// Asserts that the start of a response is refused without waiting for its end.
    pub fn refuses_response_at_once(&self, bytes: impl AsRef<[u8]>, reject: Reject) {
        self.refuses_answer(PLAIN, bytes.as_ref().into(), reject);
    }

    fn refuses_answer(&self, request: &str, bytes: Vec<u8>, reject: Reject) {
        self.inside.follow(Script::First(bytes, None));
        let refused = || self.refused(|metrics| &metrics.bad_responses, reject);
        let (before, whole) = (refused(), self.inside.arrived().len());
        let mut client = self.proxy.client();
        client.send(request);
        let answer = client.response_with(!request.starts_with("HEAD "));
        let ours =
            ["HTTP/1.1 502 Bad Gateway", "Date", "Content-Type", "Content-Length", "Connection"];
        let names: Vec<_> = answer.head.lines().filter_map(|line| line.split(':').next()).collect();
        assert!(ours.starts_with(&names) && names.len() > 2, "{answer:?}");
        let phrase = format!("502 Bad Gateway: {}\n", reject.phrase());
        assert!(answer.text() == phrase || request.starts_with("HEAD "), "{answer:?}");
        let next = client.ask("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!((next.status, next.text().as_str()), (200, "in"));
        assert!(client.ends_cleanly());
        assert_eq!(refused(), (before.0 + 1, before.1 + 1), "{reject:?}");
        let arrived = &self.inside.arrived()[whole..];
        assert!(
            matches!(arrived, [first, second] if first.connection != second.connection),
            "{arrived:?}"
        );
    }

    /// Asserts that a response to this request is passed on as `expected`, twice, and with a Date
    /// if it has none. If both connections are to be closed, the endpoint closes its own first,
    /// since that may end the body.
    pub fn returns(
        &self,
        request: &str,
        response: &str,
        (after, upstream): (After, Upstream),
        expected: &str,
    ) {
        let closes = after == After::Close && upstream != Upstream::Reused;
        let script = if closes { Script::Last } else { Script::Always };
        self.inside.follow(script(response.into()));
        let refused = || self.refused(|metrics| &metrics.bad_responses, Reject::StatusLine).1;
        let (before, whole) = (refused(), self.inside.arrived().len());
        let ends = |mut client: Client| {
            client.finish();
            assert!(client.ends_cleanly());
        };
        let asks = |mut client: Client| {
            client.send(request);
            let date = if is_dated(expected) { 0 } else { DATE_BYTES };
            let returned = client.at_most(expected.len() + date);
            assert_eq!(without_date(&String::from_utf8_lossy(&returned), date), expected);
            client
        };
        let mut client = asks(self.proxy.client());
        if after == After::Close {
            ends(client);
            client = self.proxy.client();
        }
        ends(asks(client));
        assert_eq!(refused(), before);
        let connections: Vec<_> =
            self.inside.arrived()[whole..].iter().map(|one| one.connection).collect();
        let [first, second] = connections[..] else { panic!("{connections:?}") };
        assert!(upstream == Upstream::Rests || (first == second) == (upstream == Upstream::Reused));
    }
}

/// How long the line is that a final response without a Date is given.
const DATE_BYTES: usize = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();

/// Whether a response is not given a Date: its own stays, and an interim one has none.
fn is_dated(response: &str) -> bool {
    response.contains("Date: ") || response.starts_with("HTTP/1.1 101 ")
}

/// What was returned without the Date it was given, if that is so long.
fn without_date(returned: &str, length: usize) -> String {
    let Some(at) = returned.find("Date: ").filter(|_| length > 0) else {
        return returned.to_owned();
    };
    assert!(returned[at..].contains(" GMT\r\n"), "{returned}");
    [&returned[..at], &returned[at + length..]].concat()
}
