//! A name server that says what a test has it say: over UDP up to 512 bytes, the rest over TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use super::HANG;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The largest answer over UDP without extensions (RFC 1035 §4.2.1).
const UDP_BYTES_MAX: usize = 512;

pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

/// What a name server does when it has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// `NOERROR` without records.
    Empty,
    /// `NXDOMAIN`.
    NoSuchName,
    /// `SERVFAIL`.
    Fails,
    /// No answer at all.
    Silent,
}

/// Priority, weight, port and target.
pub type Srv<'a> = (u16, u16, u16, &'a str);

#[derive(Default)]
struct Zone {
    names: HashMap<String, Answer>,
    over_tcp: usize,
}

#[derive(Clone)]
enum Answer {
    /// Type and data of each.
    Records(Vec<(u16, Vec<u8>)>),
    Failing(Failing),
}

impl Dns {
    /// One that knows no name.
    pub fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("an address");
        let zone = Arc::<Mutex<Zone>>::default();
        let (of_udp, of_tcp) = (Arc::clone(&zone), Arc::clone(&zone));
        thread::spawn(move || {
            let mut query = [0; 2048];
            while let Ok((length, from)) = udp.recv_from(&mut query) {
                if let Some(answer) = answered(&query[..length], &of_udp, UDP_BYTES_MAX) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming().map_while(Result::ok) {
                let zone = Arc::clone(&of_tcp);
                thread::spawn(move || serve(stream, &zone));
            }
        });
        Self { address, zone }
    }

    /// The flag that names it.
    pub fn flag(&self) -> String {
        format!("--resolver={}", self.address)
    }

    /// The name has these addresses from now on, with a TTL of 1 s.
    pub fn says(&self, name: &str, addresses: &[&str]) {
        let records = addresses.iter().map(|text| match text.parse().expect("an address") {
            IpAddr::V4(ip) => (A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
        });
        self.set(name, Answer::Records(records.collect()));
    }

    /// The name has these services from now on.
    pub fn serves(&self, name: &str, services: &[Srv<'_>]) {
        let record = |(priority, weight, port, target): &Srv<'_>| {
            let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
            (SRV, [numbers.concat(), encoded(target)].concat())
        };
        self.set(name, Answer::Records(services.iter().map(record).collect()));
    }

    /// The name has no answer from now on.
    pub fn fails(&self, name: &str, how: Failing) {
        self.set(name, Answer::Failing(how));
    }

    fn set(&self, name: &str, answer: Answer) {
        self.zone.lock().expect("lock").names.insert(name.to_owned(), answer);
    }

    /// How many questions came over TCP.
    pub fn asked_over_tcp(&self) -> usize {
        self.zone.lock().expect("lock").over_tcp
    }
}

fn serve(mut stream: TcpStream, zone: &Mutex<Zone>) {
    stream.set_read_timeout(Some(HANG)).expect("timeout");
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        zone.lock().expect("lock").over_tcp += 1;
        let Some(answer) = answered(&query, zone, usize::from(u16::MAX)) else { return };
        let length = u16::try_from(answer.len()).expect("a message").to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

/// The answer to a query with one question, if there is to be one.
fn answered(query: &[u8], zone: &Mutex<Zone>, bytes_max: usize) -> Option<Vec<u8>> {
    let (name, end) = decoded(query.get(12..)?)?;
    let question = query.get(12..12 + end + 4)?;
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let answer = {
        let zone = zone.lock().expect("lock");
        zone.names.get(&name).cloned().unwrap_or(Answer::Failing(Failing::NoSuchName))
    };
    let (code, records) = match answer {
        Answer::Failing(Failing::Silent) => return None,
        Answer::Failing(Failing::Fails) => (2, Vec::new()),
        Answer::Failing(Failing::NoSuchName) => (3, Vec::new()),
        Answer::Failing(Failing::Empty) => (0, Vec::new()),
        Answer::Records(records) => (0, records),
    };
    let records: Vec<_> = records.into_iter().filter(|(own, _)| *own == kind).collect();
    let message = |truncated: u8, records: &[(u16, Vec<u8>)]| {
        let count = u16::try_from(records.len()).expect("a count").to_be_bytes();
        // A response that is authoritative and may recurse (RFC 1035 §4.1.1).
        let mut out =
            [&query[..2], &[0x85 | truncated, 0x80 | code, 0, 1], &count, &[0; 4]].concat();
        out.extend(question);
        for (kind, data) in records {
            // The name is that of the question; a TTL of 1 s.
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 1]);
            out.extend(u16::try_from(data.len()).expect("data").to_be_bytes());
            out.extend(data);
        }
        out
    };
    let whole = message(0, &records);
    Some(if whole.len() > bytes_max { message(2, &[]) } else { whole })
}

/// The name at the beginning, in lower case, and its length there.
fn decoded(bytes: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 0);
    loop {
        let length = usize::from(*bytes.get(at)?);
        let label = bytes.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            return Some((labels.join(".").to_ascii_lowercase(), at));
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("a label"));
        out.extend(label.bytes());
    }
    out.push(0);
    out
}
