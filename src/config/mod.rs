//! From what was typed to what is true. Every check happens here; nothing is validated later.

pub mod cli;
pub mod value;

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use ipnet::IpNet;

use crate::address::Address;
use crate::http::authority::is_authority;
use crate::http::head::{FIELDS_CEILING, Limits};
use crate::net::pool;
use crate::route::{Pattern, Router};
use crate::session::caller::Greeting;
use crate::session::services::{Plan, Timeouts, Trusted};
use crate::session::{Entrance, Service};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Thresholds;
use crate::upstream::{Traffic, Upstream};
use cli::Flags;
use value::{Check, Listen, Resolve};

type DurationRange = RangeInclusive<Duration>;

/// Checks more often than this would be load, not checks.
const CHECK_INTERVAL: DurationRange = Duration::from_millis(10)..=Duration::from_secs(3600);

/// An endpoint that is out for hours should be taken out of the flags.
const FAIL_TIMEOUT: DurationRange = Duration::from_millis(1)..=Duration::from_secs(3600);

/// The bound of ejections that double.
const FAIL_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A head must fit twice into a buffer of 64 KiB: the rewritten one may repeat its Host field and
/// the addresses of earlier hops.
const MAX_HEAD: (usize, usize) = (1024, 31 * 1024);

/// What is true for the life of the process.
#[derive(Debug)]
pub struct Config {
    /// Where to listen, and what for: at least one.
    pub listeners: Vec<Listener>,
    /// Workers.
    pub threads: NonZeroUsize,
    /// What sessions follow.
    pub plan: Arc<Plan>,
    /// How endpoints are checked.
    pub check: Check,
    /// How often, and how long a check may take.
    pub check_interval: Duration,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// What is logged.
    pub log_level: log::LevelFilter,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// What it is for.
    pub entrance: Entrance,
}

/// Where HTTP is listened for if nobody says.
const LISTEN: &str = "127.0.0.1:8080";

/// A flag that makes no sense, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}: {}", self.flag, self.what)
    }
}

/// Collects mistakes, so that all of them are told at once.
#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The value, or a note of the mistake and a stand-in that is never used.
    fn note<T>(&mut self, flag: &'static str, value: Result<T, String>, stand_in: T) -> T {
        value.unwrap_or_else(|what| {
            self.0.push(Mistake { flag, what });
            stand_in
        })
    }

    fn duration(&mut self, flag: &'static str, text: &str) -> Duration {
        self.note(flag, value::duration(text), Duration::ZERO)
    }

    fn duration_from(&mut self, flag: &'static str, text: &str, range: DurationRange) -> Duration {
        let value = value::duration(text).and_then(|duration| {
            range.contains(&duration).then_some(duration).ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("{text:?} is out of range: {least:?} to {most:?}")
            })
        });
        self.note(flag, value, Duration::ZERO)
    }
}

impl Config {
    /// What the flags mean, or everything that is wrong with them.
    pub fn new(flags: &Flags, resolve: Resolve<'_>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let mut listeners = http_listeners(flags, resolve, &mut mistakes);
        let mut plan = plan(flags, resolve, &mut mistakes);
        relays(flags, resolve, &mut plan, &mut listeners, &mut mistakes);
        refuse_repeats(&listeners, &mut mistakes);
        refuse_loops(&listeners, &plan, &mut mistakes);
        let config = Self {
            listeners,
            threads: mistakes.note("threads", threads(&flags.threads), NonZeroUsize::MIN),
            check: mistakes.note("check", value::check(&flags.check), Check::Off),
            check_interval: mistakes.duration_from(
                "check-interval",
                &flags.check_interval,
                CHECK_INTERVAL,
            ),
            drain_timeout: mistakes.duration("drain-timeout", &flags.drain_timeout),
            log_level: mistakes.note(
                "log-level",
                flags.log_level.parse().map_err(|_| {
                    format!("{:?} is none of off, error, warn, info, debug", flags.log_level)
                }),
                log::LevelFilter::Info,
            ),
            plan: Arc::new(plan),
        };
        if mistakes.0.is_empty() { Ok(config) } else { Err(mistakes.0) }
    }
}

