//! Describes a configuration in text: for `--test`, and for the changes made by a reload.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::discovery::SourcedUpstream;
use super::environment::hide;
pub use super::item::Item;
use super::item::item;
use super::upstream_keys::keys;
use super::{
    Config, IncludedFile, ListenerConfig, access_log, check, describe_rules, ejection,
    route_changes, tracing,
};
use crate::app_protocol::AppProtocol;
use crate::http::rules::mirror::Mirror;
use crate::id::{RouteId, UpstreamId};
use crate::net::tls::certificate::{Certificate, date};
use crate::net::tls::server::{ClientAuthMode, MinVersion, ServerTls};
use crate::plan::Plan;
use crate::plan::listener::{Preamble, Service, Transport};
use crate::proxy_protocol::Version;
use crate::route::NamePattern;
use crate::upstream::budget::BudgetShare;
use crate::upstream::endpoint::{Endpoint, EndpointRole, Scheme};
use crate::upstream::retries::{Retries, RetryReason};
use crate::upstream::settings::{Ceiling, ServerErrors};
use crate::upstream::source::{EndpointSource, ListEntry, SourceQuery};
use crate::upstream::split_cookie::SplitCookie;
use crate::upstream::{Traffic, Upstream};

/// Describes what would run, one line per item, without what may be a secret.
pub fn summary(config: &Config) -> String {
    described(config, |_| true).into_iter().fold(String::new(), |mut out, item| {
        let Item { subject, predicate, logged, .. } = item;
        let predicate = if logged.is_some() { config.hide(predicate) } else { predicate };
        let _ = writeln!(out, "{subject}: {predicate}");
        out
    })
}

impl Config {
    /// The text with names of environment variables instead of what they hold that may be a secret.
    pub(super) fn hide(&self, text: String) -> String {
        hide(&self.variables, text)
    }
}

/// The subject of what clients are told when they connect, and keep.
const HTTP2: &str = "HTTP/2";

/// Lists what is added (`+`), removed (`-`) or changed (`~`) in `next`, one line each.
pub fn difference(now: &Config, next: &Config) -> Vec<String> {
    let [before, after] = route_changes::changed(&now.plan, &next.plan);
    changes(
        &described(now, |route| before[route.index()]),
        &described(next, |route| after[route.index()]),
    )
}

/// The same, of descriptions.
pub fn changes(now: &[Item], next: &[Item]) -> Vec<String> {
    fn of(items: &[Item]) -> HashMap<&str, &Item> {
        items.iter().map(|item| (&*item.subject, item)).collect()
    }
    let (before, after) = (of(now), of(next));
    let gone = now.iter().filter(|item| !after.contains_key(&*item.subject));
    let gone = gone.map(|item| format!("- {}: {}", item.subject, item.logged()));
    let come = next.iter().filter_map(|item| {
        let Item { subject, predicate, .. } = item;
        match before.get(&**subject) {
            None => Some(format!("+ {subject}: {}", item.logged())),
            Some(was) if was.predicate != *predicate => {
                Some(format!("~ {subject}: {}", change(was, item)))
            }
            Some(_) => None,
        }
    });
    gone.chain(come).collect()
}

/// What is different of an item: the keys that are, if it has keys.
fn change(was: &Item, item: &Item) -> String {
    let value = |key| was.keys.iter().find(|(known, _)| *known == key).map(|(_, value)| value);
    let differing = item.keys.iter().filter_map(|(key, next)| match value(*key) {
        None => Some(format!("{key} {next}")),
        Some(before) if before != next => Some(format!("{key} {before} → {next}")),
        Some(_) => None,
    });
    let differing: Vec<String> = differing.collect();
    if !differing.is_empty() {
        return differing.join(", ");
    }
    let scope = if item.subject == HTTP2 { ", for new connections" } else { "" };
    match (was.logged(), item.logged()) {
        (before, after) if before == after => format!("{after}, changed"),
        (before, after) => format!("{before} → {after}{scope}"),
    }
}

