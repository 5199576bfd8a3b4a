//! Turns the command line and the configuration file into a validated [`Config`]. All validation
//! happens here and none later.

mod access_log;
pub mod admin;
mod balancing;
pub mod builder;
mod capacity;
mod ceiling;
mod check;
pub mod cli;
mod conditions;
pub mod describe;
mod describe_rules;
pub mod discovery;
mod document;
mod ejection;
pub mod entries;
pub mod environment;
mod error_pages;
pub mod errors;
pub mod explain;
mod explain_pick;
mod explain_route;
mod explain_rules;
pub mod file;
pub(crate) mod found;
mod head_edits;
mod hints;
mod in_code;
mod include;
mod interface;
pub mod item;
pub mod keys;
pub mod launch;
mod lifecycle;
mod limits;
mod listeners;
pub mod loader;
mod log_level;
pub mod manual;
mod mirror;
mod misfits;
pub mod mistake;
mod named;
mod node_deserializer;
mod one_pass;
#[cfg(any(test, fuzzing))]
pub mod one_pass_fuzz;
mod outcome;
mod prefix_change;
mod redirect_loops;
mod relays;
mod retries;
mod route_changes;
pub mod route_entry;
mod route_limits;
mod routes;
pub mod rule_entries;
mod rules;
mod scalar;
mod scheme;
pub mod setting;
mod shape;
pub mod source;
pub mod sources;
pub mod spanned;
mod templates;
mod tls;
pub mod tool_flags;
mod tracing;
pub mod tracing_flags;
mod tree;
mod trusted;
mod unknown;
mod upstream_keys;
mod upstream_settings;
mod upstream_tls;
mod upstreams;
pub mod value;
mod wording;
pub(crate) mod words;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::http::message::via::{Via, is_name};
use crate::log::target::LogTarget;
use crate::net::limiter::Capacity;
use crate::otlp::exporter::ExportConfig;
use crate::plan::{ClientTimeouts, Plan};
use admin::Admin;
use capacity::Descriptors;
use discovery::DiscoveryPlan;
use environment::UsedVariable;
pub use include::IncludedFile;
use launch::LaunchOptions;
use listeners::CollectedListeners;
pub use listeners::{ListenerConfig, leads_to};
use loader::Loader;
use mistake::{Mistake, Mistakes};
use routes::Routes;
use sources::Sources;
use tls::Tls;
use upstream_settings::UpstreamSettings;
use upstreams::Upstreams;
use value::{IsLocal, Resolve};

/// A validated configuration.
#[derive(Debug)]
pub struct Config {
    /// The listeners; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// The number of workers.
    pub threads: NonZeroUsize,
    /// The plan for sessions.
    pub plan: Arc<Plan>,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long it goes on accepting before a drain begins.
    pub shutdown_delay: Duration,
    /// The log level.
    pub log_level: log::LevelFilter,
    /// The error log's file, if not standard error.
    pub error_log: Option<PathBuf>,
    /// Where the access log goes, if there is one; what its lines are like is part of the plan.
    pub access_log: Option<LogTarget>,
    /// Where spans go, if anywhere.
    pub otlp: Option<ExportConfig>,
    /// Limits on the number of connections.
    pub capacity: Capacity,
    /// The socket for upgrades from and to another process, if any.
    pub upgrade_sock: Option<PathBuf>,
    /// How long an upgrade waits for the other process.
    pub upgrade_timeout: Duration,
    /// The PID file, if any.
    pub pid_file: Option<PathBuf>,
    /// The admin listener, if any.
    pub admin: Option<Admin>,
    /// How often to look for changed files of certificates, if at all.
    pub watch_interval: Option<Duration>,
    /// What is looked up for endpoints.
    pub discovery: Arc<DiscoveryPlan>,
    /// What is no mistake, but may not be what was meant.
    pub warnings: Vec<String>,
    /// The configuration file, if any.
    pub file: Option<PathBuf>,
    /// The files that it includes.
    pub included: Vec<IncludedFile>,
    /// The environment variables in its values.
    pub variables: Vec<UsedVariable>,
    /// What the process is to do before it runs.
    pub launch: LaunchOptions,
    /// Reads it again, if it has a source that can be.
    pub loader: Option<Arc<Loader>>,
}

