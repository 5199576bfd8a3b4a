//! The fuzz target of whom routes take; see CONTRIBUTING.md.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::conditions::Conditions;
use super::table::{FoundRoute, RouteMatch, RouteTable};
use crate::http::h1::parse;
use crate::http::h1::scan::Limits;
use crate::http::message::head::{RequestHead, Storage};
use crate::id::RouteId;
use crate::route::fuzz::linear_scan;
use crate::route::{Pattern, normalise};

const LIMITS: Limits = Limits { head_bytes_max: 65_536, fields_max: 100 };

/// A route as it is written: words that [`OracleRoute::takes`] reads for itself, and what they are compiled to.
struct OracleRoute {
    words: Vec<String>,
    compiled: RouteMatch,
}

impl OracleRoute {
    /// Of `PATTERN[,PATTERN…] WORD…`, where a word is `m:METHOD`, `h:NAME=VALUE`, `q:NAME=VALUE` or `c:NETWORK`,
    /// and `=` before a pattern makes it one of an exact path. What is no condition is left out.
    fn read(line: &str) -> Option<Self> {
        let mut written = line.split(' ');
        let mut patterns: Vec<Pattern> = Vec::new();
        for text in written.next()?.split(',') {
            let pattern =
                text.strip_prefix('=').map_or_else(|| text.parse(), Pattern::exact).ok()?;
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        let mut conditions = Conditions::default();
        let mut words = Vec::new();
        for word in written {
            let is_named = word.starts_with("h:") || word.starts_with("q:");
            let missing = if is_named && !word.contains('=') { "=" } else { "" };
            let word = &format!("{word}{missing}");
            let (name, value) = word.get(2..)?.split_once('=').unwrap_or((&word[2..], ""));
            let is_added = match word.get(..2)? {
                "m:" => conditions.add_method(&word[2..]).is_ok(),
                "h:" => conditions.add_header(name, value).is_ok(),
                "q:" => conditions.add_parameter(name, value).is_ok(),
                "c:" => word[2..].parse().map(|net: IpNet| conditions.add_client(net)).is_ok(),
                _ => false,
            };
            words.extend(is_added.then(|| word.to_owned()));
        }
        let conditions = (conditions.count() > 0).then(|| Arc::new(conditions));
        Some(Self { words, compiled: RouteMatch { patterns, conditions } })
    }

    fn of_kind(&self, kind: &str) -> Vec<&str> {
        self.words.iter().filter_map(|word| word.strip_prefix(kind)).collect()
    }

    fn count(&self) -> usize {
        let is_there = |kind| usize::from(!self.of_kind(kind).is_empty());
        is_there("m:") + is_there("c:") + self.of_kind("h:").len() + self.of_kind("q:").len()
    }

    fn takes_method(&self, method: &str) -> bool {
        let methods = self.of_kind("m:");
        let has = |wanted| methods.contains(&wanted);
        methods.is_empty() || has(method) || method == "HEAD" && has("GET")
    }

    /// Whether all else is as it should be.
    fn takes_the_rest(&self, request: &OracleRequest) -> bool {
        let says = |said: &[(String, Vec<u8>)], word: &str, fold: fn(&str) -> String| {
            let (name, wanted) = word.split_once('=').expect("a name and a value");
            let mut named = said.iter().filter(|(known, _)| fold(known) == fold(name));
            named.any(|(_, value)| wanted == "*" || value == wanted.as_bytes())
        };
        let clients = self.of_kind("c:");
        let is_in = |net: &&str| {
            let net: IpNet = net.parse().expect("a network");
            request.client.is_some_and(|client| net.contains(&client.to_canonical()))
        };
        let fold_none: fn(&str) -> String = str::to_owned;
        (clients.is_empty() || clients.iter().any(is_in))
            && self.of_kind("h:").iter().all(|word| says(&request.headers, word, str::to_lowercase))
            && self.of_kind("q:").iter().all(|word| says(&request.parameters, word, fold_none))
    }
}

/// A request, taken apart in the simplest way.
struct OracleRequest {
    method: String,
    client: Option<IpAddr>,
    headers: Vec<(String, Vec<u8>)>,
    parameters: Vec<(String, Vec<u8>)>,
}

impl OracleRequest {
    fn of(head: &RequestHead<'_, '_>, client: Option<IpAddr>) -> Self {
        let headers = head
            .fields
            .iter()
            .map(|(_, name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()));
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        let parameters = query.split('&').map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (String::from_utf8_lossy(&decoded(name)).into_owned(), decoded(value))
        });
        Self {
            method: head.method.to_owned(),
            client,
            headers: headers.collect(),
            parameters: parameters.collect(),
        }
    }

    /// Whether a header or a parameter is there twice.
    fn repeats(&self) -> bool {
        let headers: BTreeSet<_> = self.headers.iter().map(|(n, _)| n.to_lowercase()).collect();
        let parameters: BTreeSet<_> = self.parameters.iter().map(|(name, _)| name).collect();
        headers.len() < self.headers.len() || parameters.len() < self.parameters.len()
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        rest = after;
    }
    out
}

