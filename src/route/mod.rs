//! Longest-prefix routing: finds the route of a request by its host and path.
//!
//! A [`Pattern`] is the match a user configured, a [`Router`] holds all of them in one compressed byte
//! trie, and [`normalise`] converts paths to the canonical form in which they are compared.
//!
//! No I/O, no clock, no logging, and no allocation per lookup. The module ignores the syntax, port,
//! method and query of a request; the caller parses the request and cuts off the query. Hosts are
//! compared as text: two spellings of one IPv6 address are different hosts.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod path;
mod pattern;
mod server_names;
mod trie;

use memchr::memchr;

use crate::id::RouteId;

pub use path::{AboveRoot, normalise, strip};
pub use pattern::{Pattern, PatternError};
pub use server_names::{NamePattern, NamePatternError, ServerNames};
use trie::{Entry, Trie};

/// Two routes with equal patterns; `first < second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The earlier route.
    pub first: RouteId,
    /// The route that duplicates it.
    pub second: RouteId,
}

/// All routes, looked up by host and path; the default has none.
#[derive(Clone, Debug)]
pub struct Router {
    trie: Trie,
    /// Whether any pattern has a host; otherwise Host headers need not be parsed.
    has_hosts: bool,
}

impl Default for Router {
    fn default() -> Self {
        Self { trie: Trie::grow(&[]), has_hosts: false }
    }
}

impl Router {
    /// Builds the trie; a route is identified by its index in `patterns`. If there are several
    /// duplicates, the one with the lowest second index is reported.
    pub fn new(patterns: &[Pattern]) -> Result<Self, Duplicate> {
        let mut entries: Vec<Entry> = patterns.iter().zip((0..).map(RouteId::new)).collect();
        entries.sort_unstable();
        let pairs = entries.iter().zip(entries.iter().skip(1));
        let duplicates = pairs.filter(|(first, second)| first.0 == second.0);
        match duplicates.map(|(first, second)| (second.1, first.1)).min() {
            Some((second, first)) => Err(Duplicate { first, second }),
            None => Ok(Self {
                trie: Trie::grow(&entries),
                has_hosts: patterns.iter().any(|pattern| pattern.host().is_some()),
            }),
        }
    }

    /// Returns the route that matches a request, if any.
    ///
    /// `host` is the value of the Host header as received (RFC 9110 §7.2); `path` must be
    /// [normalised](normalise). The asterisk-form `*` (RFC 9112 §3.2.4) is looked up as `/`; any other
    /// path without a leading `/` matches no route.
    ///
    /// Routes of the request's host take precedence over those of any host; then the longest prefix
    /// wins. Of `/img` and `/img*`, `/img` wins where both match.
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        let path = if path == b"*" { b"/" } else { path };
        if !path.starts_with(b"/") {
            return None;
        }
        let host = if self.has_hosts { bare_host(host) } else { None };
        host.and_then(|host| self.trie.enter(host))
            .and_then(|(node, tail)| self.trie.longest(node, tail, path))
            .or_else(|| self.trie.longest(0, self.trie.label(0), path))
    }
}

