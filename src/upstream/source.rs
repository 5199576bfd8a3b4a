//! Where endpoints come from that are not written as addresses: what is asked, and what an answer means.
//!
//! A source is asked elsewhere; whatever it is, its answer becomes a list of [`Discovered`].

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::custom_source::CustomQuery;
use super::endpoint::{EndpointRole, Scheme};
use crate::address::Address;

/// The most endpoints that one source may have: more are cut off, in the order of their addresses.
pub const ENDPOINTS_MAX: usize = 1024;

/// The shortest and the longest time between two lookups, whatever the TTL of the answer.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The longest wait after a lookup that failed.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is asked for endpoints. The same is asked once, however many upstreams depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceQuery {
    /// The addresses of a host: those of IPv4, or those of IPv6 if it has no others.
    Name(Box<str>),
    /// All addresses that DNS has of a host.
    Dns(Box<str>),
    /// The services of a name in DNS (RFC 2782).
    Srv(Box<str>),
    /// The lines of a file.
    File(PathBuf),
    /// What a program says that embeds the balancer.
    Custom(CustomQuery),
}

impl SourceQuery {
    /// Whether its answer is a list, whose entries say for themselves what they are.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::File(_) | Self::Custom(_))
    }
}

impl fmt::Display for SourceQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(host) => f.write_str(host),
            Self::Dns(host) => write!(f, "dns:{host}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Custom(query) => write!(f, "custom:{}", query.name()),
        }
    }
}

/// Endpoints that are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSource {
    /// What is asked for them.
    pub question: SourceQuery,
    /// How it was written, without scheme and weight.
    pub written: Box<str>,
    /// Their port, unless the answer says.
    pub port: u16,
    /// What they speak, unless the answer says.
    pub scheme: Scheme,
    /// Their weight, unless the answer says.
    pub weight: NonZeroU16,
    /// Their role; the answer may make some of them backups.
    pub role: EndpointRole,
}

/// An endpoint that was found or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The name it is known by, without scheme and weight.
    pub name: Box<str>,
    /// Where it is.
    pub address: Address,
    /// Its weight.
    pub weight: NonZeroU16,
    /// Its role.
    pub role: EndpointRole,
    /// What it speaks.
    pub scheme: Scheme,
}

/// One entry of a list of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEntry {
    /// An endpoint.
    Written(Discovered),
    /// As many as are found.
    Source(EndpointSource),
}

impl ListEntry {
    /// The role that was written.
    pub fn role(&self) -> EndpointRole {
        match self {
            Self::Written(written) => written.role,
            Self::Source(source) => source.role,
        }
    }

    /// The scheme that was written.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Written(written) => written.scheme,
            Self::Source(source) => source.scheme,
        }
    }

    /// What it takes, if it is looked up.
    pub fn source(&self) -> Option<&EndpointSource> {
        match self {
            Self::Written(_) => None,
            Self::Source(source) => Some(source),
        }
    }
}

/// A service of an SRV answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvService {
    /// Its host.
    pub target: Box<str>,
    /// Its port.
    pub port: u16,
    /// Its weight, scaled.
    pub weight: NonZeroU16,
    /// Primary, if its priority number is the smallest.
    pub role: EndpointRole,
    /// The addresses of its host.
    pub addresses: Vec<IpAddr>,
}

/// What a question was answered. In an order that depends on what it says alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAnswer {
    /// The addresses of a host.
    Addresses(Vec<IpAddr>),
    /// Services.
    Services(Vec<SrvService>),
    /// The lines of a file, or what a program has listed.
    Lines(Vec<ListEntry>),
}

impl SourceAnswer {
    /// What it makes necessary to ask.
    pub fn questions(&self) -> impl Iterator<Item = &SourceQuery> {
        let lines = if let Self::Lines(lines) = self { &lines[..] } else { &[] };
        lines.iter().filter_map(ListEntry::source).map(|source| &source.question)
    }

