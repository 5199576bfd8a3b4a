//! Parses the values of flags: durations, sizes, addresses, endpoints, routes.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::hints;
use super::interface;
use super::scheme;
use super::source;
pub(super) use super::source::{socket_path, weight};
use crate::address::Address;
use crate::http::message::authority::is_authority;
use crate::http::message::field::is_token;
use crate::plan::listener::Preamble;
use crate::proxy_protocol::Version;
use crate::route::{NamePattern, Pattern, PatternError};
use crate::upstream::source::{ListEntry, one_family};

/// The allowed durations: from the resolution of the timers to a week.
const DURATIONS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(7 * 24 * 3600);

/// Looks up the addresses of `name:port`.
pub type Resolve<'a> = &'a dyn Fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Whether an address is one of this machine's.
pub type IsLocal<'a> = &'a dyn Fn(IpAddr) -> bool;

/// Looks up addresses with the system's resolver; blocks.
pub fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    name.to_socket_addrs().map(Iterator::collect)
}

/// Parses a duration such as `500ms`, `5s`, `1m 30s` or `1h`; 1 ms to a week.
pub fn duration(text: &str) -> Result<Duration, String> {
    let zero = text == "0";
    let parsed = if zero { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
    let parsed = parsed.map_err(|_| {
        let hint = hints::duration(text);
        let expected = "expected a duration with a unit, such as 500ms, 5s or 1h";
        format!("invalid value {text:?}: {expected}{hint}")
    })?;
    if !DURATIONS.contains(&parsed) {
        return Err(format!("invalid value {text:?}: expected a duration from 1ms to 7days"));
    }
    Ok(parsed)
}

/// The same, or none at all: `0` with or without a unit.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let zero = text == "0" || humantime::parse_duration(text).is_ok_and(|parsed| parsed.is_zero());
    if zero { Ok(Duration::ZERO) } else { duration(text) }
}

/// Parses a duration within a range.
pub fn duration_within(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration(text)?;
    range.contains(&duration).then_some(duration).ok_or_else(|| {
        let (least, most) = (time(*range.start()), time(*range.end()));
        format!("invalid value {text:?}: expected a duration from {least} to {most}")
    })
}

/// A duration as it would be written.
fn time(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

/// Checks a header of the request that is asked about: `NAME: VALUE`.
pub fn header(text: &str) -> Result<(), String> {
    let name = text.split_once(':').map(|(name, _)| name);
    let is_header = name.is_some_and(|name| is_token(name.as_bytes()))
        && !text.chars().any(|char| char.is_control() && char != '\t');
    is_header.then_some(()).ok_or_else(|| format!("invalid value {text:?}: expected NAME: VALUE"))
}

/// Checks the method of the request that is asked about.
pub fn method(text: &str) -> Result<&str, String> {
    is_token(text.as_bytes())
        .then_some(text)
        .ok_or_else(|| format!("invalid value {text:?}: expected a method"))
}

/// Parses an IP address without a port.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("invalid value {text:?}: expected an IP address"))
}

/// Parses a size in bytes such as `16384`, `16k` (×1024), `1m` (×1024²) or `1g` (×1024³).
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1024),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1024 * 1024),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    let number: Option<usize> = digits.parse().ok();
    let number = number.filter(|_| !digits.starts_with('+'));
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| {
        let hint = hints::size(text);
        format!(
            "invalid value {text:?}: expected bytes, or a number with k, m or g, such as 16k{hint}"
        )
    })
}

/// Parses a number within bounds.
pub fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display + Copy,
{
    match text.parse::<T>() {
        Ok(number) if !text.starts_with('+') && number >= least && number <= most => Ok(number),
        _ => Err(format!("invalid value {text:?}: expected a number from {least} to {most}")),
    }
}

/// Parses `ip:port`, `[v6]:port`, `name:port`, `:port` (every IPv4 address) or `unix:/path`.
pub fn addresses(text: &str, resolve: Resolve<'_>) -> Result<Vec<Address>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(|path| vec![Address::Unix(path)]);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![Address::Tcp(address)]);
    }
    if let Some(found) = interface::with_zone(text) {
        return found.map(|address| vec![Address::Tcp(address)]);
    }
    if text.contains("://") {
        return Err(format!(
            "{text:?}: an address to listen on has no scheme: write ip:port or :port"
        ));
    }
    match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => {
            Err(format!("{text:?}: invalid port {port:?}: expected 0 to 65535"))
        }
        Some(("", port)) => addresses(&format!("0.0.0.0:{port}"), resolve),
        Some((name, _)) if name.contains(':') => {
            Err(format!("{text:?}: write an IPv6 address in brackets, as in [::1]:8080"))
        }
        Some(_) => resolved(text, resolve),
        None => Err(hints::listen(text)),
    }
}