impl Config {
    /// Validates the sources; returns all mistakes in them if there are any.
    pub fn new(
        sources: &Sources,
        resolve: Resolve<'_>,
        is_local: IsLocal<'_>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = named::mistakes(sources);
        let (descriptors, threads) = workers(sources, &mut mistakes);
        let settings = UpstreamSettings::of_flags(sources, &mut mistakes);
        let mut upstreams = Upstreams::of_file(sources, settings, threads.get(), &mut mistakes);
        let mut listeners = CollectedListeners::of_http(sources, resolve, &mut mistakes);
        let mut routes = Routes::of(sources, &mut upstreams, &mut mistakes);
        relays::add(&mut listeners, sources, &mut upstreams, resolve, &mut mistakes);
        listeners.refuse_loops(&routes, &upstreams, is_local, &mut mistakes);
        upstreams.refuse_mistakes(sources, &mut mistakes);
        let admin = listeners.admin(sources, resolve, &mut mistakes);
        let open = listeners.said.len();
        let tls = Tls::of(sources, &listeners, &mut mistakes);
        let (capacity, warning) = capacity::of(sources, descriptors, threads, open, &mut mistakes);
        let of_retries = retries::warnings(&upstreams.built, &routes.built);
        let of_endpoints = upstreams.warnings(sources);
        let discovery = DiscoveryPlan::of(sources, upstreams.looked_up, &mut mistakes);
        let of_settings = idle_settings(sources, &discovery);
        let log_layout = access_log::layout(sources, &mut mistakes);
        let of_files = [sources.warnings(), warning.as_slice(), &routes.rules.warnings].concat();
        let reached = (&*listeners.said, tls.redirect_https.is_some());
        let (table, of_routes) = redirect_loops::table(&mut routes, reached, &mut mistakes);
        let warnings = [of_files, tls.warnings, of_routes, of_retries, of_settings, of_endpoints];
        let mut config = Self {
            listeners: listeners.said.into_iter().map(|said| said.listener).collect(),
            threads,
            error_log: sources.flags.error_log.as_ref().map(PathBuf::from),
            upgrade_sock: lifecycle::upgrade_sock(sources, &mut mistakes),
            upgrade_timeout: lifecycle::upgrade_timeout(sources, &mut mistakes),
            access_log: access_log::target(sources, &mut mistakes),
            otlp: tracing::export(sources, &mut mistakes),
            pid_file: sources.flags.pid_file.as_ref().map(PathBuf::from),
            admin,
            file: sources.flags.config.as_ref().map(PathBuf::from),
            capacity,
            warnings: sources.without_secrets(warnings.concat()),
            included: sources.included(),
            variables: sources.variables(),
            launch: LaunchOptions::of(sources),
            loader: None,
            watch_interval: tls.watch_interval,
            discovery: Arc::new(discovery),
            drain_timeout: lifecycle::drain_timeout(sources, &mut mistakes),
            shutdown_delay: lifecycle::shutdown_delay(sources, &mut mistakes),
            log_level: log_level(sources, &mut mistakes),
            plan: Arc::new(Plan {
                copies_max: descriptors.copies_max(threads),
                route_table: Arc::new(table),
                routes: routes.built.into(),
                rules: routes.rules.everywhere,
                upstreams: upstreams.built,
                sni_tables: listeners.sni_tables.into(),
                timeouts: timeouts(sources, &mut mistakes),
                limits: limits::heads(sources, &mut mistakes),
                http2: limits::http2(sources, &mut mistakes),
                via: via(sources, &mut mistakes),
                trusted: trusted::of(sources, &mut mistakes),
                tracing: tracing::of(sources, &log_layout, &mut mistakes),
                log_layout: Arc::new(log_layout),
                tls: tls.server,
                redirect_https: tls.redirect_https,
            }),
        };
        config.warnings.extend(sources.without_secrets(mistakes.warnings().to_vec()));
        sources.settle(mistakes, config)
    }
}

