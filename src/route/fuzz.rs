//! The fuzz target of this room; see CONTRIBUTING.md.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::{Pattern, Router, normalise};
use crate::id::RouteId;

/// Takes lines of patterns, the last line being the `HOST PATH` of a request. The trie must find what a
/// linear scan finds, and normalising a path or a pattern must be idempotent.
pub fn route(data: &[u8]) {
    let data = &data[..data.len().min(2048)];
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(64).collect();
    let Some(request) = lines.pop() else { return };
    let mut patterns: Vec<Pattern> = Vec::new();
    for line in lines {
        let Ok(Ok(pattern)) = std::str::from_utf8(line).map(str::parse::<Pattern>) else {
            continue;
        };
        assert_eq!(pattern.to_string().parse().as_ref(), Ok(&pattern));
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
    assert_eq!(router.find(host, &path), linear_scan(&patterns, host, &path));
}

/// Implements the rules of [`Pattern`] and [`Router::find`] by trying every pattern.
fn linear_scan(patterns: &[Pattern], host: &[u8], path: &[u8]) -> Option<RouteId> {
    let path = if path == b"*" { b"/" } else { path };
    if !path.starts_with(b"/") {
        return None;
    }
    let host = super::bare_host(host).map(<[u8]>::to_ascii_lowercase);
    let takes = |pattern: &Pattern| {
        let prefix = path_of(pattern).as_bytes();
        let is_boundary = |at: usize| at == path.len() || path[at] == b'/';
        path.starts_with(prefix) && (!pattern.whole_segments || is_boundary(prefix.len()))
    };
    let best = |of_host: Option<&[u8]>| {
        let candidates = patterns
            .iter()
            .enumerate()
            .filter(|(_, pattern)| pattern.host().map(str::as_bytes) == of_host && takes(pattern));
        candidates.max_by_key(|(_, pattern)| (path_of(pattern).len(), pattern.whole_segments))
    };
    let of_host = host.as_deref().and_then(|host| best(Some(host)));
    of_host.or_else(|| best(None)).map(|(index, _)| RouteId::new(index))
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