    /// How many endpoints it stands for; one for each line of a file.
    pub fn count(&self) -> usize {
        match self {
            Self::Addresses(addresses) => addresses.len(),
            Self::Services(services) => {
                services.iter().map(|service| service.addresses.len()).sum()
            }
            Self::Lines(lines) => lines.len(),
        }
    }

    /// At most [`ENDPOINTS_MAX`] of it, and how many were cut off.
    #[must_use]
    pub fn bounded(mut self) -> (Self, usize) {
        let (mut room, mut cut) = (ENDPOINTS_MAX, 0);
        let mut take = |length: usize| {
            let kept = length.min(room);
            (room, cut) = (room - kept, cut + length - kept);
            kept
        };
        match &mut self {
            Self::Addresses(addresses) => addresses.truncate(take(addresses.len())),
            Self::Lines(lines) => lines.truncate(take(lines.len())),
            Self::Services(services) => services
                .iter_mut()
                .for_each(|service| service.addresses.truncate(take(service.addresses.len()))),
        }
        (self, cut)
    }
}

/// The endpoints of a list, by what is known of its sources: in the order of the list, each address once. What is
/// not known yet has none.
pub fn endpoints<'a>(
    entries: &[ListEntry],
    answer: &impl Fn(&SourceQuery) -> Option<&'a SourceAnswer>,
) -> Vec<Discovered> {
    let mut all = Vec::new();
    for entry in entries {
        match entry {
            ListEntry::Written(written) => all.push(written.clone()),
            ListEntry::Source(source) => expand(source, answer, &mut all),
        }
    }
    let mut seen = HashSet::new();
    all.retain(|found| seen.insert(found.address.clone()));
    all
}

fn expand<'a>(
    source: &EndpointSource,
    answer: &impl Fn(&SourceQuery) -> Option<&'a SourceAnswer>,
    all: &mut Vec<Discovered>,
) {
    let EndpointSource { port, scheme, weight, role, .. } = *source;
    match answer(&source.question) {
        None => {}
        Some(SourceAnswer::Addresses(addresses)) => {
            all.extend(addresses.iter().map(|ip| Discovered {
                name: name_of(source).into(),
                address: Address::Tcp(SocketAddr::new(*ip, port)),
                weight,
                role,
                scheme,
            }));
        }
        Some(SourceAnswer::Services(services)) => {
            for SrvService { target, port, weight, role: own, addresses } in services {
                all.extend(addresses.iter().map(|ip| Discovered {
                    name: format!("{target}:{port}").into(),
                    address: Address::Tcp(SocketAddr::new(*ip, *port)),
                    weight: *weight,
                    role: backup_if_either(role, *own),
                    scheme,
                }));
            }
        }
        Some(SourceAnswer::Lines(lines)) => {
            for line in lines {
                let first = all.len();
                match line {
                    ListEntry::Written(written) => all.push(written.clone()),
                    // A list names no other list.
                    ListEntry::Source(inner) if inner.question.is_list() => {}
                    ListEntry::Source(inner) => expand(inner, answer, all),
                }
                for found in &mut all[first..] {
                    found.role = backup_if_either(role, found.role);
                }
            }
        }
    }
}

/// The host and the port that a source was written with.
fn name_of(source: &EndpointSource) -> &str {
    source.written.strip_prefix("dns:").unwrap_or(&source.written)
}

fn backup_if_either(one: EndpointRole, other: EndpointRole) -> EndpointRole {
    if one == EndpointRole::Backup { one } else { other }
}

/// The time until an answer with this TTL is asked for again.
pub fn again_after(ttl: Duration) -> Duration {
    ttl.clamp(TTL.0, TTL.1)
}

/// The time until it is asked again after so many failures in a row: doubled from 1 s to 30 s.
pub fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u64 << failures.saturating_sub(1).min(16);
    Duration::from_secs(doubled).min(PAUSE_MAX)
}

/// Why a host has no addresses of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The host has none.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// It is not known: in words.
    Failed(String),
}

impl Miss {
    /// The reason, in words.
    pub fn reason(self) -> String {
        match self {
            Self::Empty => "it has no addresses (an empty answer)".to_owned(),
            Self::NoSuchName => "there is no such name (NXDOMAIN)".to_owned(),
            Self::Failed(reason) => reason,
        }
    }
}

