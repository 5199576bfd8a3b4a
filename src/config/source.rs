//! Parses endpoints as they are written: an address, or what is looked up for one.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use super::hints;
use super::interface;
use super::scheme;
use crate::address::Address;
use crate::upstream::custom_source::CustomQuery;
use crate::upstream::endpoint::{EndpointRole, Scheme};
use crate::upstream::source::{Discovered, EndpointSource, ListEntry, SourceQuery};

/// The largest weight of an endpoint.
const WEIGHT_MAX: u16 = 1000;

/// The length of `sun_path` without its terminating zero (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// The longest name of a host, and of one of its labels (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// What is wrong with a source in code elsewhere.
pub(super) const NOT_IN_CODE: &str =
    "custom: is for configurations that are built in code, where a source is given its name";

/// `[SCHEME://]ADDRESS[@WEIGHT]`.
pub(super) fn weighted(text: &str) -> Result<ListEntry, String> {
    if text == "proxy" || text.starts_with("proxy=") {
        return Err("proxy=v1 or proxy=v2 must come last, after an endpoint".to_owned());
    }
    if text.is_empty() {
        return Err("an endpoint is empty: write ip:port, name:port or unix:/path".to_owned());
    }
    let is_path = text.starts_with("file:") || text.contains("unix:/");
    if let Some(what) = hints::endpoint(text).filter(|_| !is_path) {
        return Err(what);
    }
    let (address, given) = match text.rsplit_once('@') {
        Some((address, given)) if !text.starts_with("file:") => {
            (address, Some(weight(given).map_err(|what| format!("{text:?}: {what}"))?))
        }
        _ => (text, None),
    };
    entry(address, given, EndpointRole::Primary)
}

/// `[SCHEME://]ADDRESS`, with what is said of it elsewhere.
pub(super) fn entry(
    text: &str,
    weight: Option<NonZeroU16>,
    role: EndpointRole,
) -> Result<ListEntry, String> {
    let (scheme, name) = scheme::read(text)?;
    // Whatever is wrong is shown as it was written.
    let whole = |what: String| what.replacen(&format!("{name:?}"), &format!("{text:?}"), 1);
    refuse_incomplete(text, name)?;
    let source = |question, port| EndpointSource {
        question,
        written: name.into(),
        port,
        scheme,
        weight: weight.unwrap_or(NonZeroU16::MIN),
        role,
    };
    let found = match name.split_once(':') {
        Some(("file", path)) => {
            refuse_said(text, scheme, weight, "its lines have their own")?;
            if path.is_empty() {
                return Err(format!("{text:?} names no file: write file:PATH"));
            }
            return Ok(ListEntry::Source(source(SourceQuery::File(path.into()), 0)));
        }
        Some(("custom", name)) if name.parse::<u16>().is_err() => {
            refuse_said(text, scheme, weight, "what it lists has its own")?;
            if !is_custom_name(name) {
                let what = "the name of a source has letters, digits, - and _ only";
                return Err(format!("{text:?}: {what}"));
            }
            let question = SourceQuery::Custom(CustomQuery::named(name));
            return Ok(ListEntry::Source(source(question, 0)));
        }
        Some(("srv", service)) if service.parse::<u16>().is_err() => {
            refuse_said(text, Scheme::Http, weight, "the records have their own")?;
            check_service(service).map_err(|what| format!("{text:?}: {what}"))?;
            return Ok(ListEntry::Source(source(SourceQuery::Srv(lower(service)), 0)));
        }
        Some(("dns", rest)) if rest.parse::<u16>().is_err() => {
            if !rest.contains(':') {
                return Err(format!("{text:?} has no port: write dns:NAME:PORT"));
            }
            host_and_port(rest, name).map(|found| (found, true))
        }
        Some((kind, rest)) if is_miswritten(kind, rest) => {
            return Err(format!("{text:?}: write {}: in lower case", kind.to_ascii_lowercase()));
        }
        _ => match address(name) {
            Ok(Some(address)) => {
                let (weight, name) = (weight.unwrap_or(NonZeroU16::MIN), name.into());
                return written(Discovered { name, address, weight, role, scheme }, text);
            }
            Ok(None) => host_and_port(name, name).map(|found| (found, false)),
            Err(what) => Err(what),
        },
    };
    let ((host, port), is_dns) = found.map_err(whole)?;
    let question =
        if is_dns { SourceQuery::Dns(lower(host)) } else { SourceQuery::Name(lower(host)) };
    if port == 0 {
        return Err(format!("{text:?}: the port of an endpoint must not be 0"));
    }
    Ok(ListEntry::Source(source(question, port)))
}

