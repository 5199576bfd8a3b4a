//! The balancer under test, in this process, on port 0.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use evener::address::Address;
use evener::config::Config;
use evener::config::cli::Cli;
use evener::config::sources::Sources;
use evener::control::{Running, WorkerMain, rules_worker, start, worker_main};
use evener::filters::Filters;
use evener::filters::chain::Chain;
use evener::filters::rules::Rules;
use evener::metrics::{Counter, Metrics};
use evener::plan::Plan;
use evener::upstream::endpoint::Endpoint;

use super::{Client, Origin, Response};

pub struct Proxy {
    running: Option<Running>,
    pub address: SocketAddr,
}

/// A command line with one thread and no health checks, unless the flags say otherwise.
fn command<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["evener"];
    for (flag, value) in [("--threads", "1"), ("--check", "off"), ("--log-level", "off")] {
        if !flags.contains(&flag) {
            words.extend([flag, value]);
        }
    }
    words.extend(flags);
    words
}

/// The configuration of these flags: port 0, and one thread and no health checks unless they say
/// otherwise.
pub fn config(flags: &[&str]) -> Config {
    let mut words = command(flags);
    words.extend(["--listen", "127.0.0.1:0"]);
    configured(&words)
}

fn configured(words: &[&str]) -> Config {
    let cli = Cli::try_parse_from(words).expect("flags");
    let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Config::new(&Sources::typed(cli.flags), &resolve, &|_| false).expect("flags that make sense")
}

impl Proxy {
    /// Starts it with these flags, on one thread and without health checks unless they say otherwise.
    pub fn start(flags: &[&str]) -> Self {
        Self::run(config(flags))
    }

    /// Like [`Proxy::start`], listening only where the flags say.
    pub fn start_words(flags: &[&str]) -> Self {
        Self::run(configured(&command(flags)))
    }

    /// Starts it with this configuration.
    pub fn configured(config: Config) -> Self {
        Self::run(config)
    }

    /// Starts it with this configuration, and with these filters after its rules.
    pub fn configured_with(config: Config, filters: impl Filters) -> Self {
        Self::run_as(config, worker_main(Arc::new(Chain(Rules, filters))))
    }

    fn run(config: Config) -> Self {
        Self::run_as(config, rules_worker())
    }

    fn run_as(config: Config, main: WorkerMain) -> Self {
        let running = start(config, main, None, || Ok(())).expect("start");
        let Some(&Address::Tcp(address)) = running.addresses().next() else { panic!("not TCP") };
        Self { running: Some(running), address }
    }

    /// Starts it with these origins behind the route `/`, and with these additional flags.
    pub fn before(origins: &[&Origin], flags: &[&str]) -> Self {
        let addresses: Vec<String> =
            origins.iter().map(|origin| origin.address.to_string()).collect();
        let route = format!("/={}", addresses.join(","));
        let mut words = vec!["--route", route.as_str()];
        words.extend(flags);
        Self::start(&words)
    }

    /// All TCP addresses it listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let running = self.running.as_ref().expect("running");
        let tcp =
            |address: &Address| if let Address::Tcp(tcp) = address { Some(*tcp) } else { None };
        running.addresses().filter_map(tcp).collect()
    }

    /// A new connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends GET on a new connection.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.client();
        client.get(path);
        client.response()
    }

    /// Sends a request on a new connection.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.client().ask(request)
    }

    /// The value of a counter, summed over the workers.
    pub fn count(&self, counter: impl Fn(&Metrics) -> &Counter) -> u64 {
        let running = self.running.as_ref().expect("running");
        running.metrics.iter().map(|metrics| counter(metrics).get()).sum()
    }

    /// A value computed from the metrics, summed over the workers.
    pub fn metrics(&self, counted: impl Fn(&Metrics) -> u64) -> u64 {
        let running = self.running.as_ref().expect("running");
        running.metrics.iter().map(|metrics| counted(metrics)).sum()
    }

    /// Attempts at an endpoint of the first upstream, summed over the workers.
    pub fn attempts(&self, endpoint: usize) -> u64 {
        let running = self.running.as_ref().expect("running");
        running.plan().upstreams[0].endpoints[endpoint].record.begun()
    }

    /// How many requests wait in the queue of the first upstream.
    pub fn waiting(&self) -> usize {
        self.plan().upstreams[0].record.queue.waiting()
    }

    /// Reloads with these flags and returns what that changes.
    pub fn reload(&mut self, flags: &[&str]) -> Result<Vec<String>, String> {
        let running = self.running.as_mut().expect("running");
        running.reload(config(flags)).map_err(|error| error.to_string())
    }

    /// Like [`Proxy::start`], listening only where the flags say.
    pub fn reload_words(&mut self, flags: &[&str]) -> Result<Vec<String>, String> {
        let running = self.running.as_mut().expect("running");
        running.reload(configured(&command(flags))).map_err(|error| error.to_string())
    }

    /// Gives an upstream other endpoints from now on.
    pub fn replace(&mut self, upstream: &str, endpoints: Vec<Endpoint>) -> Result<(), String> {
        let running = self.running.as_mut().expect("running");
        running.replace_endpoints(upstream, endpoints).map_err(|error| error.to_string())
    }

    /// The numbers of access log lines written and dropped.
    pub fn log_counts(&self) -> (u64, u64) {
        let log = self.running.as_ref().expect("running").access_log().expect("an access log");
        log.counts().expect("an open one")
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        self.running.as_ref().expect("running").plan()
    }

    /// Drains it like SIGTERM; returns how many sessions were cut.
    pub fn drain(mut self, limit: Duration) -> usize {
        self.running.take().expect("running").drain(limit)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain(Duration::ZERO);
        }
    }
}
