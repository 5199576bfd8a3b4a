//! Longest-prefix routing: finds the route of a request by its host and path, and leaves it to the caller
//! to choose among those that have further conditions.
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

use memchr::{memchr, memchr_iter};

use crate::id::RouteId;

pub use path::{AboveRoot, normalise, strip};
pub use pattern::{Pattern, PatternError};
pub use server_names::{NamePattern, NamePatternError, ServerNames};
use trie::{Entry, LeafId, Spot, Trie};

/// A pattern of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// What it matches.
    pub pattern: &'a Pattern,
    /// The route.
    pub route: RouteId,
    /// Whether the route has conditions, and may not take a request that the pattern matches.
    pub has_conditions: bool,
}

/// Two routes without conditions and with equal patterns; `first < second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The earlier route.
    pub first: RouteId,
    /// The route that duplicates it.
    pub second: RouteId,
}

/// What ends where one pattern does.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// Those of its routes that have conditions, by index into [`Router::groups`].
    pub group: Option<usize>,
    /// Its route without conditions.
    pub plain: Option<RouteId>,
    /// The next less specific leaf of the same host.
    next: Option<LeafId>,
}

/// All routes, looked up by host and path; the default has none.
#[derive(Clone, Debug)]
pub struct Router {
    trie: Trie,
    leaves: Vec<Leaf>,
    groups: Vec<Vec<RouteId>>,
    /// Whether any pattern has a host; otherwise Host headers need not be parsed.
    has_hosts: bool,
    /// The length of the longest wildcard, without its star; 0 if there is none.
    wildcard_bytes_max: usize,
}

impl Default for Router {
    fn default() -> Self {
        Self::of(&[]).0
    }
}

impl Router {
    /// Builds the trie for routes without conditions; a route is identified by its index in `patterns`. If there
    /// are several duplicates, the one with the lowest second index is reported.
    pub fn new(patterns: &[Pattern]) -> Result<Self, Duplicate> {
        let listings = patterns
            .iter()
            .zip((0..).map(RouteId::new))
            .map(|(pattern, route)| Listing { pattern, route, has_conditions: false });
        let (router, duplicates) = Self::of(&listings.collect::<Vec<_>>());
        duplicates.first().map_or(Ok(router), |first| Err(*first))
    }