/// The value of a Host header without port and trailing dot, or `None` if no route can match. A `/` is
/// excluded, since it would match into the paths of the trie.
fn bare_host(field: &[u8]) -> Option<&[u8]> {
    let end = if field.starts_with(b"[") {
        memchr(b']', field)? + 1
    } else {
        memchr(b':', field).unwrap_or(field.len())
    };
    let (host, port) = field.split_at(end);
    let host = host.strip_suffix(b".").unwrap_or(host);
    let usable = !host.is_empty() && matches!(port, [] | [b':', ..]);
    (usable && memchr(b'/', host).is_none()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The text of the matching route, so that tables need no indices.
    fn found<'a>(texts: &[&'a str], host: &str, path: &str) -> Option<&'a str> {
        let router = Router::new(&patterns(texts)).unwrap();
        router.find(host.as_bytes(), path.as_bytes()).map(|route| texts[route.index()])
    }

    #[test]
    fn the_first_duplicate_is_reported() {
        let duplicate = |texts: &[&str]| Router::new(&patterns(texts)).err();
        assert_eq!(duplicate(&["/img", "/img*", "/img/", "a/img"]), None);
        for texts in [["/z", "/ab", "/a%62", "/z"], ["/", "B/x*", "b./x*", "/*"]] {
            assert_eq!(
                duplicate(&texts),
                Some(Duplicate { first: RouteId::new(1), second: RouteId::new(2) }),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn prefixes_end_at_segment_boundaries_and_the_longest_wins() {
        let routes = ["/auth", "/auth/in/", "/img*", "/img", "/img/big", "/.*"];
        for (route, paths) in [
            (Some("/auth"), &["/auth", "/auth/", "/auth/in"][..]),
            (Some("/auth/in/"), &["/auth/in/", "/auth/in/x"]),
            (Some("/img*"), &["/img2"]),
            (Some("/img"), &["/img", "/img/x", "/img/bigger"]),
            (Some("/img/big"), &["/img/big", "/img/big/x"]),
            (Some("/.*"), &["/.git"]),
            (None, &["/authx", "/im", "/", "*", "", "auth"]),
        ] {
            for path in paths {
                assert_eq!(found(&routes, "any", path), route, "{path}");
            }
        }
        assert_eq!(found(&["/"], "", "*"), Some("/"));
    }

    #[test]
    fn routes_of_the_host_take_precedence() {
        let routes = ["a.com/x", "a.com/x/y", "/x/y/z", "/", "[::1]/", "a.co/"];
        for (route, path, hosts) in [
            ("a.com/x", "/x", &["a.com", "A.Com.:8080"][..]),
            ("a.com/x/y", "/x/y/z", &["a.com"]),
            ("/x/y/z", "/x/y/z", &["a.c"]),
            ("a.co/", "/q", &["a.co"]),
            ("[::1]/", "/q", &["[::1]", "[::1]:80"]),
            ("/", "/q", &["a.com", "a.comm", "a.com/x", "[::1", "[::1]x", ":80", ".", ""]),
        ] {
            for host in hosts {
                assert_eq!(found(&routes, host, path), Some(route), "{host} {path}");
            }
        }
        assert_eq!(found(&["a.com/x"], "a.c", "om/x"), None);
    }

    /// Concatenates up to six random pieces; xorshift64 (Marsaglia, 2003), the same in every run.
    pub(super) fn draw(state: &mut u64, pieces: &[&str]) -> String {
        let mut below = |limit: usize| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            usize::try_from(*state >> 33).unwrap() % limit
        };
        (0..below(7)).map(|_| pieces[below(pieces.len())]).collect()
    }

    fn takes(pattern: &Pattern, host: &str, path: &str) -> bool {
        let request = format!("{}{path}", pattern.host().map_or("", |_| host));
        let rest = request.strip_prefix(&pattern.key);
        rest.is_some_and(|r| !pattern.whole_segments || r.is_empty() || r.starts_with('/'))
    }

    #[test]
    fn the_trie_agrees_with_a_linear_scan() {
        let state = &mut 2;
        for _ in 0..300 {
            let pattern = |n: usize| {
                let (host, path) = (draw(state, &["a", "b"]), draw(state, &["a", "b", "/"]));
                format!("{host}/{path}{}", ["", "*"][n % 2]).parse().unwrap()
            };
            let mut routes: Vec<Pattern> = (0..40).map(pattern).collect();
            routes.sort();
            routes.dedup();
            let trie = Router::new(&routes).unwrap();
            for _ in 0..200 {
                let host = draw(state, &["a", "b"]);
                let path = format!("/{}", draw(state, &["a", "b", "/"]));
                let scanned = (0..routes.len())
                    .filter(|&i| takes(&routes[i], &host, &path))
                    .max_by_key(|&i| (routes[i].host(), &routes[i]))
                    .map(RouteId::new);
                assert_eq!(trie.find(host.as_bytes(), path.as_bytes()), scanned, "{host}{path}");
            }
        }
    }
}
