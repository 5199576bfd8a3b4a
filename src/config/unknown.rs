//! What was probably meant by a key that there is not.

use super::keys::{HEAD_EDITS, Level, PLACES, TOP, UPSTREAM};
use super::setting::Setting;

/// Words that are natural for what is written in another way, by the level they are found on. `{}` is the value.
const OTHERWISE: [(&str, &[&str], &str); 43] = [
    ("the file", &["cert", "key"], "certificates: [{cert: FILE, key: FILE}]"),
    (
        "the file",
        &["tls", "ssl", "https"],
        "listen_tls: [\":443\"] and certificates: [{cert: FILE, key: FILE}]",
    ),
    ("the file", &["no_http2"], "http2: false"),
    (
        "the file",
        &["upstream_verify", "verify"],
        "upstream_insecure: true, or verify: false in an upstream",
    ),
    ("the file", &["port", "bind", "address"], "listen: [\":8080\"]"),
    ("the file", &["workers", "worker_processes", "nbthread"], "threads"),
    (
        "the file",
        &["server", "servers", "frontend", "frontends", "vhost"],
        "listen for where to listen, and routes for where requests go",
    ),
    (
        "the file",
        &["backend", "backends", "cluster", "clusters", "pool", "pools", "upstream"],
        "upstreams: [{name: app, endpoints: [127.0.0.1:3000]}]",
    ),
    ("the file", &["log", "logs", "logging"], "access_log, error_log or log_level"),
    ("the file", &["health_check", "healthcheck", "health"], "check: http:/health"),
    (
        "the file",
        &["timeout", "timeouts"],
        "the one that is meant, such as response_timeout, idle_timeout or connect_timeout",
    ),
    ("the file", &["redirect"], "redirect_https: true, or redirect in an entry of routes"),
    ("the file", &["metrics", "dashboard", "api"], "admin: 127.0.0.1:9901"),
    ("the file", &["balance", "algorithm", "strategy", "lb_policy"], "policy: least_requests"),
    ("the file", &["endpoints"], "routes: [{endpoints: [127.0.0.1:3000]}]"),
    (
        "the file",
        &["proxy_set_header", "set_header", "headers"],
        "request_headers: {set: {NAME: value}}, or response_headers",
    ),
    ("a route", &["location", "uri", "url", "match"], "prefix: /api, or path: /exact"),
    ("a route", &["domain", "domains", "server_name", "hostname"], "host: a.example.com"),
    (
        "a route",
        &[
            "backend",
            "proxy_pass",
            "service",
            "target",
            "to",
            "server",
            "servers",
            "upstreams",
            "endpoint",
        ],
        "upstream: NAME, or endpoints: [127.0.0.1:3000]",
    ),
    (
        "a route",
        &["timeout"],
        "the one that is meant: response_timeout, attempt_timeout, idle_timeout or tunnel_timeout",
    ),
    ("a route", &["rewrite"], "strip_prefix: true, or replace_prefix: /v2"),
    ("a route", &["return", "status", "body"], "respond: {status: 503, body: \"back at noon\"}"),
    ("a route", &["redirect_to"], "redirect: {to: \"https://www.example.com{target}\"}"),
    (
        "a route",
        &["set_headers", "add_headers", "proxy_set_header", "set_header"],
        "request_headers: {set: {NAME: value}}; for Host, host_header in an upstream",
    ),
    ("a route", &["add_header", "more_set_headers"], "response_headers: {set: {NAME: value}}"),
    ("a route", &["proxy_read_timeout", "read_timeout"], "response_timeout: 1m"),
    ("a route", &["limit", "limits"], "rate_limit: {rate: 100/s}"),
    ("a route", &["ip", "source", "client"], "clients: [10.0.0.0/8]"),
    ("a route", &["weights", "canary"], "split: {app: 95, app-canary: 5}"),
    (
        "an upstream",
        &[
            "server",
            "servers",
            "host",
            "hosts",
            "address",
            "addresses",
            "targets",
            "backends",
            "nodes",
        ],
        "endpoints: [127.0.0.1:3000]",
    ),
    ("an upstream", &["balance", "algorithm", "strategy", "lb_policy"], "policy: least_requests"),
    ("an upstream", &["health_check", "healthcheck", "health"], "check: http:/health"),
    (
        "an upstream",
        &["timeout"],
        "the one that is meant: connect_timeout, response_timeout, idle_timeout or tunnel_timeout",
    ),
    (
        "an upstream",
        &["tls", "ssl"],
        "https:// in front of its endpoints; sni and ca say what is verified",
    ),
    (
        "an upstream",
        &["weight"],
        "the weight of an endpoint after it: endpoints: [127.0.0.1:3000@3]",
    ),
    ("an upstream", &["keepalive"], "max_idle, or upstream_keepalive_timeout"),
    ("a check", &["path", "uri", "url"], "http: {}"),
    ("a check", &["type", "kind"], "the kind as a key, as in http: /health"),
    ("a check", &["expect", "expected", "codes"], "status: \"200-399\""),
    ("an endpoint", &["url", "host", "server", "endpoint"], "address: 127.0.0.1:3000"),
    ("an endpoint", &["name", "port"], "address: 127.0.0.1:3000, the port in it"),
    ("a certificate", &["certificate", "chain", "crt", "file"], "cert: FILE"),
    ("a redirect", &["url", "location", "target"], "to: \"https://www.example.com{target}\""),
];

/// Where a key stands that all upstreams have in common, unless one has its own.
const EITHER: &str = "in an entry of upstreams, or on the top level for all of them";

/// A level, and the settings that are known on the top one.
pub(super) struct Advice<'a> {
    pub(super) level: &'a Level,
    pub(super) settings: &'a [Setting],
}