/// Describes what would run but for its routes, item by item.
pub fn described_but_routes(config: &Config) -> Vec<Item> {
    described(config, |_| false)
}

/// Describes what would run, item by item, with these of its routes.
fn described(config: &Config, is_shown: impl Fn(RouteId) -> bool) -> Vec<Item> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut items = listed(config, is_shown);
    for Item { subject, .. } in &mut items {
        // Two listeners on port 0 have the same address but are different.
        let count = seen.entry(subject.clone()).or_default();
        *count += 1;
        if *count > 1 {
            let _ = write!(subject, " ({count})");
        }
    }
    items
}

fn listed(config: &Config, is_shown: impl Fn(RouteId) -> bool) -> Vec<Item> {
    let plan = &config.plan;
    let routes = (0..).map(RouteId::new).zip(&*plan.routes).filter(|(id, _)| is_shown(*id));
    let routes: Vec<_> = routes.collect();
    let mut items = vec![item("threads", config.threads)];
    let included = |file: &IncludedFile| item(format!("included {}", file.path), &file.contents);
    items.extend(config.included.iter().map(included));
    items.extend(config.listeners.iter().map(|listener| {
        let service = match listener.kind.service {
            Service::Http if listener.kind.transport == Transport::Tls => "HTTPS".to_owned(),
            Service::Http => "HTTP".to_owned(),
            Service::Tcp { upstream } => format!("TCP to {}", plan.upstream(upstream).name),
            Service::Sni { table } => {
                let rest = plan.sni_table(table).fallback.map_or_else(
                    || "others are closed".to_owned(),
                    |upstream| format!("others to {}", plan.upstream(upstream).name),
                );
                let limit = time(plan.timeouts.handshake);
                format!("TCP by server name (ClientHello within {limit}), {rest}")
            }
        };
        let preamble = match listener.kind.preamble {
            Preamble::Nothing => "",
            Preamble::ProxyHeader => ", with PROXY protocol headers",
        };
        item(format!("listen {}", listener.address), format!("{service}{preamble}"))
    }));
    items.extend(config.listeners.iter().flat_map(|listener| of_names(listener, plan)));
    items.extend(plan.tls.iter().flat_map(|tls| of_tls(tls, config)));
    items.extend(
        plan.redirect_https
            .map(|port| item("redirect", format!("of plain listeners to https, port {port}"))),
    );
    items.extend(describe_rules::of_everywhere(plan));
    items.extend(routes.iter().flat_map(|(id, route)| {
        let whole = of_route(*id, plan);
        std::iter::once(whole).chain(describe_rules::of_route(route, plan))
    }));
    items.extend(plan.upstreams.iter().flat_map(|upstream| of_upstream(upstream)));
    items.extend(config.discovery.upstreams.iter().flat_map(|known| of_sources(known, plan)));
    items.extend(of_resolver(config));
    items.extend(of_clients(config));
    items.extend(plan.via.iter().map(|via| item("Via", via.name())));
    items.extend(config.admin.iter().map(|admin| {
        let token = if admin.token_file.is_some() { ", by token" } else { "" };
        item("admin", format!("on {}{token}", admin.address))
    }));
    items.extend(config.access_log.as_ref().map(|target| {
        item("access log", format!("{target}, {}", access_log::described(&plan.log_layout)))
    }));
    items.extend(of_process(config));
    items.extend(
        plan.tracing
            .map(|tracing| item("tracing", tracing::described(tracing, config.otlp.as_ref()))),
    );
    let unlogged = routes.iter().filter(|(_, route)| !route.is_logged);
    items.extend(
        unlogged.map(|(_, route)| item(format!("access log of route {}", route.name), "off")),
    );
    items
}

/// Describes the files of the process.
fn of_process(config: &Config) -> impl Iterator<Item = Item> {
    let files = [
        ("error log", &config.error_log),
        ("pid file", &config.pid_file),
        ("upgrade socket", &config.upgrade_sock),
    ];
    files.into_iter().filter_map(|(subject, path)| Some(item(subject, path.as_ref()?.display())))
}