    /// Builds the trie. A route may have several patterns. Also returns the routes without conditions that have a
    /// pattern of an earlier one, which is the one that is found; each once, in order.
    pub fn of(listings: &[Listing<'_>]) -> (Self, Vec<Duplicate>) {
        let mut sorted: Vec<&Listing<'_>> = listings.iter().collect();
        sorted.sort_by_key(|listing| (&listing.pattern, listing.route));
        let (mut entries, mut leaves): (Vec<Entry>, Vec<Leaf>) = (Vec::new(), Vec::new());
        let (mut groups, mut duplicates) = (Vec::new(), Vec::new());
        for listed in sorted.chunk_by(|a, b| a.pattern == b.pattern) {
            let (guarded, plain): (Vec<&Listing<'_>>, Vec<&Listing<'_>>) =
                listed.iter().partition(|listing| listing.has_conditions);
            if let Some((first, others)) = plain.split_first() {
                let first = first.route;
                duplicates
                    .extend(others.iter().map(|other| Duplicate { first, second: other.route }));
            }
            entries.push((listed[0].pattern, LeafId::new(leaves.len())));
            let group = (!guarded.is_empty()).then_some(groups.len());
            groups.extend(group.map(|_| guarded.iter().map(|listing| listing.route).collect()));
            let plain = plain.first().map(|listing| listing.route);
            leaves.push(Leaf { group, plain, next: None });
        }
        duplicates.sort_unstable_by_key(|duplicate| (duplicate.second, duplicate.first));
        duplicates.dedup_by_key(|duplicate| duplicate.second);
        let (trie, next_leaves) = Trie::grow(&entries);
        for (leaf, next) in leaves.iter_mut().zip(next_leaves) {
            leaf.next = next;
        }
        let patterns = || listings.iter().map(|listing| listing.pattern);
        let wildcards = patterns().filter_map(Pattern::wildcard);
        let router = Self {
            trie,
            leaves,
            groups,
            has_hosts: patterns().any(|pattern| pattern.host().is_some()),
            wildcard_bytes_max: wildcards.map(str::len).max().unwrap_or(0),
        };
        (router, duplicates)
    }

    /// The routes with conditions, grouped by their patterns; within a group in their order.
    pub fn groups(&self) -> &[Vec<RouteId>] {
        &self.groups
    }

    /// Returns the route that matches a request, if any. `choose` says which route of a group the request
    /// fulfils the conditions of; it is called only for the groups of patterns that match, from the most
    /// specific one, until there is a route.
    ///
    /// `host` is the value of the Host header as received (RFC 9110 §7.2); `path` must be
    /// [normalised](normalise). The asterisk-form `*` (RFC 9112 §3.2.4) is looked up as `/`; any other
    /// path without a leading `/` matches no route.
    ///
    /// Routes of the request's host take precedence over those of a wildcard, those of a longer wildcard over
    /// those of a shorter one, and these over those of any host; then an exact path over a prefix; then the
    /// longest prefix wins. Of `/img` and `/img*`, `/img` wins where both match.
    pub fn find(
        &self,
        host: &[u8],
        path: &[u8],
        mut choose: impl FnMut(usize) -> Option<RouteId>,
    ) -> Option<RouteId> {
        self.visit(host, path, |leaf| leaf.group.and_then(&mut choose).or(leaf.plain))
    }

    /// Calls `visit` with each leaf that matches, from the most specific one, until it returns something.
    pub fn visit<T>(
        &self,
        host: &[u8],
        path: &[u8],
        mut visit: impl FnMut(&Leaf) -> Option<T>,
    ) -> Option<T> {
        let path = if path == b"*" { b"/" } else { path };
        if !path.starts_with(b"/") {
            return None;
        }
        let mut descend = |spot| {
            let mut next = self.trie.longest(spot, path);
            while let Some(id) = next {
                let leaf = &self.leaves[id.index()];
                if let Some(found) = visit(leaf) {
                    return Some(found);
                }
                next = leaf.next;
            }
            None
        };
        let host = if self.has_hosts { bare_host(host) } else { None };
        if let Some(host) = host {
            // No host has a star but those of wildcards.
            let exact = Some(host).filter(|host| host[0] != b'*');
            let exact = exact.and_then(|host| self.trie.enter(self.trie.root(), host));
            if let Some(found) = exact.and_then(&mut descend) {
                return Some(found);
            }
            if let Some(found) = self.wildcards(host).find_map(&mut descend) {
                return Some(found);
            }
        }
        descend(self.trie.root())
    }

    /// Where the wildcards end that a host matches, from the longest. Looks at as many bytes of the host as the
    /// longest wildcard has, and from each of its dots on.
    fn wildcards<'a>(&'a self, host: &'a [u8]) -> impl Iterator<Item = Spot<'a>> {
        // One byte of the host at least is before the dot.
        let start = host.len().saturating_sub(self.wildcard_bytes_max).max(1);
        let tail = if self.wildcard_bytes_max == 0 { &[] } else { &host[start..] };
        let ends = memchr_iter(b'.', tail).map(|dot| &tail[dot..]);
        ends.filter_map(|end| self.trie.enter(self.trie.enter(self.trie.root(), b"*")?, end))
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
    use super::pattern::PathEnd;
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The text of the matching route, so that tables need no indices.
    fn found<'a>(texts: &[&'a str], host: &str, path: &str) -> Option<&'a str> {
        let router = Router::new(&patterns(texts)).unwrap();
        router.find(host.as_bytes(), path.as_bytes(), |_| None).map(|route| texts[route.index()])
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
        rest.is_some_and(|r| pattern.end == PathEnd::Anywhere || r.is_empty() || r.starts_with('/'))
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
                assert_eq!(
                    trie.find(host.as_bytes(), path.as_bytes(), |_| None),
                    scanned,
                    "{host}{path}"
                );
            }
        }
    }
}