/// How many descriptors there may be, and how many workers, as many as these allow.
fn workers(sources: &Sources, mistakes: &mut Mistakes) -> (Descriptors, NonZeroUsize) {
    let descriptors = Descriptors::of_process();
    let flag = &sources.flags.threads;
    let wanted = mistakes.note(&sources.place("threads"), threads(flag), NonZeroUsize::MIN);
    (descriptors, descriptors.workers(wanted, flag))
}

/// Settings that have no effect beside others.
fn idle_settings(sources: &Sources, discovery: &DiscoveryPlan) -> Vec<String> {
    [
        ceiling::warnings(sources),
        discovery.warnings(sources),
        limits::warnings(sources),
        access_log::warnings(sources),
        tracing::warnings(sources),
    ]
    .concat()
}

/// Parses a number of threads; 0 means one per core this process may use.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let wanted = value::number(text, 0, 1024)?;
    Ok(NonZeroUsize::new(wanted)
        .or_else(|| available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN))
}

fn log_level(sources: &Sources, mistakes: &mut Mistakes) -> log::LevelFilter {
    let level = log_level::read(&sources.flags.log_level);
    mistakes.note(&sources.place("log-level"), level, log::LevelFilter::Info)
}

fn timeouts(sources: &Sources, mistakes: &mut Mistakes) -> ClientTimeouts {
    let half_close = value::duration_or_zero(&sources.flags.half_close_timeout);
    let place = sources.place("half-close-timeout");
    let half_close = mistakes.note(&place, half_close, Duration::ZERO);
    // Mistakes in the idle timeout are already reported with the upstreams' timeouts.
    let mut duration = |flag: &'static str, text: &str| {
        mistakes.note(&sources.place(flag), value::duration(text), Duration::ZERO)
    };
    ClientTimeouts {
        handshake: duration("handshake-timeout", &sources.flags.handshake_timeout),
        header: duration("header-timeout", &sources.flags.header_timeout),
        keepalive: duration("keepalive-timeout", &sources.flags.keepalive_timeout),
        idle: value::duration(&sources.flags.idle_timeout).unwrap_or_default(),
        half_close,
    }
}