/// Takes the address of a client on the first line, then lines of routes up to an empty one, then the head of a
/// request. The table must find what sorting all routes by how specific they are finds, refuse what all of
/// those refuse, and know of any two between which only their order decides.
pub fn conditions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(&data[..data.len().min(8192)]) else { return };
    let Some((table, request)) = text.split_once("\n\n") else { return };
    let mut lines = table.split('\n');
    let client = lines.next().and_then(|line| line.parse().ok());
    let mut routes: Vec<OracleRoute> = Vec::new();
    for route in lines.take(64).filter_map(OracleRoute::read) {
        let is_plain = |route: &OracleRoute| route.compiled.conditions.is_none();
        let meets = |known: &OracleRoute| {
            let mut patterns = known.compiled.patterns.iter();
            is_plain(known) && patterns.any(|known| route.compiled.patterns.contains(known))
        };
        if !(is_plain(&route) && routes.iter().any(meets)) {
            routes.push(route);
        }
    }
    let compiled = routes.iter().map(|route| route.compiled.clone()).collect();
    let (table, duplicates) = RouteTable::new(compiled);
    assert_eq!(duplicates, []);
    let request = request.replace('\n', "\r\n");
    let mut storage = Storage::new();
    let Ok(head) = parse::request(request.as_bytes(), &LIMITS, &mut storage) else { return };
    let Ok(path) = normalise(head.path().as_bytes()) else { return };
    let found = table.find(&head, &path, client);
    let asked = OracleRequest::of(&head, client);
    let matching = sorted(&routes, &head, &path);
    assert_eq!(table.candidates(head.authority, &path), matching);
    let fitting: Vec<RouteId> =
        matching.iter().copied().filter(|id| routes[id.index()].takes_the_rest(&asked)).collect();
    let takes = |id: &&RouteId| routes[id.index()].takes_method(&asked.method);
    let taking: Vec<RouteId> = fitting.iter().filter(takes).copied().collect();
    match (&found, taking.first()) {
        (FoundRoute::Route(route), first) => assert_eq!(Some(route), first),
        (_, Some(first)) => panic!("{found:?}, not {first:?}"),
        (FoundRoute::Nothing, None) => assert_eq!(fitting, []),
        (FoundRoute::MethodNotAllowed(allow), None) => {
            let listed: BTreeSet<&str> = allow.split(", ").collect();
            assert_eq!(listed.len(), allow.split(", ").count(), "{allow}");
            let mut allowed: BTreeSet<&str> = BTreeSet::new();
            for id in &fitting {
                allowed.extend(routes[id.index()].of_kind("m:"));
            }
            allowed.extend(allowed.contains("GET").then_some("HEAD"));
            assert_eq!(listed, allowed);
        }
    }
    if !asked.repeats() {
        assert_overlaps_are_known(&routes, &table, &taking);
    }
}

/// Every route whose host and path match, from the most specific one.
fn sorted(routes: &[OracleRoute], head: &RequestHead<'_, '_>, path: &[u8]) -> Vec<RouteId> {
    let each = routes.iter().enumerate();
    let (patterns, owners): (Vec<Pattern>, Vec<usize>) = each
        .flat_map(|(owner, route)| {
            route.compiled.patterns.iter().map(move |one| (one.clone(), owner))
        })
        .unzip();
    let mut sorted = Vec::new();
    let matching = linear_scan(&patterns, head.authority, path);
    for same in matching.chunk_by(|a, b| patterns[a.index()] == patterns[b.index()]) {
        let mut same: Vec<usize> = same.iter().map(|pattern| owners[pattern.index()]).collect();
        same.sort_by_key(|owner| std::cmp::Reverse(routes[*owner].count()));
        sorted.extend(same.into_iter().map(RouteId::new));
    }
    sorted
}