impl Advice<'_> {
    /// What to write instead of a key that has this text for a value, if it has a text.
    pub(super) fn on(&self, key: &str, value: Option<&str>) -> String {
        let is_top = self.is_top();
        let whole = if is_top {
            format!("unknown key {key:?}")
        } else {
            format!("unknown key {key:?} in {}", self.level.of)
        };
        let said = key.replace('-', "_").to_ascii_lowercase();
        if self.names(self.level).contains(&said) {
            return format!("{whole}: write {said}");
        }
        let otherwise =
            OTHERWISE.iter().find(|(of, words, _)| *of == self.level.of && words.contains(&&*said));
        if let Some((_, _, written)) = otherwise {
            let value = value.filter(|value| value.starts_with('/')).unwrap_or("/health");
            return format!("{whole}: write {}", written.replace("{}", value));
        }
        if self.level.of == HEAD_EDITS.of && near(&said, self.names(self.level), allowed).is_none()
        {
            return format!("{whole}: write set: {{{key}: value}}, or add or remove");
        }
        if let Some(near) = near(&said, self.names(self.level), |near| usize::from(near > 0)) {
            return format!("{whole}: did you mean {near}?");
        }
        if let Some((known, place, example)) = self.elsewhere(&said) {
            return format!("{whole}: {known} stands {place}, as in {known}: {example}");
        }
        if let Some(near) = near(&said, self.names(self.level), allowed) {
            return format!("{whole}: did you mean {near}?");
        }
        match self.level.keys {
            _ if is_top => format!("{whole}: see docs/configuration.md for those there are"),
            keys if keys.len() > 16 => {
                format!("{whole}: see docs/configuration.md for those there are")
            }
            keys => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("{whole}: expected {}", names.join(", "))
            }
        }
    }

    fn is_top(&self) -> bool {
        self.level.of == TOP.of
    }

    fn names(&self, level: &Level) -> Vec<String> {
        let settings = self.settings.iter().filter(|_| level.of == TOP.of);
        let settings = settings.map(Setting::key);
        level.keys.iter().map(|key| key.name.to_owned()).chain(settings).collect()
    }

    /// Where else there is such a key, with an example.
    fn elsewhere(&self, said: &str) -> Option<(String, &'static str, String)> {
        let others = PLACES.iter().filter(|(level, _)| level.of != self.level.of);
        others.into_iter().find_map(|(level, place)| {
            let near = near(said, self.names(level), |_| 1)?;
            let setting = || {
                let known = self.settings.iter().find(|setting| setting.key() == near)?;
                Some(known.example.clone())
            };
            let example = level.key(&near).map(|key| key.example.to_owned()).or_else(setting)?;
            let is_of_both = level.of == TOP.of && UPSTREAM.key(&near).is_some();
            let place = if is_of_both { EITHER } else { place };
            Some((near, place, example))
        })
    }
}

/// The nearest of these names, if as few letters differ as this says for the length of the key.
fn near(said: &str, names: Vec<String>, most: impl Fn(usize) -> usize) -> Option<String> {
    let near = names.into_iter().min_by_key(|name| distance(said, name))?;
    let differ = distance(said, &near);
    // Two short words differ by little, and so do two that begin alike by chance.
    let begin_alike = said.bytes().next() == near.bytes().next();
    let is_near = differ <= most(said.len()) && (begin_alike || differ == 1) && said.len() > 3;
    is_near.then_some(near)
}

/// How many letters of a key of this length may differ.
fn allowed(length: usize) -> usize {
    match length {
        0..=5 => 1,
        6..=9 => 2,
        _ => 3,
    }
}

/// The name among those that are known which was probably meant, if one is near enough.
pub(super) fn nearest<N: AsRef<str>>(name: &str, known: impl Iterator<Item = N>) -> Option<N> {
    let near = known.min_by_key(|known| distance(name, known.as_ref()));
    near.filter(|known| distance(name, known.as_ref()) <= 1 + name.len() / 4)
}

/// How many letters to change, add, remove or swap with their neighbours to turn one word into the other: the optimal
/// string alignment distance.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let least = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            let is_swapped = i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b;
            row.push(if is_swapped { least.min(before[j - 1] + 1) } else { least });
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{ROUTE, UPSTREAM};

    fn told(level: &Level, key: &str) -> String {
        Advice { level, settings: &Setting::all() }.on(key, None)
    }

    #[test]
    fn a_key_that_is_not_near_any_is_compared_with_none() {
        for (level, key) in
            [(&TOP, "tlz"), (&TOP, "resolve_all"), (&ROUTE, "flavour"), (&UPSTREAM, "nama")]
        {
            let told = told(level, key);
            assert_eq!(told.contains("did you mean"), key == "nama", "{told}");
        }
    }

    #[test]
    fn letters_that_are_swapped_are_one_mistake() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("tpo", "top", 1),
            ("explian", "explain", 1),
            ("ca", "abc", 3),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one}");
        }
    }

    #[test]
    fn every_word_in_use_elsewhere_is_of_a_level_and_is_no_key_of_it() {
        for (of, words, _) in OTHERWISE {
            let levels = PLACES.iter().map(|(level, _)| *level);
            let others = [&super::super::keys::ENDPOINT, &super::super::keys::CERTIFICATE];
            let others = others.into_iter().chain([&super::super::keys::REDIRECT]);
            let level = levels.chain(others).find(|level| level.of == of).expect(of);
            let settings = Setting::all();
            let names = Advice { level, settings: &settings }.names(level);
            for word in words {
                assert!(!names.contains(&(*word).to_owned()), "{word} is a key of {of}");
            }
        }
    }
}
