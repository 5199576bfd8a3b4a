//! How endpoints are checked: as it is written, in short or in full, and as it is shown.

use std::fmt::Write as _;
use std::num::{NonZeroU8, NonZeroU16};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::spanned::{Location, Spanned};

use super::entries::{CheckEntry, CheckFields, Said, UpstreamEntry};
use super::hints;
use super::mistake::{Mistakes, Place};
use super::sources::{At, Sources};
use super::value;
use crate::grpc::health::SERVICE_BYTES_MAX;
use crate::http::message::field::is_token;
use crate::upstream::check::{Check, CheckKind, HttpCheck, StatusRanges};

/// The allowed check intervals, and times of one check; shorter ones would be load rather than checks.
pub(super) const CHECK_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(3600);

/// The longest text that can be searched for in a body.
const BODY_TEXT_BYTES_MAX: usize = 1024;

/// Parses `tcp`, `http:/path`, `https:/path`, `grpc`, `grpc:SERVICE` or `off`.
pub(super) fn read(text: &str) -> Result<CheckKind, String> {
    match text.split_once(':') {
        None if text == "off" => Ok(CheckKind::Off),
        None if text == "tcp" => Ok(CheckKind::Tcp),
        None if text == "grpc" => Ok(CheckKind::Grpc(String::new())),
        Some(("grpc", name)) => service(name).map_err(|what| {
            format!("invalid value {text:?}: {what}: write grpc for the whole server")
        }),
        Some(("http", path)) if path.starts_with('/') => {
            target("http", path).map(|path| CheckKind::Http(HttpCheck::get(path)))
        }
        Some(("https", path)) if path.starts_with('/') => {
            target("https", path).map(|path| CheckKind::Https(HttpCheck::get(path)))
        }
        _ => {
            let hint = match text.split_once(':') {
                _ if text.starts_with('/') => format!(": write http:{text}"),
                None if ["http", "https"].contains(&text) => format!(": write {text}:/"),
                Some(("http" | "https", path)) => {
                    format!(": write {}/{path}", text.strip_suffix(path).unwrap_or(text))
                }
                Some((kind, rest)) => match hints::choice(kind, &["http", "https", "grpc"], &[]) {
                    hint if hint.is_empty() => hint,
                    hint => format!("{hint}:{rest}"),
                },
                None => hints::choice(
                    text,
                    &["tcp", "grpc", "off"],
                    &[("none", "off"), ("false", "off")],
                ),
            };
            Err(format!(
                "invalid value {text:?}: expected tcp, http:/path, https:/path, grpc[:SERVICE] or off{hint}"
            ))
        }
    }
}

fn target<'a>(scheme: &str, path: &'a str) -> Result<&'a str, String> {
    if let Some(rest) = path.strip_prefix("//") {
        let path = rest.find('/').map_or("/", |host| &rest[host..]);
        return Err(format!(
            "invalid value \"{scheme}://{rest}\": a check has no host, it is of each endpoint: write \
             {scheme}:{path}"
        ));
    }
    if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(path);
    }
    Err(format!("invalid path {path:?}: expected / and visible ASCII characters"))
}

fn service(name: &str) -> Result<CheckKind, String> {
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=SERVICE_BYTES_MAX).contains(&name.len()) || !is_visible {
        return Err(format!(
            "a service has a name of 1 to {SERVICE_BYTES_MAX} visible ASCII characters"
        ));
    }
    Ok(CheckKind::Grpc(name.to_owned()))
}

/// The check of all upstreams that have none of their own, by the flags or in full by the file.
pub(super) fn of_flags(sources: &Sources, interval: Duration, mistakes: &mut Mistakes) -> Check {
    if let Some(file) = &sources.file
        && let Some(said) = &file.check
    {
        let place = file.place(said.referenced);
        return in_full(&said.value, &place, interval, &mut At { file, mistakes });
    }
    let kind = read(&sources.flags.check);
    Check::every(interval, mistakes.note(&sources.place("check"), kind, CheckKind::Off))
}

/// The check of an upstream whose entry this is; `usual` is that of the flags.
pub(super) fn of_entry(entry: &UpstreamEntry, usual: Check, at: &mut At<'_>) -> Check {
    let interval = at.over(entry.check_interval.as_ref(), interval, usual.interval);
    let Some(said) = &entry.check else {
        let timeout = if usual.timeout == usual.interval { interval } else { usual.timeout };
        return Check { interval, timeout, ..usual };
    };
    let place = at.file.place(said.referenced);
    match &said.value {
        CheckEntry::Text(text) => {
            let kind = at.mistakes.note(&place, read(text), CheckKind::Off);
            Check::every(interval, kind)
        }
        CheckEntry::Full(fields) => {
            if let (Some(said), Some(_)) = (&fields.interval, &entry.check_interval) {
                let what = "interval: check_interval is given too: leave one of them out";
                at.mistakes.add(&at.file.place(said.referenced), what);
            }
            in_full(fields, &place, interval, at)
        }
    }
}

/// A time between checks, or of one.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    value::duration_within(text, &CHECK_INTERVAL)
}