/// The addresses of a name, of one family.
fn resolved(text: &str, resolve: Resolve<'_>) -> Result<Vec<Address>, String> {
    let found = resolve(text).map_err(|error| format!("{text:?} does not resolve: {error}"))?;
    let Some(port) = found.first().map(SocketAddr::port) else {
        return Err(format!("{text:?} does not resolve to any address"));
    };
    let addresses = one_family(found.iter().map(SocketAddr::ip).collect());
    Ok(addresses.into_iter().map(|ip| Address::Tcp(SocketAddr::new(ip, port))).collect())
}

/// Where connections or requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// At least one.
    pub endpoints: Vec<ListEntry>,
    /// The version of the PROXY protocol header to send, if any.
    pub announces: Option<Version>,
}

/// The value of `--route`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRoute {
    /// Which requests it matches.
    pub pattern: Pattern,
    /// Where they go.
    pub destination: Destination,
}

/// Parses `[HOST]PREFIX=DESTINATION`; see [`Destination`].
pub fn route(text: &str) -> Result<WrittenRoute, String> {
    let Some((pattern, destination)) = text.split_once('=') else {
        return Err(match source::weighted(text) {
            Ok(_) => format!("{text:?} has no path: write /={text}"),
            Err(_) => {
                format!("{text:?} has no endpoint: write it after a =, as in {text}=127.0.0.1:3000")
            }
        });
    };
    let pattern: Pattern = pattern.parse().map_err(|error| mistaken(pattern, error))?;
    Ok(WrittenRoute { pattern, destination: self::destination(destination)? })
}

/// What is wrong with `[HOST]PREFIX`.
fn mistaken(pattern: &str, error: PatternError) -> String {
    if let Some((scheme, rest)) = pattern.split_once("://") {
        return format!("{pattern:?}: leave {scheme}:// out: write {rest}");
    }
    match (error, pattern) {
        (_, "") => {
            "there is no path before the =: write /=ENDPOINT to take every request".to_owned()
        }
        (PatternError::NoPath, _) if pattern.contains('.') => {
            format!("{pattern:?}: a host is followed by a path: write {pattern}/")
        }
        (PatternError::NoPath, _) => {
            format!("{pattern:?}: a path begins with /: write /{pattern}, or {pattern}/ for a host")
        }
        _ => format!("{pattern:?}: {error}"),
    }
}

/// The value of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The addresses; at least one.
    pub addresses: Vec<Address>,
    /// What connections begin with.
    pub preamble: Preamble,
}

/// Parses `ADDR[,proxy]`.
pub fn listen(text: &str, resolve: Resolve<'_>) -> Result<Listen, String> {
    let (address, preamble) = match text.split_once(',') {
        None => (text, Preamble::Nothing),
        Some((address, "proxy")) => (address, Preamble::ProxyHeader),
        Some((first, other)) if other.contains(':') => {
            return Err(format!(
                "{text:?}: one address each: write {first}, and {other} in another"
            ));
        }
        Some((_, other)) => {
            return Err(format!("unknown option {other:?}: write ADDR or ADDR,proxy"));
        }
    };
    Ok(Listen { addresses: addresses(address, resolve)?, preamble })
}

/// The value of `--tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRelay {
    /// Where it listens.
    pub listen: Listen,
    /// The server names that it is for; if there are none, it is for all connections that no other value
    /// for the same address takes.
    pub server_name: Option<NamePattern>,
    /// Where its connections go.
    pub destination: Destination,
}

