//! Origins at several addresses of one port, and a balancer whose endpoints are looked up.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::dns::Dns;
use super::origin::ok;
use super::{Admin, Client, Origin, Process, eventually};

/// An origin that answers with its address.
pub struct Backend {
    pub origin: Origin,
    /// Its open connections.
    open: Arc<AtomicUsize>,
}

impl Backend {
    fn new(listener: TcpListener) -> Self {
        let name = listener.local_addr().unwrap().ip().to_string();
        let open = Arc::<AtomicUsize>::default();
        let ours = Arc::clone(&open);
        let origin = Origin::serving(listener, move |conn| {
            ours.fetch_add(1, Ordering::SeqCst);
            conn.answer_all(&ok(&name));
            ours.fetch_sub(1, Ordering::SeqCst);
        });
        Self { origin, open }
    }

    /// Waits until nobody is connected to it.
    pub fn is_left(&self) {
        eventually("its connections are closed", || self.open.load(Ordering::SeqCst) == 0);
    }
}

/// Origins at 127.0.0.1, 127.0.0.2 and so on, all at one port.
pub fn on_one_port(count: usize) -> (u16, Vec<Backend>) {
    let bind = |last: usize, port: u16| TcpListener::bind(format!("127.0.0.{last}:{port}"));
    let (port, listeners) = loop {
        let first = bind(1, 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let others: Result<Vec<_>, _> = (2..=count).map(|last| bind(last, port)).collect();
        if let Ok(others) = others {
            break (port, std::iter::once(first).chain(others));
        }
    };
    (port, listeners.map(Backend::new).collect())
}

/// A balancer that asks this name server.
pub fn asking(dns: &Dns, words: &[&str]) -> Admin {
    Admin::start(&[&[&*dns.flag()], words].concat())
}

/// A test of the configuration of these words passes, and says this among others.
pub fn passes_and_says(words: &[&str], told: &str) {
    let (code, lines) = Process::start(&[&["-t", "--listen=127.0.0.1:0"], words].concat()).end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:#?}");
}

/// Which of the endpoints answer, of many requests, in order.
pub fn answering(admin: &Admin) -> Vec<String> {
    let mut client = admin.client();
    let mut texts: Vec<String> = (0..20)
        .map(|_| {
            client.get("/");
            client.response().text()
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// The addresses of the endpoints, without their ports.
pub fn endpoints(admin: &Admin) -> Vec<String> {
    let status = admin.status();
    let listed = status["upstreams"][0]["endpoints"].as_array().unwrap();
    let address = |endpoint: &Value| {
        let address = endpoint["address"].as_str().unwrap();
        address.rsplit_once(':').unwrap().0.to_owned()
    };
    listed.iter().map(address).collect()
}

/// Waits until these are the endpoints.
pub fn eventually_has(admin: &Admin, expected: &[&str]) {
    eventually(&format!("the endpoints are {expected:?}"), || endpoints(admin) == expected);
}

/// Sends requests on two connections, which both have to be answered with 200, until it is dropped.
pub struct Load {
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    pub fn on(admin: &Admin) -> Self {
        let (ends, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = [(); 2].map(|()| {
            let mut client = Client::connect(admin.address);
            let (ends, answered) = (Arc::clone(&ends), Arc::clone(&answered));
            thread::spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    client.get("/");
                    assert_eq!(client.response().status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        Self { ends, answered, threads: threads.into() }
    }

    /// Waits for more answers.
    pub fn goes_on(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("requests are answered", || self.answered.load(Ordering::SeqCst) >= before + 20);
    }

    /// Ends it; fails if any request has failed.
    pub fn ends(self) {
        self.ends.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("no request fails");
        }
    }
}