/// Describes where a listener leads by server names.
fn of_names(listener: &ListenerConfig, plan: &Plan) -> Vec<Item> {
    let Service::Sni { table } = listener.kind.service else { return Vec::new() };
    let of_one = |(name, upstream): &(NamePattern, UpstreamId)| {
        let subject = format!("server name {name} at {}", listener.address);
        item(subject, format!("to {}", plan.upstream(*upstream).name))
    };
    plan.sni_table(table).names.entries().iter().map(of_one).collect()
}

fn of_tls(tls: &ServerTls, config: &Config) -> Vec<Item> {
    let versions = match tls.min_version {
        MinVersion::Tls12 => "1.2 and 1.3",
        MinVersion::Tls13 => "1.3",
    };
    let clients = tls.client_auth.as_ref().map_or_else(String::new, |auth| {
        let mode = match auth.mode {
            ClientAuthMode::Required => "required",
            ClientAuthMode::Optional => "optional",
        };
        let (ca, digest) = (auth.ca.display(), auth.digest_hex());
        format!(", client certificates by {ca} ({digest}) {mode}")
    });
    let handshake = time(config.plan.timeouts.handshake);
    let watched = config.watch_interval.map_or_else(
        || "files are not watched".to_owned(),
        |interval| format!("files are watched every {}", time(interval)),
    );
    let text = format!("{versions}{clients}, handshake timeout {handshake}, {watched}");
    let certificates = tls.certificates.iter().map(|certificate| of_certificate(certificate));
    std::iter::once(item("TLS", text)).chain(certificates).collect()
}

/// Names of a certificate that are shown; some have a hundred.
const NAMES_SHOWN: usize = 8;

fn of_certificate(certificate: &Certificate) -> Item {
    let Certificate { cert, not_after, kind, .. } = certificate;
    let mut shown = certificate.hosts().take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
    let count = certificate.hosts().count();
    if count > NAMES_SHOWN {
        let _ = write!(shown, " and {} more", count - NAMES_SHOWN);
    }
    let (until, fingerprint) = (date(*not_after), certificate.fingerprint_hex());
    let text = format!("for {shown}, until {until}, {kind}, SHA-256 {fingerprint}");
    item(format!("certificate {}", cert.display()), text)
}

fn of_route(id: RouteId, plan: &Plan) -> Item {
    let route = plan.route(id);
    let goes = route.upstreams.iter().map(|goes| {
        let share =
            if route.upstreams.len() > 1 { format!(" ({})", goes.weight) } else { String::new() };
        format!("{}{share}", plan.upstream(goes.upstream).name)
    });
    let subject = format!("route {}", route.name);
    let rules = route.rules.as_deref();
    if let Some(whole) = rules.and_then(|rules| describe_rules::of_outcome(&subject, rules)) {
        return whole;
    }
    let mut text = format!("to {}", goes.collect::<Vec<_>>().join(", "));
    if let Some(SplitCookie { cookie, .. }) = &route.split_cookie {
        let _ = write!(text, ", sticky by cookie {}", cookie.name);
        if let Some(max_age) = cookie.max_age {
            let _ = write!(text, " for {}", age(max_age));
        }
    }
    match route.prefix.as_ref().map(|change| (&*change.from, &*change.to)) {
        None => {}
        Some((from, "")) => drop(write!(text, ", without {from}")),
        Some(("", to)) => drop(write!(text, ", after {to}")),
        Some((from, to)) => drop(write!(text, ", with {to} instead of {from}")),
    }
    for host in describe_rules::hosts(route, plan) {
        let _ = write!(text, ", Host {host}");
    }
    if let Some(Mirror { upstream, share }) = route.rules.as_ref().and_then(|rules| rules.mirror) {
        let _ = write!(text, ", {share} copied to {}", plan.upstream(upstream).name);
    }
    let Some(first) = route.upstreams.first() else {
        return item(subject, text);
    };
    let upstream = plan.upstream(first.upstream);
    let (own, usual) = (&first.timeouts, &upstream.timeouts);
    let rows = [
        ("response", own.response, usual.response),
        ("idle", own.idle, usual.idle),
        ("tunnel", own.tunnel, usual.tunnel),
    ];
    for (name, own, _) in rows.iter().filter(|(_, own, usual)| own != usual) {
        let _ = write!(text, ", {name} timeout {}", time(*own));
    }
    if first.retries != upstream.retries {
        let _ = write!(text, ", {}", of_retries(first.retries));
    }
    if let Some(conditions) = &plan.route_table.of(id).conditions {
        let _ = write!(text, ", only with {conditions}");
    }
    item(subject, text)
}