/// Parses `LISTEN[,proxy][,sni=NAME]=DESTINATION`; see [`Destination`].
pub fn relay(text: &str, resolve: Resolve<'_>) -> Result<WrittenRelay, String> {
    let Some((listen, rest)) = text.split_once('=') else {
        return Err(format!("{text:?} has no '=': write LISTEN=ENDPOINT, as in :5432={text}"));
    };
    let (listen, server_name, destination) = match listen.strip_suffix(",sni") {
        None => (listen, None, rest),
        Some(listen) => {
            let Some((name, destination)) = rest.split_once('=') else {
                let what = "no endpoint follows the name: write LISTEN,sni=NAME=ENDPOINT";
                return Err(format!("{text:?}: {what}"));
            };
            (listen, Some(server_name(name)?), destination)
        }
    };
    let listen = self::listen(listen, resolve)?;
    destination.split(',').try_for_each(scheme::refuse)?;
    let destination = self::destination(destination)?;
    Ok(WrittenRelay { listen, server_name, destination })
}

/// Parses a server name, or a wildcard for several.
pub(super) fn server_name(text: &str) -> Result<NamePattern, String> {
    text.parse().map_err(|error| format!("invalid name {text:?}: {error}"))
}

/// Parses `ENDPOINT[@WEIGHT][,ENDPOINT[@WEIGHT]…][,proxy=v1|v2]`.
fn destination(text: &str) -> Result<Destination, String> {
    let (endpoints, announces) = match text.rsplit_once(",proxy=") {
        None => (text, None),
        Some((endpoints, "v1")) => (endpoints, Some(Version::V1)),
        Some((endpoints, "v2")) => (endpoints, Some(Version::V2)),
        Some((_, other)) => return Err(format!("proxy={other}: write proxy=v1 or proxy=v2, last")),
    };
    let mut found: Vec<ListEntry> = Vec::new();
    for endpoint in endpoints.split(',') {
        let entry = source::weighted(endpoint.trim())?;
        if found.iter().any(|known| source::same(known, &entry)) {
            return Err(source::named_twice(&entry));
        }
        found.push(entry);
    }
    Ok(Destination { endpoints: found, announces })
}

/// Parses the address of a name server: `ip[:53]`.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let found = text.parse().or_else(|_| bare()).ok().filter(|found| found.port() != 0);
    found.ok_or_else(|| {
        format!(
            "invalid value {text:?}: expected ip or ip:port, such as 10.0.0.53 or [fd00::53]:53"
        )
    })
}

/// Parses `v1` or `v2`.
pub(super) fn proxy(text: &str) -> Result<Version, String> {
    match text {
        "v1" => Ok(Version::V1),
        "v2" => Ok(Version::V2),
        _ => Err(format!("invalid value {text:?}: expected v1 or v2")),
    }
}