/// Of routes that take the same request and are equally specific, the table knows.
fn assert_overlaps_are_known(routes: &[OracleRoute], table: &RouteTable, taking: &[RouteId]) {
    let known = table.overlaps();
    for (nth, a) in taking.iter().enumerate() {
        for b in &taking[nth + 1..] {
            let (one, other) = (&routes[a.index()], &routes[b.index()]);
            let mut patterns = one.compiled.patterns.iter();
            let meet = patterns.any(|pattern| other.compiled.patterns.contains(pattern));
            if meet && one.count() == other.count() && a != b {
                let (a, b) = (a.min(b), a.max(b));
                assert!(
                    known.iter().any(|(c, d, _)| (a, b) == (c, d)),
                    "{a:?} and {b:?}: {known:?}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::random::Random;

    #[test]
    fn conditions() {
        crate::corpus::replay("conditions", 5000, super::conditions);
    }

    /// One of these, at random.
    fn one<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
        of[random.below(of.len())]
    }

    fn words(random: &mut Random, of: &[&str], max: usize) -> String {
        (0..random.below(max + 1)).map(|_| one(random, of)).collect::<Vec<_>>().join("")
    }

    const HOSTS: [&str; 7] = ["", "a.b", "*.b", "*.a.b", "c.a.b", "a.b,*.b", "b"];
    const PATHS: [&str; 8] = ["/", "=/", "/x", "=/x", "/x*", "/x/y", "=/x/y", "/x/"];
    const CONDITIONS: [&str; 18] = [
        " m:GET",
        " m:HEAD",
        " m:POST",
        " h:X-A=1",
        " h:x-a=2",
        " h:X-A=*",
        " h:X-B=1",
        " h:X-B=3",
        " h:X-B=b",
        " q:v=b",
        " q:v=1",
        " q:v=2",
        " q:v=*",
        " q:w=",
        " q:a+b=1",
        " c:10.0.0.0/8",
        " c:10.1.0.0/16",
        " c:::/0",
    ];

    /// Any route; or, where it is crowded, one for any request.
    fn route(random: &mut Random, is_crowded: bool) -> String {
        let path = if is_crowded { "/" } else { one(random, &PATHS) };
        let exact = if path.starts_with('=') { "=" } else { "" };
        let hosts = if is_crowded { "" } else { one(random, &HOSTS) }.split(',');
        let patterns: Vec<String> =
            hosts.map(|host| format!("{exact}{host}{}", path.trim_start_matches('='))).collect();
        let conditions = words(random, &CONDITIONS, 4);
        let tenant = if random.below(2) == 0 {
            format!(" h:X-C={}", random.below(20))
        } else {
            String::new()
        };
        format!("{}{conditions}{tenant}\n", patterns.join(","))
    }

    #[test]
    fn the_table_finds_what_sorting_all_routes_finds() {
        let random = &mut Random::new(16);
        for _ in 0..4000 {
            let client = one(random, &["10.1.2.3", "10.2.0.0", "::1", "192.0.2.1", "-"]);
            let is_crowded = random.below(2) == 0;
            let routes = (0..random.below(40)).map(|_| route(random, is_crowded));
            let routes = routes.collect::<String>();
            let method = one(random, &["GET", "HEAD", "POST", "PUT"]);
            let path = one(random, &["/", "/x", "/x/", "/x/y", "/x/y/z", "/xx", "/%78", "/z"]);
            let query =
                words(random, &["v=1&", "v=2&", "v=B&", "%76=1&", "w&", "a+b=1&", "a%20b=1&"], 3);
            let host = one(random, &["a.b", "c.a.b", "d.c.a.b", "A.B:80", "b", "x", "*.a.b"]);
            let fields = words(
                random,
                &["X-A: 1\n", "X-A: 2\n", "x-b:3 \n", "X-B: B\n", "X-C: 7\n", "X-C: 8\n"],
                4,
            );
            let request = format!("{method} {path}?{query} HTTP/1.1\nHost: {host}\n{fields}\n");
            super::conditions(format!("{client}\n{routes}\n{request}").as_bytes());
        }
    }
}
