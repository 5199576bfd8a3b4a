//! An origin that accepts only what the proxy may write, and answers as scripted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::origin::{ok, ok_head};
use crate::support::{Conn, Origin};

/// How requests are answered.
#[derive(Clone, Debug)]
pub enum Script {
    /// With a plain 200.
    Plain,
    /// With these bytes on the first connection with a request, or on that of this index; with a plain
    /// 200 on all others.
    First(Vec<u8>, Option<usize>),
    /// With these bytes.
    Always(Vec<u8>),
    /// With these bytes, then by closing the connection.
    Last(Vec<u8>),
}

/// A complete request.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The index of its connection, from 0.
    pub connection: usize,
    /// The whole request, without the headers that the proxy adds to every request.
    pub text: String,
}

pub struct Strict {
    pub origin: Origin,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    arrived: Mutex<Vec<Arrived>>,
    ended: AtomicUsize,
}

impl Strict {
    pub fn start() -> Self {
        let (script, arrived) = (Mutex::new(Script::Plain), Mutex::default());
        let state = Arc::new(State { script, arrived, ended: AtomicUsize::new(0) });
        let served = Arc::clone(&state);
        let origin = Origin::start(move |mut conn| {
            served.serve(&mut conn);
            conn.close();
            served.ended.fetch_add(1, Ordering::SeqCst);
        });
        Self { origin, state }
    }

    /// Uses this script from now on.
    pub fn follow(&self, script: Script) {
        *self.state.script.lock().unwrap() = script;
    }

    /// The complete requests so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.arrived.lock().unwrap().clone()
    }

    /// The number of connections that have ended.
    pub fn ended(&self) -> usize {
        self.state.ended.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve(&self, conn: &mut Conn) {
        while let Some(head) = conn.head() {
            let Some(body) = body(conn, &head) else { return };
            let has_body = !head.starts_with("HEAD ");
            let text = without_added(&(head + &String::from_utf8_lossy(&body)));
            self.arrived.lock().unwrap().push(Arrived { connection: conn.index, text });
            let script = self.script(conn.index);
            let plain = if has_body { ok("in") } else { ok_head(2) };
            match script {
                Script::First(answer, Some(index)) if index == conn.index => conn.send(answer),
                Script::Plain | Script::First(..) => conn.send(plain),
                Script::Always(answer) => conn.send(answer),
                Script::Last(answer) => return conn.send(answer),
            }
        }
    }

    /// How to answer the next request on this connection.
    fn script(&self, connection: usize) -> Script {
        let mut script = self.script.lock().unwrap();
        if let Script::First(_, index) = &mut *script {
            index.get_or_insert(connection);
        }
        script.clone()
    }
}

/// Reads the body after these headers, as sent; `None` if it is anything the proxy must not write.
fn body(conn: &mut Conn, head: &str) -> Option<Vec<u8>> {
    let framing: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| {
            ["content-length", "transfer-encoding"].contains(&&*name.to_lowercase())
        })
        .collect();
    match framing[..] {
        [] => Some(Vec::new()),
        [("Content-Length", length)] => conn.bytes(length.parse().ok()?),
        [("Transfer-Encoding", "chunked")] => chunks(conn),
        _ => None,
    }
}

fn chunks(conn: &mut Conn) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = line(conn)?;
        let size = std::str::from_utf8(&line).ok()?.trim_end();
        let size = usize::from_str_radix(size, 16).ok()?;
        body.extend(&line);
        if size == 0 {
            break;
        }
        body.extend(conn.bytes(size + 2)?);
    }
    while !body.ends_with(b"\r\n\r\n") {
        body.extend(line(conn)?);
    }
    Some(body)
}

fn line(conn: &mut Conn) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(conn.bytes(1)?);
    }
    Some(line)
}

fn without_added(request: &str) -> String {
    let added = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n";
    let (before, mut rest) = request.split_once(added).expect("the added headers");
    if rest.starts_with("X-Forwarded-Host: ") {
        rest = rest.split_once("\r\n").expect("the end of a line").1;
    }
    before.to_owned() + rest
}