/// Parses what Host says to endpoints.
pub(super) fn host_header(host: &str) -> Result<String, String> {
    if host.is_empty() || host.len() > 255 || !is_authority(host.as_bytes()) {
        return Err(format!(
            "invalid host {host:?}: expected NAME or NAME:PORT, at most 255 bytes"
        ));
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::endpoint::Scheme;

    fn no_names(name: &str) -> io::Result<Vec<SocketAddr>> {
        match name {
            "both:80" => Ok(vec!["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn some_durations_may_be_zero() {
        for zero in ["0", "0s", "0ms"] {
            assert_eq!(duration_or_zero(zero), Ok(Duration::ZERO));
        }
        assert_eq!(duration_or_zero("5s"), Ok(Duration::from_secs(5)));
        assert!(duration_or_zero("5").is_err() && duration_or_zero("1us").is_err());
    }

    #[test]
    fn durations_need_a_unit_and_are_bounded() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["5", "0s", "1us", "-1s", "8days", "", "s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        let rows = [("512", Some(512)), ("16k", Some(16384)), ("1M", Some(1 << 20)), ("k", None)];
        for (text, bytes) in rows {
            assert_eq!(size(text).ok(), bytes, "{text:?}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_told_in_the_units_it_is_written_in() {
        let hour = Duration::from_millis(100)..=Duration::from_secs(3600);
        let told = duration_within("2h", &hour).unwrap_err();
        assert_eq!(told, "invalid value \"2h\": expected a duration from 100ms to 1h");
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        assert!(header("X-User: a: b").is_ok() && header("a:").is_ok());
        for bad in ["", "a", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(header(bad).unwrap_err().ends_with("expected NAME: VALUE"), "{bad:?}");
        }
    }

    #[test]
    fn addresses_of_every_kind() {
        let rows = [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            (":80", "0.0.0.0:80"),
            ("unix:/run/a", "unix:/run/a"),
            ("both:80", "127.0.0.1:80"),
        ];
        for (text, expected) in rows {
            let found = addresses(text, &no_names).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].to_string(), expected, "{text:?}");
        }
        for bad in ["127.0.0.1", "::1:80", "unix:a", "a:b", "none:80", "a:99999"] {
            assert!(addresses(bad, &no_names).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn name_servers_have_the_port_of_dns_unless_they_say_another() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1:53"),
            ("10.0.0.1:5353", "10.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:54", "[::1]:54"),
        ] {
            assert_eq!(name_server(text).unwrap().to_string(), expected);
        }
        for bad in ["dns.example", "10.0.0.1:0", "10.0.0.1:x", "", "[::1]"] {
            assert!(name_server(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn routes_with_weights() {
        let route = route("/a=127.0.0.1:1@3,unix:/x,dns:a:1@2").unwrap();
        let weight = |entry: &ListEntry| match entry {
            ListEntry::Written(written) => written.weight.get(),
            ListEntry::Source(source) => source.weight.get(),
        };
        let weights: Vec<u16> = route.destination.endpoints.iter().map(weight).collect();
        assert_eq!(weights, [3, 1, 2]);
    }

    #[test]
    fn an_endpoint_keeps_the_name_it_was_written_with() {
        let rows = [
            ("http://127.0.0.1:80@2", "127.0.0.1:80"),
            ("unix:/a://b", "unix:/a://b"),
            ("http://unix:/a", "unix:/a"),
        ];
        for (text, name) in rows {
            let ListEntry::Written(written) = source::weighted(text).unwrap() else {
                panic!("{text}")
            };
            assert_eq!((&*written.name, &*written.address.to_string()), (name, name));
            assert_eq!(written.scheme, Scheme::Http);
        }
    }

    #[test]
    fn every_scheme_may_stand_before_every_kind_of_address() {
        for scheme in [Scheme::Https, Scheme::H2, Scheme::H2c] {
            for address in ["127.0.0.1:1@2", "both:80", "unix:/a", "dns:a:1"] {
                let text = format!("{}://{address}", scheme.name());
                assert_eq!(source::weighted(&text).unwrap().scheme(), scheme, "{text}");
            }
        }
        for scheme in ["https", "h2", "h2c"] {
            let relay = relay(&format!(":1={scheme}://unix:/a"), &no_names).unwrap_err();
            assert!(relay.contains("leave the scheme out"), "{relay}");
        }
    }

    #[test]
    fn other_schemes_are_refused_and_all_of_them_before_a_relay() {
        for scheme in ["http2", "HTTP", "", "grpc", "H2"] {
            let route = route(&format!("/={scheme}://127.0.0.1:1")).unwrap_err();
            assert!(route.contains("unknown scheme"), "{route}");
        }
        let relay = relay(":1=127.0.0.1:2,http://127.0.0.1:3", &no_names).unwrap_err();
        assert!(relay.contains("leave the scheme out"), "{relay}");
    }

    #[test]
    fn what_is_wrong_with_an_endpoint_is_shown_as_it_was_written() {
        let rows = [
            ("h2c://127.0.0.1", "\"h2c://127.0.0.1\" has no port: write"),
            ("h2://[::1]:x", "\"h2://[::1]:x\": invalid port \"x\""),
            ("h2c://a:1/foo", "\"h2c://a:1/foo\": an endpoint has no path: leave \"/foo\" out"),
            ("127.0.0.1:1/", "\"127.0.0.1:1/\": an endpoint has no path: leave \"/\" out"),
        ];
        for (text, expected) in rows {
            let told = source::weighted(text).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn invalid_routes() {
        let rows = [
            "/a",
            "a=127.0.0.1:1",
            "/a=",
            "/a=127.0.0.1:1,",
            "/a=127.0.0.1:1@0",
            "/a=127.0.0.1:1@1001",
            "/a=127.0.0.1:0",
            "/a=127.0.0.1:1,127.0.0.1:1",
            "/a=dns:a:1,dns:A:1",
        ];
        for bad in rows {
            assert!(route(bad).is_err(), "{bad:?}");
        }
    }
}