/// The number of threads; 0 stands for the cores this process may use.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let wanted = value::number(text, 0, 1024)?;
    Ok(NonZeroUsize::new(wanted)
        .or_else(|| available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN))
}

fn http_listeners(flags: &Flags, resolve: Resolve<'_>, mistakes: &mut Mistakes) -> Vec<Listener> {
    let by_default = (flags.listen.is_empty() && flags.tcp.is_empty())
        || (flags.listen.is_empty() && !flags.route.is_empty());
    let texts = flags.listen.iter().map(String::as_str).chain(by_default.then_some(LISTEN));
    let mut listeners = Vec::new();
    for text in texts {
        match value::listen(text, resolve) {
            Err(what) => mistakes.0.push(Mistake { flag: "listen", what }),
            Ok(listen) => {
                mistakes.note("listen", check_trust(flags, listen.greeting), ());
                listeners.extend(entrances(listen, Service::Http));
            }
        }
    }
    listeners
}

fn entrances(listen: Listen, service: Service) -> impl Iterator<Item = Listener> {
    let entrance = Entrance { greeting: listen.greeting, service };
    listen.addresses.into_iter().map(move |address| Listener { address, entrance })
}

/// A header of the PROXY protocol is taken from somebody in particular or from nobody.
fn check_trust(flags: &Flags, greeting: Greeting) -> Result<(), String> {
    if greeting == Greeting::ProxyHeader && flags.trusted.is_empty() {
        return Err("\",proxy\" takes the word of --trusted only: say whose that is".to_owned());
    }
    Ok(())
}

/// Adds an upstream and its listeners for each `--tcp`.
fn relays(
    flags: &Flags,
    resolve: Resolve<'_>,
    plan: &mut Plan,
    listeners: &mut Vec<Listener>,
    mistakes: &mut Mistakes,
) {
    let thresholds = thresholds(flags, &mut Mistakes::default());
    for text in &flags.tcp {
        match value::relay(text, resolve) {
            Err(what) => mistakes.0.push(Mistake { flag: "tcp", what }),
            Ok(relay) => {
                mistakes.note("tcp", check_trust(flags, relay.listen.greeting), ());
                let service = Service::Tcp { upstream: plan.upstreams.len() };
                let name = text.split(['=', ',']).next().unwrap_or_default();
                let endpoints = relay.destination.endpoints.into_iter();
                plan.upstreams.push(Arc::new(Upstream {
                    name: name.into(),
                    endpoints: endpoints.map(|(at, weight)| Endpoint::new(at, weight)).collect(),
                    thresholds,
                    traffic: Traffic::Tcp,
                    announces: relay.destination.announces,
                }));
                listeners.extend(entrances(relay.listen, service));
            }
        }
    }
}

/// A relay to an address we listen on would never come to an end.
fn refuse_loops(listeners: &[Listener], plan: &Plan, mistakes: &mut Mistakes) {
    let relays = plan.upstreams.iter().filter(|upstream| upstream.traffic == Traffic::Tcp);
    for endpoint in relays.flat_map(|upstream| &upstream.endpoints) {
        if listeners.iter().any(|listener| leads_to(&endpoint.address, &listener.address)) {
            let what = format!("{} is where this balancer listens itself", endpoint.address);
            mistakes.note("tcp", Err(what), ());
        }
    }
}

/// Whether a connection to `to` may be accepted at `listen`, as far as addresses tell.
fn leads_to(to: &Address, listen: &Address) -> bool {
    match (to, listen) {
        (Address::Tcp(to), Address::Tcp(listen)) => {
            let anywhere = listen.ip().is_unspecified() && to.ip().is_loopback();
            to.port() == listen.port() && (to.ip() == listen.ip() || anywhere)
        }
        _ => to == listen,
    }
}

fn refuse_repeats(listeners: &[Listener], mistakes: &mut Mistakes) {
    for (index, Listener { address, entrance }) in listeners.iter().enumerate() {
        let fixed = !matches!(address, Address::Tcp(tcp) if tcp.port() == 0);
        if fixed && listeners[..index].iter().any(|earlier| earlier.address == *address) {
            let flag = if entrance.service == Service::Http { "listen" } else { "tcp" };
            mistakes.note(flag, Err(format!("{address} is given twice")), ());
        }
    }
}