fn via(sources: &Sources, mistakes: &mut Mistakes) -> Option<Via> {
    let name = sources.flags.via.as_deref()?;
    if name.len() > 255 || !is_name(name) {
        let what = format!("invalid name {name:?}: expected a token or HOST[:PORT]");
        mistakes.add(&sources.place("via"), what);
        return None;
    }
    // Its keys are random: what they make of nothing is, too.
    let id = RandomState::new().build_hasher().finish();
    Some(Via::new(name, id))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use clap::Parser;

    use super::*;
    use crate::config::cli::Cli;
    use crate::id::UpstreamId;
    use crate::plan::listener::Service;
    use crate::upstream::check::CheckKind;

    fn config(flags: &[&str]) -> Result<Config, Vec<String>> {
        let words = ["evener"].iter().chain(flags);
        let cli = Cli::try_parse_from(words).unwrap();
        let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::new(&Sources::typed(cli.flags), &resolve, &|ip| ip == Ipv4Addr::new(192, 0, 2, 9))
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_apply() {
        let config = config(&["--route", "/=127.0.0.1:1"]).unwrap();
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.plan.timeouts.header, Duration::from_secs(10));
        assert_eq!(config.plan.limits.head_bytes_max, 16384);
        assert_eq!(config.plan.upstreams[0].check.kind, CheckKind::Tcp);
    }

    #[test]
    fn every_mistake_is_a_line_that_names_its_flag() {
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
            "--via",
            "a, b",
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
            "via",
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
    fn without_routes_relays_need_no_http_listener() {
        let config = config(&["--tcp", ":5432=127.0.0.1:1,proxy=v2"]).unwrap();
        let [listener] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
        assert_eq!(listener.address.to_string(), "0.0.0.0:5432");
        assert_eq!(listener.kind.service, Service::Tcp { upstream: UpstreamId::new(0) });
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
            (&["--tcp", ":1,x=127.0.0.1:2"], "--tcp: unknown option \"x\""),
            (&["--tcp", ":1,proxy=127.0.0.1:2"], "--tcp: \",proxy\" requires --trusted"),
            (&["--tcp", ":1=127.0.0.1:2", "--listen", ":3"], "--route: none is given"),
            (&["--tcp", ":1=127.0.0.1:1"], "--tcp: 127.0.0.1:1 is where this balancer listens"),
            (&["--tcp", ":1=127.0.0.1:2,proxy"], "--tcp: proxy=v1 or proxy=v2 must come last"),
        ];
        for (flags, expected) in rows {
            let mistakes = config(flags).unwrap_err();
            assert!(mistakes[0].starts_with(expected), "{flags:?}: {mistakes:?}");
        }
    }

    #[test]
    fn a_route_to_one_of_our_own_listeners_is_a_mistake() {
        let rows = [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            (":1", "127.0.0.1:1", true),
            (":1", "192.0.2.9:1", true),
            (":1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::1]:1", "[::1]:1", true),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
            ("unix:/a", "unix:/a", true),
            (":1", "127.0.0.1:2", false),
            (":1", "192.0.2.8:1", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("[::]:1", "127.0.0.1:1", false),
            ("unix:/a", "unix:/b", false),
        ];
        for (listen, endpoint, is_loop) in rows {
            let route = format!("/={endpoint},127.0.0.1:7");
            let told = config(&["--listen", listen, "--route", &route]).err();
            let expected = format!("--route: {endpoint} is where this balancer listens itself");
            assert_eq!(told, is_loop.then(|| vec![expected]), "{listen} {endpoint}");
        }
        let chained = ["--tcp", ":2=127.0.0.1:1", "--listen", ":1", "--route", "/=127.0.0.1:3"];
        assert!(config(&chained).unwrap_err()[0].starts_with("--tcp: 127.0.0.1:1 is where"));
    }

    #[test]
    fn mistakes_about_the_admin_listener() {
        let rows = [
            (&["--admin", "0.0.0.0:1"][..], "--admin: 0.0.0.0:1 is reachable from other machines"),
            (&["--admin", ":1"], "--admin: 0.0.0.0:1 is reachable from other machines"),
            (&["--admin", "[::]:1"], "--admin: [::]:1 is reachable from other machines"),
            (&["--admin", "1"], "--admin: \"1\" is a port alone"),
            (&["--admin-token-file", "/x"], "--admin-token-file: has no effect"),
        ];
        for (flags, expected) in rows {
            let mistakes = config(&[&["--route", "/=127.0.0.1:1"], flags].concat()).unwrap_err();
            assert!(mistakes[0].starts_with(expected), "{flags:?}: {mistakes:?}");
        }
        for good in ["127.0.0.2:1", "[::1]:1", "unix:/x"] {
            assert!(config(&["--route", "/=127.0.0.1:1", "--admin", good]).is_ok());
        }
    }

    #[test]
    fn a_trusted_network_of_ipv4_may_be_written_as_one_of_ipv6() {
        let flags = ["--route", "/=127.0.0.1:1", "--trusted", "::ffff:10.0.0.0/104", "--trusted"];
        let trusted = |last| config(&[&flags[..], &[last]].concat()).unwrap().plan.trusted.clone();
        let both = trusted("::ffff:192.0.2.1");
        assert!(both.contains(Some([10, 1, 2, 3].into())));
        assert!(both.contains(Some([192, 0, 2, 1].into())));
        assert!(!both.contains(Some([192, 0, 2, 2].into())));
        assert!(!trusted("2001:db8::/96").contains(Some([1, 2, 3, 4].into())));
    }

    #[test]
    fn no_route_is_a_mistake() {
        assert!(config(&[]).unwrap_err()[0].starts_with("--route: none is given"));
    }
}