/// Refuses an endpoint without its port, or with the path of a URL.
fn refuse_incomplete(text: &str, name: &str) -> Result<(), String> {
    let has_path = name.starts_with("unix:") || name.starts_with("file:");
    if !name.is_empty() && !name.contains([':', '/']) {
        return Err(hints::port(text, name));
    }
    match name.split_once('/') {
        Some((_, path)) if !has_path => {
            Err(format!("{text:?}: an endpoint has no path: leave \"/{path}\" out"))
        }
        _ => Ok(()),
    }
}

/// Whether a source in code may be called that.
pub(super) fn is_custom_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

fn written(found: Discovered, text: &str) -> Result<ListEntry, String> {
    match &found.address {
        Address::Tcp(tcp) if tcp.port() == 0 => {
            Err(format!("{text:?}: the port of an endpoint must not be 0"))
        }
        _ => Ok(ListEntry::Written(found)),
    }
}

/// Parses the weight of an endpoint.
pub(super) fn weight(text: &str) -> Result<NonZeroU16, String> {
    let known = text.parse::<NonZeroU16>().ok().filter(|weight| weight.get() <= WEIGHT_MAX);
    known
        .ok_or_else(|| format!("invalid weight {text:?}: expected a number from 1 to {WEIGHT_MAX}"))
}

/// Parses the path of a Unix socket.
pub(super) fn socket_path(path: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') {
        let below = path.trim_start_matches("run/");
        return Err(format!(
            "{path:?}: the path of a Unix socket begins with /, as in /run/{below}"
        ));
    }
    if path.len() > UNIX_PATH_MAX {
        return Err(format!(
            "{path:?}: the path of a Unix socket is limited to {UNIX_PATH_MAX} bytes"
        ));
    }
    Ok(path.into())
}

/// What is said elsewhere of each endpoint of a source is not said of the source.
fn refuse_said(
    text: &str,
    scheme: Scheme,
    weight: Option<NonZeroU16>,
    why: &str,
) -> Result<(), String> {
    if scheme != Scheme::Http {
        return Err(format!("{text:?}: leave the scheme out: {why}"));
    }
    weight.map_or(Ok(()), |_| Err(format!("{text:?}: leave the weight out: {why}")))
}

/// Whether the kind of a source is in capitals. A host may have its name: then only a port follows.
fn is_miswritten(kind: &str, rest: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    ["dns", "srv", "file", "custom"].contains(&&*lower)
        && lower != kind
        && rest.parse::<u16>().is_err()
}

/// An address, unless it is the name of a host.
fn address(text: &str) -> Result<Option<Address>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(Address::Unix).map(Some);
    }
    if let Some(port) = text.strip_prefix(':').filter(|port| !port.contains(':')) {
        return address(&format!("0.0.0.0:{}", self::port(port, text)?));
    }
    if let Some(found) = interface::with_zone(text) {
        return found.map(Address::Tcp).map(Some);
    }
    Ok(text.parse::<SocketAddr>().ok().map(Address::Tcp))
}

/// `NAME:PORT`, which is shown as `whole` where it is wrong.
fn host_and_port<'a>(text: &'a str, whole: &str) -> Result<(&'a str, u16), String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("{whole:?} has no port: write it after a colon, as in {whole}:8080"));
    };
    let port = self::port(port, whole)?;
    if host.contains(':') {
        return Err(format!("{whole:?}: write an IPv6 address in brackets, as in [::1]:8080"));
    }
    check_host(host).map_err(|what| format!("{whole:?}: {what}"))?;
    Ok((host, port))
}

fn port(text: &str, whole: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{whole:?}: invalid port {text:?}: expected 1 to 65535"))
}

