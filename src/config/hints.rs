//! What was probably meant by a value that is not valid: the end of a message, `: write …`, or nothing.

use super::unknown::distance;

/// The one of these names that is meant, known by the words of others or by being nearly right.
pub(super) fn choice(text: &str, names: &[&str], others: &[(&str, &str)]) -> String {
    let said = text.to_ascii_lowercase().replace(['-', ' '], "_");
    let other = others.iter().find(|(word, _)| *word == said).map(|(_, name)| *name);
    let near = || {
        let near = names.iter().min_by_key(|name| distance(&said, name))?;
        (distance(&said, near) <= 1 + said.len() / 6 && said.len() > 2).then_some(*near)
    };
    other.or_else(near).map_or(String::new(), |name| format!(": write {name}"))
}

/// A duration without its unit.
pub(super) fn duration(text: &str) -> String {
    if is_number(text) { format!(": write {text}s, or {text}ms") } else { String::new() }
}

/// A share without its sign.
pub(super) fn percent(text: &str) -> String {
    if is_number(text) { format!(": write {text}%") } else { String::new() }
}

/// A size with another unit, such as `16kb` and `10 MiB`.
pub(super) fn size(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit = match lower[digits.len()..].trim_start() {
        "b" | "bytes" => "",
        "kb" | "kib" => "k",
        "mb" | "mib" => "m",
        "gb" | "gib" => "g",
        _ => return String::new(),
    };
    if is_number(digits) { format!(": write {digits}{unit}") } else { String::new() }
}

/// A rate as others write it, such as `10r/s` and `10/min`.
pub(super) fn rate(text: &str) -> String {
    let (number, period) = text.split_once('/').unwrap_or((text, "s"));
    let number = number.trim().trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let period = match period.trim() {
        "s" | "sec" | "second" => 's',
        "m" | "min" | "minute" => 'm',
        "h" | "hour" => 'h',
        _ => return String::new(),
    };
    if is_number(number) { format!(": write {number}/{period}") } else { String::new() }
}

/// What the share of an upstream in a split was meant to be.
pub(super) fn share(text: &str) -> String {
    match text.strip_suffix('%').filter(|number| is_number(number)) {
        Some(number) => format!(": write {number}"),
        None if text.contains('.') => ": write weights such as 95 and 5".to_owned(),
        None => String::new(),
    }
}

/// What is wrong with a list of endpoints that is no address, if it can be told.
pub(super) fn endpoint(text: &str) -> Option<String> {
    if text.starts_with("custom:") {
        return None;
    }
    if let Some((address, options)) = text.split_once(' ') {
        let weight = options.split(' ').find_map(|option| option.strip_prefix("weight="));
        return Some(match weight {
            Some(weight) => format!("{text:?}: write the weight after an @: {address}@{weight}"),
            None if options.contains(':') && address.contains(':') => {
                format!(
                    "{text:?}: endpoints are separated by commas: write {}",
                    text.replace(' ', ",")
                )
            }
            None => format!(
                "{text:?}: an endpoint has no spaces: write ip:port, name:port or unix:/path"
            ),
        });
    }
    if text.contains(';') {
        let listed = text.trim_end_matches(';').replace(';', ",");
        return Some(format!("{text:?}: endpoints are separated by commas: write {listed}"));
    }
    None
}

/// What to write instead of an endpoint without a port; `scheme` is what stands before it.
pub(super) fn port(text: &str, host: &str) -> String {
    if is_number(host) {
        return format!("{text:?} is a port alone: write 127.0.0.1:{host}");
    }
    let port = match text.split_once("://") {
        Some(("https" | "h2", _)) => "443",
        Some(_) => "80",
        None => "8080",
    };
    format!("{text:?} has no port: write it after a colon, as in {text}:{port}")
}

/// What to write instead of an address to listen on that has no port.
pub(super) fn listen(text: &str) -> String {
    if is_number(text) {
        return format!(
            "{text:?} is a port alone: write :{text} to listen on every address, or 127.0.0.1:{text}"
        );
    }
    if text.starts_with('/') {
        return format!("{text:?} is a path: write unix:{text}");
    }
    format!("{text:?} has no port: write it after a colon, as in {text}:8080")
}

/// What is wrong with a host that a route names, if it can be told.
pub(super) fn host(host: &str) -> Option<String> {
    if host == "*" {
        return Some("\"*\": a route without a host takes every host: leave it out".to_owned());
    }
    if let Some((_, rest)) = host.split_once("://") {
        let bare = rest.split('/').next().unwrap_or(rest);
        return Some(format!("invalid host {host:?}: leave the scheme out: write {bare}"));
    }
    if let Some((bare, path)) = host.split_once('/') {
        return Some(format!("invalid host {host:?}: write host: {bare} and prefix: /{path}"));
    }
    if !host.is_ascii() {
        return Some(match idna::domain_to_ascii(host) {
            Ok(ascii) => format!("invalid host {host:?}: clients send it in ASCII: write {ascii}"),
            Err(_) => format!("invalid host {host:?}: write it in ASCII, as clients send it"),
        });
    }
    None
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