fn plan(flags: &Flags, resolve: Resolve<'_>, mistakes: &mut Mistakes) -> Plan {
    let thresholds = thresholds(flags, mistakes);
    let (router, upstreams) = routes(flags, resolve, thresholds, mistakes);
    let max_head = value::size(&flags.max_head).and_then(|bytes| {
        let in_range = (MAX_HEAD.0..=MAX_HEAD.1).contains(&bytes);
        in_range.then_some(bytes).ok_or_else(|| format!("{bytes} bytes is not from 1k to 31k"))
    });
    Plan {
        router,
        upstreams,
        timeouts: Timeouts {
            connect: mistakes.duration("connect-timeout", &flags.connect_timeout),
            header: mistakes.duration("header-timeout", &flags.header_timeout),
            keepalive: mistakes.duration("keepalive-timeout", &flags.keepalive_timeout),
            response: mistakes.duration("response-timeout", &flags.response_timeout),
            idle: mistakes.duration("idle-timeout", &flags.idle_timeout),
            tunnel: mistakes.duration("tunnel-timeout", &flags.tunnel_timeout),
        },
        limits: Limits {
            head_bytes_max: mistakes.note("max-head", max_head, 0),
            fields_max: mistakes.note(
                "max-fields",
                value::number(&flags.max_fields, 1, FIELDS_CEILING),
                0,
            ),
        },
        pool: pool::Settings {
            idle_max: mistakes.note("max-idle", value::number(&flags.max_idle, 0, 65536), 0),
            idle_timeout: mistakes
                .duration("upstream-keepalive-timeout", &flags.upstream_keepalive_timeout),
        },
        trusted: trusted(&flags.trusted, mistakes),
        host_header: mistakes.note("host-header", host_header(flags), None),
        fail_on_5xx: flags.fail_on_5xx,
    }
}

fn thresholds(flags: &Flags, mistakes: &mut Mistakes) -> Thresholds {
    let fails_max = value::number(&flags.max_fails, NonZeroU8::MIN, NonZeroU8::MAX);
    let fail_timeout = mistakes.duration_from("fail-timeout", &flags.fail_timeout, FAIL_TIMEOUT);
    Thresholds {
        fails_max: mistakes.note("max-fails", fails_max, NonZeroU8::MIN),
        fail_timeout,
        fail_timeout_max: FAIL_TIMEOUT_MAX.max(fail_timeout),
    }
}

fn routes(
    flags: &Flags,
    resolve: Resolve<'_>,
    thresholds: Thresholds,
    mistakes: &mut Mistakes,
) -> (Router, Vec<Arc<Upstream>>) {
    let (mut patterns, mut upstreams) = (Vec::<Pattern>::new(), Vec::new());
    for text in &flags.route {
        match value::route(text, resolve) {
            Err(what) => mistakes.0.push(Mistake { flag: "route", what }),
            Ok(route) => {
                let endpoints = route.destination.endpoints.into_iter();
                upstreams.push(Arc::new(Upstream {
                    name: route.pattern.to_string().into(),
                    endpoints: endpoints.map(|(at, weight)| Endpoint::new(at, weight)).collect(),
                    thresholds,
                    traffic: Traffic::Http,
                    announces: route.destination.announces,
                }));
                patterns.push(route.pattern);
            }
        }
    }
    if flags.route.is_empty() && (flags.tcp.is_empty() || !flags.listen.is_empty()) {
        let what = "none is given: write --route PREFIX=ENDPOINT, or try `evener demo`";
        mistakes.note("route", Err(what.to_owned()), ());
    }
    let router = Router::new(&patterns).unwrap_or_else(|duplicate| {
        let what = format!("{} is given twice", patterns[duplicate.second]);
        mistakes.note("route", Err(what), ());
        Router::default()
    });
    (router, upstreams)
}

fn trusted(networks: &[String], mistakes: &mut Mistakes) -> Trusted {
    let mut trusted = Trusted::default();
    for text in networks {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            _ if text == "unix" => trusted.unix = true,
            Ok(network) => trusted.networks.push(network),
            Err(_) => {
                let what = format!("{text:?} is no network such as 10.0.0.0/8, nor `unix`");
                mistakes.note("trusted", Err(what), ());
            }
        }
    }
    trusted
}