/// A name that a host could have in DNS. One that ends in a number was meant as an address (RFC 1123 §2.1).
pub fn check_host(host: &str) -> Result<(), String> {
    let labels = host.strip_suffix('.').unwrap_or(host);
    if host.parse::<Ipv4Addr>().is_ok() {
        return Err(format!("{host} is an address: leave dns: out"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_plain);
    let ends_in_number = labels.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_ok());
    if labels.len() > HOST_BYTES_MAX || !labels.split('.').all(is_label) || ends_in_number {
        return Err(format!("{host:?} is neither an address nor the name of a host"));
    }
    Ok(())
}

/// `_service._proto.NAME` (RFC 2782).
fn check_service(name: &str) -> Result<(), String> {
    let is_given = |label: Option<&str>| label.is_some_and(|label| label.starts_with('_'));
    let mut labels = name.splitn(3, '.');
    if !is_given(labels.next()) || !is_given(labels.next()) {
        return Err("write srv:_service._proto.NAME, as in srv:_http._tcp.app.internal".to_owned());
    }
    labels.next().ok_or("a name follows: write srv:_service._proto.NAME".to_owned())?;
    if let Some((name, _)) = name.split_once(':') {
        return Err(format!("leave the port out, the records have it: write srv:{name}"));
    }
    check_host(name)
}

/// Names are the same in either case (RFC 4343).
fn lower(name: &str) -> Box<str> {
    name.to_ascii_lowercase().into()
}

/// Parses the lines of a file: `ADDRESS[@WEIGHT] [backup]`, and what is said after `#`. Returns the number of a line,
/// from 1, with what is wrong about it.
pub fn lines(text: &str) -> Result<Vec<ListEntry>, (usize, String)> {
    let (mut found, mut seen) = (Vec::<ListEntry>::new(), HashSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split_once('#').map_or(line, |(said, _)| said);
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let wrong = |what: String| (number, what);
        let mut entry = weighted(first).map_err(wrong)?;
        match words.next() {
            None => {}
            Some("backup") => match &mut entry {
                ListEntry::Written(written) => written.role = EndpointRole::Backup,
                ListEntry::Source(source) => source.role = EndpointRole::Backup,
            },
            Some(other) => {
                return Err(wrong(format!("{other:?}: expected backup, or nothing")));
            }
        }
        if let Some(more) = words.next() {
            return Err(wrong(format!("{more:?}: expected one endpoint a line")));
        }
        match entry.source().map(|source| &source.question) {
            Some(SourceQuery::File(_)) => {
                return Err(wrong("a file cannot name another file".to_owned()));
            }
            Some(SourceQuery::Custom(_)) => return Err(wrong(NOT_IN_CODE.to_owned())),
            _ => {}
        }
        if !seen.insert(subject(&entry)) {
            return Err(wrong(format!("{first:?} is given twice: use a weight instead (@2)")));
        }
        found.push(entry);
    }
    if found.is_empty() {
        return Err((text.lines().count().max(1), "there are no endpoints".to_owned()));
    }
    if found.iter().all(|entry| entry.role() == EndpointRole::Backup) {
        return Err((1, "every endpoint is a backup: at least one must not be".to_owned()));
    }
    Ok(found)
}

/// Whether two entries are for the same endpoints.
pub(super) fn same(one: &ListEntry, other: &ListEntry) -> bool {
    subject(one) == subject(other)
}

/// What an entry is for: an address, or what is asked for a port.
fn subject(entry: &ListEntry) -> Result<Address, (SourceQuery, u16)> {
    match entry {
        ListEntry::Written(written) => Ok(written.address.clone()),
        ListEntry::Source(source) => Err((source.question.clone(), source.port)),
    }
}

/// The error for an entry that a list has already.
pub(super) fn named_twice(entry: &ListEntry) -> String {
    let shown = match entry {
        ListEntry::Written(written) => written.address.to_string(),
        ListEntry::Source(source) => source.written.to_string(),
    };
    format!("{shown} is given twice: use a weight instead (@2)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> EndpointSource {
        match weighted(text).unwrap() {
            ListEntry::Source(source) => source,
            ListEntry::Written(written) => panic!("{text}: {written:?}"),
        }
    }

    #[test]
    fn every_kind_of_source() {
        let rows = [
            ("app:80", "app", 80, Scheme::Http),
            ("dns:App.internal:81@3", "dns:app.internal", 81, Scheme::Http),
            ("https://dns:app.internal.:443", "dns:app.internal.", 443, Scheme::Https),
            ("srv:_http._tcp.app", "srv:_http._tcp.app", 0, Scheme::Http),
            ("h2c://srv:_grpc._tcp.app", "srv:_grpc._tcp.app", 0, Scheme::H2c),
            ("file:a@2/b", "file:a@2/b", 0, Scheme::Http),
            ("dns:80", "dns", 80, Scheme::Http),
            ("srv:80", "srv", 80, Scheme::Http),
        ];
        for (text, question, port, scheme) in rows {
            let found = source(text);
            assert_eq!(found.question.to_string(), question, "{text}");
            assert_eq!((found.port, found.scheme), (port, scheme), "{text}");
        }
        assert_eq!(source("dns:app:81@3").weight.get(), 3);
        assert_eq!(&*source("https://dns:App:81").written, "dns:App:81");
    }

    #[test]
    fn what_cannot_be_looked_up_is_refused() {
        let rows = [
            ("dns:app:x", "invalid port"),
            ("dns:app", "has no port: write dns:NAME:PORT"),
            ("dns:app@2", "has no port: write dns:NAME:PORT"),
            ("DNS:app:80", "write dns: in lower case"),
            ("SRV:_a._tcp.b", "write srv: in lower case"),
            ("srv:_a._tcp.b:80", "leave the port out, the records have it: write srv:_a._tcp.b"),
            ("dns:https://app:80", "a scheme comes first: write https://dns:app:80"),
            ("dns:app:0", "must not be 0"),
            ("dns:10.0.0.1:80", "leave dns: out"),
            ("10.0.0.256:80", "neither an address nor the name of a host"),
            ("a b:80", "an endpoint has no spaces"),
            ("a:80 b:80", "write a:80,b:80"),
            ("a:80 weight=3", "write the weight after an @: a:80@3"),
            ("dns::80", "neither an address nor"),
            ("dns:a..b:80", "neither an address nor"),
            ("srv:app", "write srv:_service._proto.NAME"),
            ("srv:_http._tcp", "a name follows"),
            ("srv:_http._tcp.app@2", "leave the weight out"),
            ("file:", "names no file"),
            ("https://file:/a", "leave the scheme out"),
            ("app", "has no port"),
        ];
        for (text, expected) in rows {
            let told = weighted(text).unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn lines_have_weights_roles_schemes_and_comments() {
        let text = "# all of them\n10.0.0.1:80@3\n\n  https://app:443   backup # slow\nunix:/run/a\r\ndns:b:80\n";
        let found = lines(text).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!((found[1].role(), found[1].scheme()), (EndpointRole::Backup, Scheme::Https));
        let ListEntry::Written(written) = &found[0] else { panic!() };
        assert_eq!((written.address.to_string(), written.weight.get()), ("10.0.0.1:80".into(), 3));
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let rows = [
            ("10.0.0.1:80\nx\n", 2, "has no port"),
            ("10.0.0.1:80 backups", 1, "expected backup, or nothing"),
            ("10.0.0.1:80\n10.0.0.2:80 backup 3", 2, "expected one endpoint a line"),
            ("10.0.0.1:80\n10.0.0.1:80@2", 2, "given twice"),
            ("10.0.0.1:80@0", 1, "invalid weight \"0\": expected a number from 1 to 1000"),
            ("a:1\nfile:/b", 2, "cannot name another file"),
            ("", 1, "there are no endpoints"),
            ("# a\n\n# b\n", 3, "there are no endpoints"),
            ("10.0.0.1:80 backup", 1, "every endpoint is a backup"),
        ];
        for (text, line, expected) in rows {
            let (number, what) = lines(text).unwrap_err();
            assert!(number == line && what.contains(expected), "{text:?}: {number}: {what}");
        }
    }
}
