//! Connections that go stale at random moments: requests that must not be repeated arrive once, and
//! those that may be repeated succeed.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::support::{HANG, Proxy};

const CLIENTS: usize = 8;
const REQUESTS: usize = 100_000;

/// Xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }
}

/// How often each request has arrived completely, by path.
type Arrivals = Arc<Mutex<HashMap<String, usize>>>;

/// Always answers the first request on a connection, and ends the connection at a random point during
/// or between later ones.
fn origin(arrivals: &Arrivals) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, arrivals) = (listener.local_addr().unwrap(), Arc::clone(arrivals));
    thread::spawn(move || {
        for (stream, seed) in listener.incoming().map_while(Result::ok).zip(1..) {
            let (arrivals, random) =
                (Arc::clone(&arrivals), Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)));
            thread::spawn(move || serve(stream, random, &arrivals));
        }
    });
    address
}

fn serve(mut stream: TcpStream, mut random: Random, arrivals: &Arrivals) {
    stream.set_nodelay(true).unwrap();
    let mut held = Vec::new();
    for served in 0.. {
        let fails = served > 0 && random.below(6) == 0;
        if fails && random.below(3) == 0 {
            return read_on(&mut stream, &mut held, arrivals);
        }
        if fails && random.below(2) == 0 {
            // Between two requests, about when the next one arrives.
            let idle = Duration::from_micros(random.below(300));
            stream.set_read_timeout(Some(idle.max(Duration::from_micros(1)))).unwrap();
            let came = stream.peek(&mut [0]).is_ok();
            return part(&stream, came && random.below(2) == 0);
        }
        stream.set_read_timeout(Some(HANG)).unwrap();
        if fails && random.below(2) == 0 {
            // Within a request.
            let _ = stream.read(&mut [0; 20]);
            return part(&stream, random.below(2) == 0);
        }
        let Some(path) = request(&mut stream, &mut held) else { return };
        *arrivals.lock().unwrap().entry(path).or_default() += 1;
        if fails && random.below(2) == 0 {
            // After the request is read and perhaps executed.
            return part(&stream, random.below(2) == 0);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if fails {
            return part(&stream, false);
        }
    }
}

/// Half-closes the connection but still executes what arrives, which the proxy must not rule out.
fn read_on(stream: &mut TcpStream, held: &mut Vec<u8>, arrivals: &Arrivals) {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    if let Some(path) = request(stream, held) {
        *arrivals.lock().unwrap().entry(path).or_default() += 1;
    }
    let _ = stream.read(&mut [0]);
}

/// Makes dropping the connection close or reset it.
fn part(stream: &TcpStream, reset: bool) {
    if reset {
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Reads a complete request and returns its path.
fn request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(held).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = if head.contains("Content-Length: 5") { 5 } else { 0 };
            if body.len() >= length {
                held.drain(..head.len() + 4 + length);
                return head.split(' ').nth(1).map(str::to_owned);
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => held.extend_from_slice(&bytes[..count]),
        }
    }
}

#[derive(Default)]
struct Counts {
    /// Idempotent requests answered with anything other than the endpoint's 200.
    idempotent_failed: AtomicUsize,
    posts_failed: AtomicUsize,
    posts_answered: AtomicUsize,
}

/// Sends requests with unique paths; every second one is a POST.
fn ask(proxy: SocketAddr, name: usize, requests: usize, counts: &Counts) {
    let mut client = crate::support::Client::connect(proxy);
    for number in 0..requests {
        let path = format!("/{name}-{number}");
        if number % 2 == 0 {
            let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            counts.idempotent_failed.fetch_add((answer.status != 200).into(), Ordering::Relaxed);
            continue;
        }
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        let answer = client.ask(head + "hello");
        assert!([200, 502].contains(&answer.status), "{}", answer.head);
        let counter =
            if answer.status == 200 { &counts.posts_answered } else { &counts.posts_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn posts_arrive_at_most_once_and_gets_never_fail() {
    let (arrivals, counts) = (Arrivals::default(), Arc::new(Counts::default()));
    let route = format!("/={}", origin(&arrivals));
    let proxy = Proxy::start(&["--route", &route, "--max-fails", "255"]);
    thread::scope(|scope| {
        for name in 0..CLIENTS {
            let (address, counts) = (proxy.address, &counts);
            scope.spawn(move || ask(address, name, REQUESTS / CLIENTS, counts));
        }
    });
    let arrivals = arrivals.lock().unwrap();
    let is_post = |path: &str| path.ends_with(['1', '3', '5', '7', '9']);
    let posts = || arrivals.iter().filter(|(path, _)| is_post(path));
    let arrived_twice: Vec<_> = posts().filter(|(_, count)| **count > 1).collect();
    assert!(arrived_twice.is_empty(), "{arrived_twice:?}");
    assert_eq!(counts.idempotent_failed.load(Ordering::Relaxed), 0);
    let (answered, failed) = (&counts.posts_answered, &counts.posts_failed);
    let executed = posts().count();
    println!(
        "{REQUESTS} requests: {} POSTs answered, {} failed; {executed} POSTs arrived; {} sent again",
        answered.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed),
        proxy.count(|metrics| &metrics.retries),
    );
    assert!(proxy.count(|metrics| &metrics.retries) > 0, "nothing went stale");
}