/// Describes an upstream and its endpoints.
pub(super) fn of_upstream(upstream: &Upstream) -> impl Iterator<Item = Item> {
    let Upstream { name, policy, timeouts, thresholds, keeping, .. } = upstream;
    let is_tcp = upstream.traffic == Traffic::Tcp;
    let check = check::described(&upstream.check, !is_tcp);
    let mut text = policy.name().to_owned();
    if let Some(hash_on) = &upstream.hash_on {
        let _ = write!(text, " on {hash_on}");
    }
    if let Some(sticky) = &upstream.sticky {
        let _ = write!(text, ", sticky by cookie {}", sticky.cookie.name);
        if let Some(max_age) = sticky.cookie.max_age {
            let _ = write!(text, " for {}", age(max_age));
        }
    }
    if !upstream.slow_start.is_zero() {
        let _ = write!(text, " with a slow start over {}", time(upstream.slow_start));
    }
    if is_tcp {
        text.push_str(", TCP");
    }
    if let Some(version) = upstream.announces {
        let version = match version {
            Version::V1 => "v1",
            Version::V2 => "v2",
        };
        let _ = write!(text, ", PROXY protocol {version}");
    }
    let errors = match upstream.server_errors {
        ServerErrors::Failures if !is_tcp => " (including 500-599)",
        _ => "",
    };
    let _ = write!(text, ", {check}, {}", ejection::described(thresholds, errors));
    if let Some(ceiling) = &upstream.ceiling {
        text.push_str(&of_ceiling(ceiling));
    }
    let (connect, tunnel) = (time(timeouts.connect), time(timeouts.tunnel));
    if is_tcp {
        let _ = write!(text, ", timeouts: connect {connect}, tunnel {tunnel}");
    } else {
        let (response, idle) = (time(timeouts.response), time(timeouts.idle));
        let _ = write!(
            text,
            ", timeouts: connect {connect}, response {response}, idle {idle}, tunnel {tunnel}, {} \
             idle connections for {}",
            keeping.idle_max,
            time(keeping.idle_timeout),
        );
    }
    let _ = match (upstream.retries, is_tcp) {
        (Retries { max: 0, .. }, true) => write!(text, ", no retries"),
        (Retries { max, .. }, true) => write!(text, ", up to {max} retries"),
        (retries, false) => write!(text, ", {}", of_retries(retries)),
    };
    let _ = match upstream.retry_budget {
        BudgetShare::Unlimited => write!(text, ", no retry budget"),
        BudgetShare::Percent(percent) => write!(text, ", retry budget {percent}%"),
    };
    let endpoints = upstream.endpoints.iter().map(move |endpoint| {
        item(format!("endpoint {} of {name}", endpoint.address), of_endpoint(endpoint))
    });
    let whole = Item { keys: keys(upstream), ..item(format!("upstream {name}"), text) };
    std::iter::once(whole).chain(endpoints)
}

fn of_ceiling(ceiling: &Ceiling) -> String {
    let Ceiling { requests_max, queue_max, queue_timeout } = ceiling;
    let rest = match queue_max {
        0 => "the rest is refused".to_owned(),
        max => format!("up to {max} more wait for {}", time(*queue_timeout)),
    };
    format!(", at most {requests_max} at an endpoint at a time, {rest}")
}

