//! Asks name servers, through hickory, and the system's resolver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::net::lookup_host;
use tokio::task::JoinSet;

use super::outcome::LookupOutcome;
use crate::config::source::check_host;
use crate::net::tls::watched_file::WatchedFile;
use crate::upstream::source::{ENDPOINTS_MAX, Miss, SourceAnswer, SrvService, combine, one_family};
use crate::upstream::srv::{SrvRecord, ranked};

/// For one try at one name server.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// Tries after the first.
const RETRIES: usize = 1;

/// Targets of an SRV answer that are looked up at a time.
const TARGETS_AT_A_TIME: usize = 16;

/// The files that say whom to ask, and what need not be asked.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What is needed to ask.
pub(super) struct Resolvers {
    /// What the system says, once it was read.
    system: Option<(ResolverConfig, ResolverOpts, Arc<Hosts>)>,
    files: [WatchedFile; 2],
}

impl Resolvers {
    pub(super) fn new() -> Self {
        let mut files = SYSTEM_FILES.map(|path| WatchedFile::new(Path::new(path), None));
        for file in &mut files {
            file.look();
        }
        Self { system: None, files }
    }

    /// One that asks these servers, or those of the system if there are none, over connections of its own: dnsmasq answers
    /// over one that is kept as if nothing had changed since it was opened. The system's files are read again when they
    /// have changed.
    pub(super) fn get(&mut self, servers: &[SocketAddr]) -> Result<TokioResolver, String> {
        if self.files.iter_mut().filter_map(|file| file.look().then_some(())).count() > 0 {
            self.system = None;
        }
        let (config, options, hosts) = self.system.get_or_insert_with(system);
        let (config, options) = match servers {
            [] => (config.clone(), options.clone()),
            servers => (ours(servers), ResolverOpts::default()),
        };
        let provider = TokioRuntimeProvider::default();
        let mut builder =
            TokioResolver::builder_with_config(config, provider).with_options(options);
        let set = builder.options_mut();
        (set.timeout, set.attempts) = (TRY_LIMIT, RETRIES);
        // An answer is kept here as long as it holds.
        set.cache_size = 0;
        set.use_hosts_file = ResolveHosts::Never;
        let mut built = builder.build().map_err(|error| format!("cannot be looked up: {error}"))?;
        built.set_hosts(Arc::clone(hosts));
        Ok(built)
    }
}

/// What the system says; without name servers it is this machine, as resolv.conf(5) says.
fn system() -> (ResolverConfig, ResolverOpts, Arc<Hosts>) {
    let local = || (ours(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default());
    let (config, options) = read_system_conf().unwrap_or_else(|_| local());
    (config, options, Arc::new(Hosts::from_system().unwrap_or_default()))
}

fn ours(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.into_iter().map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.collect())
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

/// Addresses, and how long they hold.
type Held = (Vec<IpAddr>, Duration);

/// All addresses of a host; some of those that it had before where a lookup failed.
async fn addresses(
    resolver: &TokioResolver,
    host: &str,
    before: &[IpAddr],
) -> Result<Held, String> {
    let (v4, v6) = tokio::join!(
        family(resolver, host, RecordType::A),
        family(resolver, host, RecordType::AAAA)
    );
    let ttls = [&v4, &v6].into_iter().filter_map(|found| found.as_ref().ok()).map(|found| found.1);
    let ttl = ttls.min().unwrap_or_default();
    let without_ttl = |found: Result<Held, Miss>| found.map(|(addresses, _)| addresses);
    combine(without_ttl(v4), without_ttl(v6), before).map(|addresses| (addresses, ttl))
}

async fn family(resolver: &TokioResolver, host: &str, kind: RecordType) -> Result<Held, Miss> {
    let lookup = resolver.lookup(host, kind).await.map_err(|error| missed(&error))?;
    let addresses = lookup.answers().iter().filter_map(|record| record.data.ip_addr());
    Ok((addresses.collect(), ttl(lookup.answers().iter().map(|record| record.ttl))))
}

/// The shortest of these, in seconds.
fn ttl(ttls: impl Iterator<Item = u32>) -> Duration {
    Duration::from_secs(ttls.min().unwrap_or(0).into())
}

fn missed(error: &NetError) -> Miss {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Miss::NoSuchName,
            ResponseCode::NoError => Miss::Empty,
            code => refused(code),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => refused(*code),
        NetError::Timeout => Miss::Failed("the name server does not answer".to_owned()),
        other => Miss::Failed(other.to_string()),
    }
}

fn refused(code: ResponseCode) -> Miss {
    Miss::Failed(format!("the name server says: {code}"))
}

/// The addresses of a host, for `dns:`.
pub(super) async fn dns(
    resolver: TokioResolver,
    host: Box<str>,
    before: Option<Arc<SourceAnswer>>,
) -> LookupOutcome {
    found(addresses(&resolver, &host, known(before.as_deref())).await)
}