fn in_full(fields: &CheckFields, place: &Place, usual: Duration, at: &mut At<'_>) -> Check {
    let interval = at.over(fields.interval.as_ref(), interval, usual);
    let count = |text: &str| value::number(text, NonZeroU8::MIN, NonZeroU8::MAX);
    let port = |text: &str| value::number(text, NonZeroU16::MIN, NonZeroU16::MAX).map(Some);
    let host = |text: &str| value::host_header(text).map(|host| Some(host.into()));
    let check = Check::every(interval, CheckKind::Off);
    Check {
        kind: kind(fields, place, at),
        host: at.over(fields.host.as_ref(), host, None),
        port: at.over(fields.port.as_ref(), port, None),
        interval,
        timeout: at.over(fields.timeout.as_ref(), self::interval, interval),
        rise: at.over(fields.rise.as_ref(), count, check.rise),
        fall: at.over(fields.fall.as_ref(), count, check.fall),
    }
}

/// What is asked: exactly one question.
fn kind(fields: &CheckFields, place: &Place, at: &mut At<'_>) -> CheckKind {
    let CheckFields { tcp, http, https, grpc, .. } = fields;
    let location = |said: &Option<Said>| said.as_ref().map(|said| said.referenced);
    let kinds = [
        ("tcp", tcp.as_ref().map(|said| said.referenced)),
        ("http", location(http)),
        ("https", location(https)),
        ("grpc", location(grpc)),
    ];
    let mut given = kinds.into_iter().filter_map(|(name, said)| Some((name, said?)));
    let Some((name, _)) = given.next() else {
        let what = "a check needs one of tcp: true, http: /path, https: /path and grpc: SERVICE";
        at.mistakes.add(place, what);
        return CheckKind::Off;
    };
    for (other, said) in given {
        let what = format!("{other}: the check asks by {name} already: leave one of them out");
        at.mistakes.add(&at.file.place(said), what);
    }
    refuse_misplaced(fields, name, at);
    let path = |scheme, said: &Said, at: &mut At<'_>| {
        let path = |text: &str| target(scheme, text).map(str::to_owned);
        at.over(Some(said), path, String::new())
    };
    if let Some(said) = http {
        let path = path("http", said, at);
        CheckKind::Http(request(fields, &path, at))
    } else if let Some(said) = https {
        let path = path("https", said, at);
        CheckKind::Https(request(fields, &path, at))
    } else if let Some(said) = grpc {
        at.over(Some(said), service_in_full, CheckKind::Off)
    } else {
        if let Some(Spanned { value: false, referenced, .. }) = tcp {
            let what = "tcp: false asks nothing: write check: off, or another kind of check";
            at.mistakes.add(&at.file.place(*referenced), what);
        }
        CheckKind::Tcp
    }
}

/// The gRPC protocol calls the whole server by an empty name.
fn service_in_full(name: &str) -> Result<CheckKind, String> {
    match name {
        "" => Ok(CheckKind::Grpc(String::new())),
        "true" | "false" => Err(format!("{name}: write \"\" for the whole server, or a service")),
        name => service(name).map_err(|what| format!("{what}: write \"\" for the whole server")),
    }
}

/// Notes the keys that mean nothing for this kind of check.
fn refuse_misplaced(fields: &CheckFields, kind: &str, at: &mut At<'_>) {
    let CheckFields { host, method, status, body, .. } = fields;
    let location = |said: &Option<Said>| said.as_ref().map(|said| said.referenced);
    let keys: [(&str, Option<Location>, &[&str]); 4] = [
        ("host", location(host), &["http", "https", "grpc"]),
        ("method", location(method), &["http", "https"]),
        ("status", status.as_ref().map(|said| said.referenced), &["http", "https"]),
        ("body", location(body), &["http", "https"]),
    ];
    for (key, said, kinds) in keys {
        if let Some(said) = said.filter(|_| !kinds.contains(&kind)) {
            let what = format!("{key}: has no effect on a check by {kind}");
            at.mistakes.add(&at.file.place(said), what);
        }
    }
}