fn of_retries(retries: Retries) -> String {
    let each = retries
        .attempt_timeout
        .map_or_else(String::new, |limit| format!(", attempt timeout {}", time(limit)));
    let on = retries.on();
    match retries.max {
        0 if on.has(RetryReason::Stale) => format!("no retries but for stale connections{each}"),
        0 => format!("no retries{each}"),
        max => format!("up to {max} retries on {on}{each}"),
    }
}

fn of_endpoint(endpoint: &Endpoint) -> String {
    let role = if endpoint.role == EndpointRole::Backup { ", backup" } else { "" };
    let name =
        endpoint.own_name().map_or_else(String::new, |name| format!(", an address of {name}"));
    let tls = endpoint.tls.as_ref().map_or_else(String::new, |tls| format!(", {tls}"));
    let protocol = match endpoint.protocol() {
        AppProtocol::Http1 => "",
        AppProtocol::Http2 => ", HTTP/2",
    };
    format!("weight {}{role}{name}{protocol}{tls}", endpoint.weight)
}

/// Describes what is looked up for an upstream.
pub(super) fn of_sources(upstream: &SourcedUpstream, plan: &Plan) -> Vec<Item> {
    let name = &plan.upstream(upstream.id).name;
    let sources = upstream.entries.iter().filter_map(ListEntry::source);
    let described = sources.map(|source| {
        let EndpointSource { question, weight, role, scheme, .. } = source;
        let mut text = match question {
            SourceQuery::Name(_) => format!("weight {weight}, addresses of one family"),
            SourceQuery::Dns(_) => format!("weight {weight}, every address"),
            SourceQuery::Srv(_) => "every address of every target".to_owned(),
            SourceQuery::File(path) => format!("each line of {}", path.display()),
            SourceQuery::Custom(_) => "what this program finds".to_owned(),
        };
        if *role == EndpointRole::Backup {
            text.push_str(", backup");
        }
        if *scheme != Scheme::Http {
            let _ = write!(text, ", {}", scheme.name());
        }
        item(format!("source {} of {name}", source.written), text)
    });
    described.collect()
}

/// Describes who is asked.
fn of_resolver(config: &Config) -> Option<Item> {
    let servers = &config.discovery.servers;
    let shown: Vec<String> = servers.iter().map(ToString::to_string).collect();
    (!servers.is_empty()).then(|| item("resolver", shown.join(", ")))
}

fn of_clients(config: &Config) -> [Item; 7] {
    let Plan { timeouts, limits, http2, trusted, .. } = &*config.plan;
    let mut networks: Vec<String> = trusted.networks.iter().map(ToString::to_string).collect();
    networks.extend(trusted.unix.then(|| "unix".to_owned()));
    let trusted = if networks.is_empty() { "none".to_owned() } else { networks.join(", ") };
    let (header, keepalive) = (time(timeouts.header), time(timeouts.keepalive));
    let each = config.capacity.per_client_max;
    let each = each.map_or_else(String::new, |each| format!(", {each} per client"));
    let delay = match config.shutdown_delay {
        Duration::ZERO => String::new(),
        delay => format!(", {} after SIGTERM", time(delay)),
    };
    let (bytes, fields) = (limits.head_bytes_max, limits.fields_max);
    let streams = http2.map_or_else(
        || "off".to_owned(),
        |http2| format!("at most {} streams per connection", http2.streams_max),
    );
    [
        item("clients", format!("header timeout {header}, keepalive timeout {keepalive}")),
        item("heads", format!("at most {bytes} bytes and {fields} fields")),
        item(HTTP2, streams),
        item("trusted", trusted),
        item("connections", format!("at most {}{each}", config.capacity.connections_max)),
        item("drain", format!("for up to {}{delay}", time(config.drain_timeout))),
        item("log", config.log_level.to_string().to_lowercase()),
    ]
}

/// A time in whole seconds that may be long: days are not made months of.
fn age(time: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    let (days, rest) = (time.as_secs() / DAY, Duration::from_secs(time.as_secs() % DAY));
    match (days, rest.is_zero()) {
        (0, _) => self::time(rest),
        (days, true) => format!("{days}days"),
        (days, false) => format!("{days}days {}", self::time(rest)),
    }
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