/// Those of one family, for a plain name.
pub(super) async fn name(
    resolver: TokioResolver,
    host: Box<str>,
    before: Option<Arc<SourceAnswer>>,
) -> LookupOutcome {
    let addresses = addresses(&resolver, &host, known(before.as_deref())).await;
    found(addresses.map(|(addresses, ttl)| (one_family(addresses), ttl)))
}

/// What such a look-up has come to.
fn found(addresses: Result<Held, String>) -> LookupOutcome {
    match addresses {
        Ok((addresses, ttl)) => LookupOutcome::Found(SourceAnswer::Addresses(addresses), Some(ttl)),
        Err(reason) => LookupOutcome::Failed(reason),
    }
}

/// The same, by the system's resolver, which sets its own limits.
pub(super) async fn system_name(host: Box<str>) -> LookupOutcome {
    match lookup_host((&*host, 0)).await {
        Ok(found) => {
            let addresses = one_family(found.map(|address| address.ip()).collect());
            if addresses.is_empty() {
                return LookupOutcome::Failed(Miss::Empty.reason());
            }
            LookupOutcome::Found(SourceAnswer::Addresses(addresses), None)
        }
        Err(error) => LookupOutcome::Failed(error.to_string()),
    }
}

fn known(answer: Option<&SourceAnswer>) -> &[IpAddr] {
    match answer {
        Some(SourceAnswer::Addresses(addresses)) => addresses,
        _ => &[],
    }
}

/// The services of a name, with the addresses of their hosts.
pub(super) async fn services(
    resolver: TokioResolver,
    name: Box<str>,
    before: Option<Arc<SourceAnswer>>,
) -> LookupOutcome {
    let lookup = match resolver.lookup(&*name, RecordType::SRV).await {
        Ok(lookup) => lookup,
        Err(error) => {
            return LookupOutcome::Failed(match missed(&error) {
                Miss::Empty => "it has no SRV records (an empty answer)".to_owned(),
                miss => miss.reason(),
            });
        }
    };
    let records = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(SrvRecord {
            priority: srv.priority,
            target: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase().into(),
            port: srv.port,
            weight: srv.weight,
        }),
        _ => None,
    });
    // A name server may say anything, and what no host can be called would be logged, shown and asked for.
    let is_usable = |record: &SrvRecord| record.port != 0 && check_host(&record.target).is_ok();
    let mut ranked = ranked(records.filter(is_usable).collect());
    ranked.truncate(ENDPOINTS_MAX);
    let mut shortest = ttl(lookup.answers().iter().map(|record| record.ttl));
    let mut services: Vec<SrvService> = ranked
        .into_iter()
        .map(|(SrvRecord { target, port, .. }, role, weight)| SrvService {
            target,
            port,
            weight,
            role,
            addresses: Vec::new(),
        })
        .collect();
    let mut told = "it has no services".to_owned();
    let hosts = services.iter().map(|service| service.target.clone());
    for (host, found) in targets(&resolver, hosts.collect(), before.as_deref()).await {
        match found {
            Ok((addresses, ttl)) => {
                shortest = shortest.min(ttl);
                for service in services.iter_mut().filter(|known| known.target == host) {
                    service.addresses.clone_from(&addresses);
                }
            }
            Err(reason) => told = format!("{host}: {reason}"),
        }
    }
    services.retain(|service| !service.addresses.is_empty());
    if services.is_empty() {
        return LookupOutcome::Failed(told);
    }
    LookupOutcome::Found(SourceAnswer::Services(services), Some(shortest))
}

/// The addresses of these hosts; of one whose lookup fails those that it had before.
async fn targets(
    resolver: &TokioResolver,
    mut hosts: Vec<Box<str>>,
    before: Option<&SourceAnswer>,
) -> Vec<(Box<str>, Result<Held, String>)> {
    hosts.sort_unstable();
    hosts.dedup();
    let earlier =
        if let Some(SourceAnswer::Services(services)) = before { &services[..] } else { &[] };
    let (mut found, mut asking) = (Vec::new(), JoinSet::new());
    for host in hosts {
        if asking.len() >= TARGETS_AT_A_TIME {
            found.extend(asking.join_next().await.and_then(Result::ok));
        }
        let before = earlier.iter().find(|service| service.target == host);
        let before = before.map_or_else(Vec::new, |service| service.addresses.clone());
        let resolver = resolver.clone();
        asking.spawn(async move {
            // Targets are whole names (RFC 2782).
            let asked = addresses(&resolver, &format!("{host}."), &before).await;
            let asked = match asked {
                Err(_) if !before.is_empty() => Ok((before, Duration::ZERO)),
                asked => asked,
            };
            (host, asked)
        });
    }
    while let Some(next) = asking.join_next().await {
        found.extend(next);
    }
    found
}