/// The addresses of a host from its two lookups, in order. If one of them failed, those that it had
/// before stay. An error if there are none.
pub fn combine(
    v4: Result<Vec<IpAddr>, Miss>,
    v6: Result<Vec<IpAddr>, Miss>,
    before: &[IpAddr],
) -> Result<Vec<IpAddr>, String> {
    if let (Err(v4), Err(v6)) = (&v4, &v6) {
        let is_failure = |miss: &&Miss| matches!(miss, Miss::Failed(_));
        let told = [v4, v6].into_iter().find(is_failure).unwrap_or(v4);
        return Err(told.clone().reason());
    }
    let mut all = Vec::new();
    for (of_family, is_v4) in [(v4, true), (v6, false)] {
        match of_family {
            Ok(addresses) => all.extend(addresses),
            Err(Miss::Failed(_)) => all.extend(before.iter().filter(|ip| ip.is_ipv4() == is_v4)),
            Err(_) => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { Err(Miss::Empty.reason()) } else { Ok(all) }
}

/// The IPv4 addresses of a host, or the IPv6 ones if it has no others. Most servers listen on one family
/// only, so half the addresses of `localhost` would fail.
#[must_use]
pub fn one_family(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let any_v4 = addresses.iter().any(IpAddr::is_ipv4);
    addresses.retain(|address| address.is_ipv4() == any_v4);
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn weight(weight: u16) -> NonZeroU16 {
        NonZeroU16::new(weight).unwrap()
    }

    fn source(question: SourceQuery, written: &str) -> EndpointSource {
        let (scheme, role) = (Scheme::Http, EndpointRole::Primary);
        EndpointSource {
            question,
            written: written.into(),
            port: 80,
            scheme,
            weight: weight(2),
            role,
        }
    }

    fn dns(host: &str) -> EndpointSource {
        source(SourceQuery::Dns(host.into()), &format!("dns:{host}:80"))
    }

    fn written(address: &str) -> ListEntry {
        ListEntry::Written(Discovered {
            name: address.into(),
            address: Address::Tcp(address.parse().unwrap()),
            weight: weight(1),
            role: EndpointRole::Primary,
            scheme: Scheme::Http,
        })
    }

    fn shown(found: &[Discovered]) -> Vec<String> {
        let shown = |found: &Discovered| {
            let role = if found.role == EndpointRole::Backup { " backup" } else { "" };
            format!("{}@{}{role} ({})", found.address, found.weight, found.name)
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn a_list_keeps_its_order_and_has_each_address_once() {
        let answer = SourceAnswer::Addresses(ips(&["10.0.0.1", "10.0.0.2", "::1"]));
        let list = [written("10.0.0.2:80"), ListEntry::Source(dns("a")), written("10.0.0.1:80")];
        let found = endpoints(&list, &|_| Some(&answer));
        let expected = ["10.0.0.2:80@1 (10.0.0.2:80)", "10.0.0.1:80@2 (a:80)", "[::1]:80@2 (a:80)"];
        assert_eq!(shown(&found), expected);
        assert_eq!(endpoints(&list, &|_| None).len(), 2);
    }

    #[test]
    fn services_have_ports_weights_and_roles_of_their_own() {
        let service = |target: &str, port, role| SrvService {
            target: target.into(),
            port,
            weight: weight(port),
            role,
            addresses: ips(&["10.0.0.1", "10.0.0.2"]),
        };
        let (primary, backup) = (EndpointRole::Primary, EndpointRole::Backup);
        let answer =
            SourceAnswer::Services(vec![service("a", 81, primary), service("b", 82, backup)]);
        let mut list =
            [ListEntry::Source(source(SourceQuery::Srv("_x._tcp.a".into()), "srv:_x._tcp.a"))];
        let found = shown(&endpoints(&list, &|_| Some(&answer)));
        assert_eq!(found[1..3], ["10.0.0.2:81@81 (a:81)", "10.0.0.1:82@82 backup (b:82)"]);
        if let ListEntry::Source(source) = &mut list[0] {
            source.role = backup;
        }
        assert_eq!(endpoints(&list, &|_| Some(&answer))[0].role, backup);
    }

    #[test]
    fn the_lines_of_a_file_may_be_looked_up_but_are_no_files() {
        let file = SourceQuery::File("/a".into());
        let of_file = source(file.clone(), "file:/a");
        let lines = [
            written("10.0.0.9:80"),
            ListEntry::Source(dns("a")),
            ListEntry::Source(of_file.clone()),
        ];
        let (lines, addresses) =
            (SourceAnswer::Lines(lines.into()), SourceAnswer::Addresses(ips(&["10.0.0.1"])));
        let answer = |asked: &SourceQuery| Some(if *asked == file { &lines } else { &addresses });
        let found = endpoints(&[ListEntry::Source(of_file)], &answer);
        assert_eq!(shown(&found), ["10.0.0.9:80@1 (10.0.0.9:80)", "10.0.0.1:80@2 (a:80)"]);
        assert_eq!(lines.questions().count(), 2);
    }

    #[test]
    fn what_is_above_the_ceiling_is_cut_and_counted() {
        let many: Vec<IpAddr> = (0..2000).map(|n: u32| IpAddr::V4((n << 8).into())).collect();
        let (SourceAnswer::Addresses(kept), 976) = SourceAnswer::Addresses(many.clone()).bounded()
        else {
            panic!()
        };
        assert_eq!(kept[..], many[..ENDPOINTS_MAX]);
        let service = |target: &str| SrvService {
            target: target.into(),
            port: 1,
            weight: weight(1),
            role: EndpointRole::Primary,
            addresses: many[..1000].to_vec(),
        };
        let (answer, cut) = SourceAnswer::Services(vec![service("a"), service("b")]).bounded();
        let SourceAnswer::Services(services) = answer else { panic!() };
        assert_eq!(
            (services[0].addresses.len(), services[1].addresses.len(), cut),
            (1000, 24, 976)
        );
    }

    #[test]
    fn a_ttl_is_bounded_and_failures_are_asked_about_less_and_less() {
        let seconds = Duration::from_secs;
        for (ttl, expected) in [(0, 1), (1, 1), (30, 30), (300, 300), (86400, 300)] {
            assert_eq!(again_after(seconds(ttl)), seconds(expected));
        }
        let pauses: Vec<u64> =
            [0, 1, 2, 3, 4, 5, 6, 7, 100].map(|n| pause_after(n).as_secs()).into();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_lookup_that_failed_keeps_what_it_had_and_an_empty_one_does_not() {
        let failed = || Err(Miss::Failed("no answer".to_owned()));
        let v4 = || Ok(ips(&["10.0.0.2", "10.0.0.1"]));
        let before = ips(&["10.0.0.9", "::9"]);
        assert_eq!(combine(v4(), failed(), &before), Ok(ips(&["10.0.0.1", "10.0.0.2", "::9"])));
        assert_eq!(combine(v4(), Err(Miss::Empty), &before), Ok(ips(&["10.0.0.1", "10.0.0.2"])));
        assert_eq!(combine(failed(), Ok(ips(&["::1"])), &before), Ok(ips(&["10.0.0.9", "::1"])));
        assert_eq!(combine(Err(Miss::NoSuchName), failed(), &before), Err("no answer".to_owned()));
        let none = combine(Err(Miss::NoSuchName), Err(Miss::NoSuchName), &before);
        assert!(none.unwrap_err().contains("NXDOMAIN"));
        assert!(combine(Ok(vec![]), Err(Miss::Empty), &before).is_err());
    }

    #[test]
    fn a_plain_name_has_one_family() {
        assert_eq!(one_family(ips(&["::1", "127.0.0.1", "127.0.0.1"])), ips(&["127.0.0.1"]));
        assert_eq!(one_family(ips(&["::2", "::1"])), ips(&["::1", "::2"]));
    }
}