fn request(fields: &CheckFields, path: &str, at: &mut At<'_>) -> HttpCheck {
    let mut request = HttpCheck::get(path);
    request.method = at.over(fields.method.as_ref(), method, request.method);
    if let Some(said) = &fields.status {
        let place = at.file.place(said.referenced);
        request.statuses = at.mistakes.note(&place, statuses(&said.value.0), request.statuses);
    }
    request.body = at.over(fields.body.as_ref(), |text| body(text).map(Some), None);
    if let Some(said) = fields.body.as_ref().filter(|_| &*request.method == "HEAD") {
        let what = "body: an answer to HEAD has none: write method: GET, or leave body out";
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
    request
}

fn method(text: &str) -> Result<Box<str>, String> {
    const BYTES_MAX: usize = 32;
    if text == "CONNECT" || text.len() > BYTES_MAX || !is_token(text.as_bytes()) {
        return Err(format!("invalid method {text:?}: expected GET, HEAD, OPTIONS or such"));
    }
    Ok(text.into())
}

fn body(text: &str) -> Result<Box<[u8]>, String> {
    if text.is_empty() || text.len() > BODY_TEXT_BYTES_MAX {
        return Err(format!("body: expected 1 to {BODY_TEXT_BYTES_MAX} bytes to look for"));
    }
    Ok(text.as_bytes().into())
}

/// Parses ranges such as `200-299,404`, in one text or in several.
fn statuses(texts: &[String]) -> Result<StatusRanges, String> {
    let ranges: Result<Vec<_>, _> =
        texts.iter().flat_map(|text| text.split(',')).map(range).collect();
    let ranges = ranges?;
    if ranges.is_empty() {
        return Err("status: an empty list: write at least one status, or leave it out".to_owned());
    }
    Ok(StatusRanges::new(ranges))
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (min, max) = (*StatusRanges::ALL.start(), *StatusRanges::ALL.end());
    let status = |text: &str| value::number(text.trim(), min, max).ok();
    status(first).zip(status(last)).filter(|(first, last)| first <= last).map_or_else(
        || Err(format!("invalid status {text:?}: expected {min} to {max}, as in 200-299,404")),
        |(first, last)| Ok(first..=last),
    )
}

/// Describes a check of an upstream that has requests, or else connections.
pub(super) fn described(check: &Check, has_requests: bool) -> String {
    let Check { kind, host, port, interval, timeout, .. } = check;
    let usual = Check::every(*interval, CheckKind::Off);
    let request = |request: &HttpCheck, over: &str| {
        let HttpCheck { method, path, statuses, body } = request;
        let mut more = String::new();
        if *statuses != StatusRanges::default() {
            let _ = write!(more, ", status {statuses}");
        }
        if let Some(body) = body {
            let _ = write!(more, ", body with {:?}", String::from_utf8_lossy(body));
        }
        (format!("{method} {path}{over}"), more)
    };
    let (what, mut more) = match kind {
        CheckKind::Off => return "no checks".to_owned(),
        CheckKind::Http(asked) if has_requests => request(asked, ""),
        CheckKind::Https(asked) if has_requests => request(asked, " over TLS"),
        CheckKind::Grpc(service) if has_requests => {
            let subject = if service.is_empty() { "the server" } else { service };
            (format!("gRPC health of {subject}"), String::new())
        }
        CheckKind::Tcp | CheckKind::Http(_) | CheckKind::Https(_) | CheckKind::Grpc(_) => {
            ("a connection".to_owned(), String::new())
        }
    };
    if let Some(host) = host {
        let _ = write!(more, ", host {host}");
    }
    if let Some(port) = port {
        let _ = write!(more, ", port {port}");
    }
    if timeout != interval {
        let _ = write!(more, ", within {}", humantime::format_duration(*timeout));
    }
    if (check.rise, check.fall) != (usual.rise, usual.fall) {
        let _ = write!(more, ", {} to rise and {} to fall", check.rise, check.fall);
    }
    let more = more.strip_prefix(", ").map_or_else(String::new, |more| format!(" ({more})"));
    format!("{what} every {} as a check{more}", humantime::format_duration(*interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        assert_eq!(read("tcp"), Ok(CheckKind::Tcp));
        assert_eq!(read("off"), Ok(CheckKind::Off));
        assert_eq!(read("http:/ok"), Ok(CheckKind::Http(HttpCheck::get("/ok"))));
        assert_eq!(read("https:/ok"), Ok(CheckKind::Https(HttpCheck::get("/ok"))));
        for bad in ["http", "http:ok", "https:", "http:/a b", "tcp:1", "", "GRPC", "grpcs:a"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let rows = [("http://a.example", "write http:/"), ("https://a/b/c", "write https:/b/c")];
        for (bad, remedy) in rows {
            assert!(read(bad).unwrap_err().ends_with(remedy), "{bad}");
        }
    }

    #[test]
    fn a_grpc_check_names_a_service_or_none() {
        assert_eq!(read("grpc"), Ok(CheckKind::Grpc(String::new())));
        for service in ["a.B", "a/b:c", &"s".repeat(SERVICE_BYTES_MAX)] {
            assert_eq!(read(&format!("grpc:{service}")), Ok(CheckKind::Grpc(service.to_owned())));
        }
        for service in ["", "a b", "\u{e9}", "a\n", &"s".repeat(SERVICE_BYTES_MAX + 1)] {
            let told = read(&format!("grpc:{service}")).unwrap_err();
            assert!(told.ends_with("write grpc for the whole server"), "{told}");
        }
    }

    #[test]
    fn statuses_are_one_text_or_several() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            statuses(&texts).map(|statuses| statuses.to_string())
        };
        assert_eq!(read(&["200-299, 404"]).unwrap(), "200-299,404");
        assert_eq!(read(&["200", "300-399"]).unwrap(), "200,300-399");
        for bad in ["", "2xx", "199", "600", "299-200", "200-", "-200", "200-300-400", "+200"] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
        assert!(read(&[]).is_err());
    }
}
