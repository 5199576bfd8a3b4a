//! Route patterns, as configured by a user.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::path::{AboveRoot, normalise};

/// The longest host of a pattern, in bytes: no name is longer (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A `[HOST]PREFIX` that selects a route, or an [exact](Self::exact) path.
///
/// * Everything before the first `/` is the host; without one, any host matches. It is a name or a
///   bracketed IPv6 literal without a port, compared case-insensitively (RFC 3986 §3.2.2) and without
///   a trailing dot. `*.example.com` matches every host that ends in `.example.com`, with one label before
///   that or several, and never `example.com` itself.
/// * The path matches at segment boundaries: `/auth` matches `/auth` and `/auth/x`, never `/authx`;
///   `/auth/` matches `/auth/x` but not `/auth`; `/` matches everything.
/// * A path ending in `*` is a byte prefix: `/img*` also matches `/img2`. After a `/` the star is
///   redundant, so `/img/*` equals `/img/`.
/// * The path is normalised as by [`normalise`], so `/a%62` equals `/ab`. The segment before a star is
///   incomplete and therefore not a dot segment: `/.*` matches `/.git`.
///
/// Equal patterns match the same requests. [`Display`](fmt::Display) writes the canonical form, which
/// parses back to an equal pattern; that of an exact path has a `=` before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    /// The host, then the path, without the star that may end it.
    pub(super) key: String,
    host_len: usize,
    pub(super) end: PathEnd,
}

/// Where a path may end that a pattern matches; the later variant is the more specific one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PathEnd {
    /// Anywhere. Also of every prefix that ends in `/`, which is a segment boundary already.
    Anywhere,
    /// Where the pattern ends, or at any later place if a segment ends where the pattern does.
    Segment,
    /// Where the pattern ends.
    Exact,
}

impl Pattern {
    /// The pattern of one path, `[HOST]PATH`. It is normalised as a prefix is, and may not end in `*`.
    pub fn exact(text: &str) -> Result<Self, PatternError> {
        if text.ends_with('*') {
            return Err(PatternError::ExactStar);
        }
        Ok(Self { end: PathEnd::Exact, ..text.parse()? })
    }

    /// The host in lower case, with its wildcard, or `None` if any host matches.
    pub fn host(&self) -> Option<&str> {
        let (host, _) = self.key.split_at(self.host_len);
        (!host.is_empty()).then_some(host)
    }

    /// What stands after the star of its host, if that has one: a dot and a name.
    pub(super) fn wildcard(&self) -> Option<&str> {
        self.host()?.strip_prefix('*')
    }

    /// The normalised path: the whole of it, or the prefix without its star.
    pub fn path(&self) -> &str {
        self.key.split_at(self.host_len).1
    }

    /// Whether it matches one path.
    pub fn is_exact(&self) -> bool {
        self.end == PathEnd::Exact
    }

    /// Two patterns that match between them just what this one does, if there are two: the path itself, and all
    /// below it.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let is_split = self.end == PathEnd::Segment;
        is_split.then(|| {
            let below =
                Self { key: format!("{}/", self.key), end: PathEnd::Anywhere, ..self.clone() };
            [Self { end: PathEnd::Exact, ..self.clone() }, below]
        })
    }

    /// The normalised path without a trailing slash, if it consists of one or more whole segments:
    /// the prefix that can be stripped from a target.
    pub fn segments(&self) -> Option<&str> {
        let path = self.path();
        let bare = path.strip_suffix('/').unwrap_or(path);
        let is_whole = self.end != PathEnd::Anywhere || path.ends_with('/');
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
        let end = if key.ends_with(['*', '/']) { PathEnd::Anywhere } else { PathEnd::Segment };
        if key.ends_with('*') {
            key.pop();
        }
        Ok(Self { key, host_len, end })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_starred = self.end == PathEnd::Anywhere && !self.key.ends_with('/');
        let (before, after) = (self.is_exact(), is_starred);
        let mark = |is_there, mark| if is_there { mark } else { "" };
        write!(f, "{}{}{}", mark(before, "="), self.key, mark(after, "*"))
    }
}

/// Why a text is not a valid [`Pattern`]; the message says what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// There is no `/`.
    NoPath,
    /// The host is neither a name nor a bracketed IPv6 literal.
    Host,
    /// The host contains a `*` that does not stand for whole labels at its start.
    HostWildcard,
    /// The host is longer than any name.
    HostLength,
    /// The host is followed by a port.
    Port,
    /// An exact path ends in a `*`.
    ExactStar,
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
            Self::HostWildcard => {
                "`*` may only stand for the first labels of a host, as in `*.example.com`"
            }
            Self::HostLength => "no host is longer than 253 characters: shorten it",
            Self::ExactStar => "a path that ends in `*` is a prefix: write it as one",
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
    let name = host.strip_prefix("*.").unwrap_or(&host);
    if host.len() > HOST_BYTES_MAX {
        Err(PatternError::HostLength)
    } else if text.is_empty()
        || literal.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || name.split('.').all(is_label)
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
            ("*.Example.com./x", "*.example.com/x", Some("*.example.com")),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!((&*pattern.to_string(), pattern.host()), (canonical, host), "{text}");
            assert_eq!(canonical.parse(), Ok(pattern), "{text}");
        }
    }

    #[test]
    fn an_exact_path_is_normalised_and_told_from_a_prefix() {
        let exact = |text| Pattern::exact(text).map(|pattern| pattern.to_string());
        assert_eq!(exact("A.b/x/../%61/"), Ok("=a.b/a/".to_owned()));
        assert_ne!(Pattern::exact("/a"), "/a".parse());
        assert_eq!(exact("/img*"), Err(PatternError::ExactStar));
        assert_eq!(exact("/.."), Err(PatternError::AboveRoot));
        assert_eq!(Pattern::exact("/a/").unwrap().segments(), Some("/a"));
    }

    #[test]
    fn a_prefix_is_a_path_and_all_below_it() {
        let halves = |text: &str| {
            let pattern: Pattern = text.parse().unwrap();
            pattern.halves().map(|halves| halves.map(|half| half.to_string()))
        };
        assert_eq!(halves("a.b/x"), Some(["=a.b/x".to_owned(), "a.b/x/".to_owned()]));
        assert_eq!((halves("/"), halves("/x*"), halves("/x/")), (None, None, None));
    }

    #[test]
    fn each_bad_pattern_has_its_own_error() {
        for (error, texts) in [
            (PatternError::NoPath, &["", "example.com"][..]),
            (PatternError::Host, &["./", "a..b/", "ä/", "[::/", "[a.b]/", "[::1]x/"]),
            (PatternError::HostWildcard, &["*/", "*example.com/", "a.*.b/", "*.*.b/", "*./"]),
            (PatternError::HostLength, &[&format!("{}/", "a".repeat(254))]),
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
