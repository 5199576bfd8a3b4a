//! A balancer as a separate process, with an admin listener.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Client, Origin, Process, Response, eventually};

pub struct Admin {
    pub process: Process,
    /// The address for clients.
    pub address: SocketAddr,
    /// The address of the admin listener.
    pub at: SocketAddr,
}

impl Admin {
    /// Starts it with one thread and no health checks, unless the arguments say otherwise.
    pub fn start(words: &[&str]) -> Self {
        let mut all = vec!["--admin", "127.0.0.1:0"];
        for (flag, value) in [("--threads", "1"), ("--check", "off"), ("--listen", "127.0.0.1:0")] {
            if !words.contains(&flag) && !words.contains(&"-c") {
                all.extend([flag, value]);
            }
        }
        all.extend(words);
        Self::with(&all)
    }

    /// Starts it with exactly these arguments.
    pub fn with(words: &[&str]) -> Self {
        let process = Process::start(words);
        let at = process.announces("admin on ").parse().expect("an address");
        Self { address: process.address(), process, at }
    }

    /// Starts it with these origins behind the route `/`.
    pub fn before(origins: &[&Origin], more: &[&str]) -> Self {
        let addresses: Vec<String> = origins.iter().map(|own| own.address.to_string()).collect();
        let route = format!("/={}", addresses.join(","));
        Self::start(&[&["--route", &route], more].concat())
    }

    /// A new connection to the balancing listener.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends a request to the admin listener, with these additional header lines.
    pub fn ask(&self, method: &str, path: &str, lines: &str) -> Response {
        let host = if lines.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\n{host}{lines}\r\n");
        let mut client = Client::connect(self.at);
        client.send(request);
        client.response_with(method != "HEAD")
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, "")
    }

    pub fn post(&self, path: &str) -> Response {
        self.ask("POST", path, "")
    }

    /// Sends a command about an endpoint of the route `/`.
    pub fn order(&self, origin: &Origin, verb: &str) -> Response {
        self.post(&format!("/upstreams/%2F/endpoints/{}/{verb}", origin.address))
    }

    pub fn status(&self) -> Value {
        let response = self.get("/status");
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.body).expect("JSON")
    }

    /// An endpoint of the first upstream, from `/status`.
    pub fn endpoint(&self, index: usize) -> Value {
        self.status()["upstreams"][0]["endpoints"][index].clone()
    }

    /// Waits until an endpoint is in that state.
    pub fn until(&self, index: usize, state: &str) {
        eventually(state, || self.endpoint(index)["state"] == state);
    }

    /// The value of a metric, given its name with any labels.
    pub fn metric(&self, sample: &str) -> u64 {
        let text = self.get("/metrics").text();
        let mut values =
            text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        values
            .next()
            .unwrap_or_else(|| panic!("{sample} in\n{text}"))
            .parse()
            .expect("a whole number")
    }
}