fn host_header(flags: &Flags) -> Result<Option<String>, String> {
    match &flags.host_header {
        Some(host) if !host.is_empty() && host.len() <= 255 && is_authority(host.as_bytes()) => {
            Ok(Some(host.clone()))
        }
        Some(host) => {
            Err(format!("{host:?} is no host: write NAME or NAME:PORT, 255 bytes at most"))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::cli::Cli;
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, Vec<String>> {
        let words = ["evener"].iter().chain(flags);
        let cli = Cli::try_parse_from(words).unwrap();
        let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::new(&cli.flags, &resolve)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_stand() {
        let config = config(&["--route", "/=127.0.0.1:1"]).unwrap();
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.plan.timeouts.header, Duration::from_secs(10));
        assert_eq!(config.plan.limits.head_bytes_max, 16384);
        assert_eq!(config.check, Check::Tcp);
    }

    #[test]
    fn every_mistake_is_told_in_a_line_that_names_its_flag() {
        let mistakes = config(&[
            "--route",
            "/a",
            "--max-head",
            "1",
            "--idle-timeout",
            "5",
            "--trusted",
            "x",
            "--check",
            "y",
            "--max-fails",
            "0",
            "--listen",
            "z",
            "--host-header",
            "a b",
            "--log-level",
            "w",
        ])
        .unwrap_err();
        let flags = [
            "listen",
            "max-fails",
            "route",
            "max-head",
            "idle-timeout",
            "trusted",
            "host-header",
            "check",
            "log-level",
        ];
        for flag in flags {
            let named = mistakes.iter().any(|line| line.starts_with(&format!("--{flag}: ")));
            assert!(named, "{flag} in {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), flags.len());
        assert!(mistakes.iter().all(|line| !line.contains('\n')));
    }

    #[test]
    fn the_same_route_twice_is_a_mistake() {
        let twice = ["--route", "/a=127.0.0.1:1", "--route", "/a=127.0.0.1:2"];
        assert_eq!(config(&twice).unwrap_err(), ["--route: /a is given twice"]);
    }

    #[test]
    fn relays_need_no_route_and_then_no_http_is_listened_for() {
        let config = config(&["--tcp", ":5432=127.0.0.1:1,proxy=v2"]).unwrap();
        let [listener] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
        assert_eq!(listener.address.to_string(), "0.0.0.0:5432");
        assert_eq!(listener.entrance.service, Service::Tcp { upstream: 0 });
        assert!(config.plan.upstreams[0].announces.is_some());
    }

    #[test]
    fn mistakes_about_listeners_and_headers() {
        let rows = [
            (
                &["--tcp", ":1=127.0.0.1:3", "--tcp", ":1=127.0.0.1:2"][..],
                "--tcp: 0.0.0.0:1 is given",
            ),
            (&["--tcp", ":1"], "--tcp: \":1\" has no '='"),
            (&["--tcp", ":1=127.0.0.1:2,proxy=v3"], "--tcp: proxy=v3: write proxy=v1 or proxy=v2"),
            (&["--tcp", ":1,x=127.0.0.1:2"], "--tcp: \"x\" is no option"),
            (&["--tcp", ":1,proxy=127.0.0.1:2"], "--tcp: \",proxy\" takes the word of --trusted"),
            (&["--tcp", ":1=127.0.0.1:2", "--listen", ":3"], "--route: none is given"),
            (&["--tcp", ":1=127.0.0.1:1"], "--tcp: 127.0.0.1:1 is where this balancer listens"),
            (&["--tcp", ":1=127.0.0.1:2,proxy"], "--tcp: proxy=v1 or proxy=v2 stands last"),
        ];
        for (flags, expected) in rows {
            let mistakes = config(flags).unwrap_err();
            assert!(mistakes[0].starts_with(expected), "{flags:?}: {mistakes:?}");
        }
    }

    #[test]
    fn no_route_is_a_mistake() {
        assert!(config(&[]).unwrap_err()[0].starts_with("--route: none is given"));
    }
}
