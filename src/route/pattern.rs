//! Route patterns, as configured by a user.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::path::{AboveRoot, normalise};

/// A `[HOST]PREFIX` that selects a route.
///
/// * Everything before the first `/` is the host; without one, any host matches. It is a name or a
///   bracketed IPv6 literal without a port, compared case-insensitively (RFC 3986 §3.2.2) and without
///   a trailing dot.
/// * The path matches at segment boundaries: `/auth` matches `/auth` and `/auth/x`, never `/authx`;
///   `/auth/` matches `/auth/x` but not `/auth`; `/` matches everything.
/// * A path ending in `*` is a byte prefix: `/img*` also matches `/img2`. After a `/` the star is
///   redundant, so `/img/*` equals `/img/`.
/// * The path is normalised as by [`normalise`], so `/a%62` equals `/ab`. The segment before a star is
///   incomplete and therefore not a dot segment: `/.*` matches `/.git`.
///
/// Equal patterns match the same requests. [`Display`](fmt::Display) writes the canonical form, which
/// parses back to an equal pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// The host, then the path, without the star.
    pub(super) key: String,
    host_len: usize,
    /// Whether a match must end at a segment boundary. Never set if the key ends in `/`, which is one
    /// already.
    pub(super) whole_segments: bool,
}

impl Pattern {
    /// The host in lower case, or `None` if any host matches.
    pub fn host(&self) -> Option<&str> {
        let (host, _) = self.key.split_at(self.host_len);
        (!host.is_empty()).then_some(host)
    }

    /// The normalised path without a trailing slash, if it consists of one or more whole segments:
    /// the prefix that can be stripped from a target.
    pub fn segments(&self) -> Option<&str> {
        let (_, path) = self.key.split_at(self.host_len);
        let bare = path.strip_suffix('/').unwrap_or(path);
        let is_whole = self.whole_segments || path.ends_with('/');
        (is_whole && !bare.is_empty()).then_some(bare)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let slash = text.find('/').ok_or(PatternError::NoPath)?;
        let (host, path) = text.split_at(slash);
        let mut key = canonical_host(host)?;
        let host_len = key.len();
        check_path(path)?;
        // The star is kept so that the segment before it is not mistaken for a dot segment.
        let path = normalise(path.as_bytes()).map_err(|AboveRoot| PatternError::AboveRoot)?;
        key.extend(path.iter().copied().map(char::from));
        let whole_segments = !key.ends_with(['*', '/']);
        if key.ends_with('*') {
            key.pop();
        }
        Ok(Self { key, host_len, whole_segments })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starred = !self.whole_segments && !self.key.ends_with('/');
        write!(f, "{}{}", self.key, if starred { "*" } else { "" })
    }
}

/// Why a text is not a valid [`Pattern`]; the message says what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// There is no `/`.
    NoPath,
    /// The host is neither a name nor a bracketed IPv6 literal.
    Host,
    /// The host contains a `*`.
    HostWildcard,
    /// The host is followed by a port.
    Port,
    /// The path contains a `*` that is not its last byte.
    InnerStar,
    /// The path contains a `?`, a `#`, or a character that is not visible ASCII.
    Character,
    /// The path climbs above the root.
    AboveRoot,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPath => "no path: add one that begins with `/`, as in `example.com/`",
            Self::Host => "not a host: write a name such as `example.com`, or an IPv6 `[::1]`",
            Self::HostWildcard => "hosts have no wildcards: write one route for each host",
            Self::Port => "ports are not matched: write the host alone, an IPv6 one in brackets",
            Self::InnerStar => "`*` may only end a path: cut the path after the first `*`",
            Self::Character => "write visible ASCII without `?` or `#`, `%20` for a space",
            Self::AboveRoot => "the path climbs above the root: remove the surplus `..`",
        })
    }
}

impl std::error::Error for PatternError {}

fn canonical_host(text: &str) -> Result<String, PatternError> {
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_letter);
    if text.is_empty()
        || literal.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || host.split('.').all(is_label)
    {
        Ok(host)
    } else if text.contains('*') {
        Err(PatternError::HostWildcard)
    } else if text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        Err(PatternError::Port)
    } else {
        Err(PatternError::Host)
    }
}

fn check_path(path: &str) -> Result<(), PatternError> {
    let prefix = path.strip_suffix('*').unwrap_or(path);
    if prefix.contains('*') {
        Err(PatternError::InnerStar)
    } else if prefix.bytes().any(|b| !b.is_ascii_graphic() || b == b'?' || b == b'#') {
        Err(PatternError::Character)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_kept_in_canonical_form() {
        for (text, canonical, host) in [
            ("/*", "/", None),
            ("/img*", "/img*", None),
            ("/img/*", "/img/", None),
            ("/a%62%2f/./c/../d", "/ab%2F/d", None),
            ("/a/%2e%2e*", "/a/..*", None),
            ("My_Host-1.COM./A", "my_host-1.com/A", Some("my_host-1.com")),
            ("[FE80::1]/x", "[fe80::1]/x", Some("[fe80::1]")),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!((&*pattern.to_string(), pattern.host()), (canonical, host), "{text}");
            assert_eq!(canonical.parse(), Ok(pattern), "{text}");
        }
    }

    #[test]
    fn each_bad_pattern_has_its_own_error() {
        for (error, texts) in [
            (PatternError::NoPath, &["", "example.com"][..]),
            (PatternError::Host, &["./", "a..b/", "ä/", "[::/", "[a.b]/", "[::1]x/"]),
            (PatternError::HostWildcard, &["*.example.com/"]),
            (PatternError::Port, &["example.com:80/", "[::1]:80/", "::1/"]),
            (PatternError::InnerStar, &["/a*b", "/a**"]),
            (PatternError::Character, &["/a?b", "/a#*", "/a b", "/ä", "/\x7f"]),
            (PatternError::AboveRoot, &["/..", "/a/../.."]),
        ] {
            for text in texts {
                assert_eq!(text.parse::<Pattern>(), Err(error), "{text}");
            }
        }
    }
}
