//! The fuzz target of this room; see CONTRIBUTING.md.

use super::pattern::PathEnd;
use super::{Pattern, PatternError, Router, normalise};
use crate::id::RouteId;

/// Takes lines of patterns, those of exact paths after a `=`, the last line being the `HOST PATH` of a request.
/// The trie must find what a linear scan finds, and normalising a path or a pattern must be idempotent.
pub fn route(data: &[u8]) {
    let data = &data[..data.len().min(2048)];
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(64).collect();
    let Some(request) = lines.pop() else { return };
    let mut patterns: Vec<Pattern> = Vec::new();
    for line in lines {
        let Ok(Ok(pattern)) = std::str::from_utf8(line).map(read) else { continue };
        assert_eq!(read(&pattern.to_string()).as_ref(), Ok(&pattern));
        if patterns.contains(&pattern) {
            assert!(Router::new(&[pattern.clone(), pattern]).is_err());
        } else {
            patterns.push(pattern);
        }
    }
    let router = Router::new(&patterns).expect("no two are the same");
    let mut parts = request.splitn(2, |byte| *byte == b' ');
    let (host, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(path) = normalise(path) else { return };
    assert_eq!(normalise(&path).as_deref(), Ok(&*path));
    let (found, scanned) =
        (router.find(host, &path, |_| None), linear_scan(&patterns, host, &path));
    assert_eq!(found, scanned.first().copied());
    // The same where no route takes anything: the leaves that are visited are those that match, in order.
    let mut visited = Vec::new();
    let all = router.visit(host, &path, |leaf| {
        visited.extend(leaf.plain);
        None::<()>
    });
    assert_eq!((all, visited), (None, scanned));
}

fn read(text: &str) -> Result<Pattern, PatternError> {
    text.strip_prefix('=').map_or_else(|| text.parse(), Pattern::exact)
}

/// Implements the rules of [`Pattern`] and [`Router::find`] by trying every pattern: those that match, from
/// the most specific one.
pub fn linear_scan(patterns: &[Pattern], host: &[u8], path: &[u8]) -> Vec<RouteId> {
    let path = if path == b"*" { b"/" } else { path };
    if !path.starts_with(b"/") {
        return Vec::new();
    }
    let host = super::bare_host(host).map(<[u8]>::to_ascii_lowercase);
    let matches_path = |pattern: &Pattern| {
        let prefix = path_of(pattern).as_bytes();
        let is_boundary = |at: usize| at == path.len() || path[at] == b'/';
        match pattern.end {
            PathEnd::Exact => path == prefix,
            PathEnd::Segment => path.starts_with(prefix) && is_boundary(prefix.len()),
            PathEnd::Anywhere => path.starts_with(prefix),
        }
    };
    // How much of the host is named: all, so many bytes of its end, or nothing.
    let specific = |pattern: &Pattern| match (pattern.host(), &host) {
        (None, _) => Some(0),
        (Some(named), Some(host)) => match named.strip_prefix('*') {
            Some(end) => {
                (host.len() > end.len() && host.ends_with(end.as_bytes())).then_some(end.len())
            }
            None => (named.as_bytes() == host).then_some(usize::MAX),
        },
        (Some(_), None) => None,
    };
    let candidates = patterns.iter().enumerate().filter(|(_, pattern)| matches_path(pattern));
    let candidates = candidates.filter_map(|(index, pattern)| {
        let path = (pattern.is_exact(), path_of(pattern).len(), pattern.end);
        Some(((specific(pattern)?, path), RouteId::new(index)))
    });
    let mut sorted: Vec<_> = candidates.collect();
    sorted.sort_by_key(|found| std::cmp::Reverse(found.0));
    sorted.into_iter().map(|(_, route)| route).collect()
}

fn path_of(pattern: &Pattern) -> &str {
    &pattern.key[pattern.host().map_or(0, str::len)..]
}

#[cfg(test)]
mod tests {
    #[test]
    fn route() {
        crate::corpus::replay("route", 20_000, super::route);
    }
}
