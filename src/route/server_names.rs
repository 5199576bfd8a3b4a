//! Chooses by the name of a server, exactly or by a wildcard.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::tls_hello::{NoName, ServerName};

/// Names to choose by: `example.com` is exactly that name; `*.example.com` is every name that ends in
/// `.example.com`, with one label before that or several, and never `example.com` itself.
///
/// Case makes no difference, and a trailing dot is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern {
    /// The name, without its wildcard.
    name: ServerName,
    is_wildcard: bool,
}

/// Why a text is not a [`NamePattern`]; the message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePatternError {
    /// It is an IP address, which no client may send as a name (RFC 6066 §3).
    Address,
    /// It matches every name.
    Anything,
    /// There is a `*` that does not stand for whole labels at the start.
    Wildcard,
    /// It is not a name.
    Malformed,
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, NamePatternError> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        let (name, is_wildcard) = match bare.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (bare, false),
        };
        let name = ServerName::read(name.as_bytes()).map_err(|error| match error {
            _ if bare == "*" => NamePatternError::Anything,
            _ if name.contains('*') => NamePatternError::Wildcard,
            NoName::Address => NamePatternError::Address,
            NoName::Malformed => NamePatternError::Malformed,
        })?;
        Ok(Self { name, is_wildcard })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_wildcard { "*." } else { "" }, self.name)
    }
}

impl fmt::Display for NamePatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "clients do not send IP addresses as names: write a name",
            Self::Anything => {
                "`*` alone is not a name: leave it out, and name an upstream for the rest"
            }
            Self::Wildcard => "`*` may only stand for the first labels, as in `*.example.com`",
            Self::Malformed => "not a host name: write one such as `example.com`, in ASCII",
        })
    }
}

impl std::error::Error for NamePatternError {}

/// What belongs to a name: to an exact pattern before a wildcard, and to the longest wildcard before the
/// others.
#[derive(Clone, Debug)]
pub struct ServerNames<T> {
    entries: Vec<(NamePattern, T)>,
    /// Indices of entries, by the name.
    exact: HashMap<ServerName, usize>,
    /// Indices of entries, by what follows their star and its dot.
    wildcards: HashMap<ServerName, usize>,
}

impl<T> ServerNames<T> {
    /// Without any pattern.
    pub fn new() -> Self {
        Self { entries: Vec::new(), exact: HashMap::new(), wildcards: HashMap::new() }
    }

    /// Adds a pattern, unless there is an equal one; returns whether it has.
    pub fn add(&mut self, pattern: NamePattern, value: T) -> bool {
        let map = if pattern.is_wildcard { &mut self.wildcards } else { &mut self.exact };
        if map.contains_key(&pattern.name) {
            return false;
        }
        map.insert(pattern.name.clone(), self.entries.len());
        self.entries.push((pattern, value));
        true
    }

    /// The patterns and what belongs to them, in the order in which they were added.
    pub fn entries(&self) -> &[(NamePattern, T)] {
        &self.entries
    }

    /// The pattern that matches a name, and what belongs to it. The cost depends on the number of labels,
    /// at most 127, and not on that of patterns.
    pub fn find(&self, name: &ServerName) -> Option<&(NamePattern, T)> {
        let text = name.as_str();
        // After the leftmost dot comes the longest wildcard that could match.
        let mut ends = text.match_indices('.').map(|(dot, _)| &text[dot + 1..]);
        let exact = self.exact.get(name);
        let found = exact.or_else(|| ends.find_map(|end| self.wildcards.get(end)));
        found.map(|index| &self.entries[*index])
    }
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], name: &str) -> Option<String> {
        let mut names = ServerNames::new();
        for pattern in patterns {
            assert!(names.add(pattern.parse().unwrap(), ()), "{pattern}");
        }
        let found = names.find(&ServerName::read(name.as_bytes()).unwrap());
        found.map(|(pattern, ())| pattern.to_string())
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_a_long_wildcard_before_a_short_one() {
        let patterns = ["*.example.com", "*.b.example.com", "a.b.example.com", "*.com"];
        for order in [patterns, [patterns[3], patterns[2], patterns[1], patterns[0]]] {
            for (name, pattern) in [
                ("a.b.example.com", Some("a.b.example.com")),
                ("A.B.Example.Com", Some("a.b.example.com")),
                ("x.b.example.com", Some("*.b.example.com")),
                ("x.a.b.example.com", Some("*.b.example.com")),
                ("b.example.com", Some("*.example.com")),
                ("x.y.example.com", Some("*.example.com")),
                ("example.com", Some("*.com")),
                ("notexample.com", Some("*.com")),
                ("com", None),
                ("example.org", None),
            ] {
                assert_eq!(found(&order, name).as_deref(), pattern, "{name}");
            }
        }
    }

    #[test]
    fn a_wildcard_never_matches_the_name_after_it() {
        assert_eq!(found(&["*.example.com"], "example.com"), None);
        assert_eq!(found(&["*.example.com"], "xexample.com"), None);
        assert_eq!(found(&["example.com"], "a.example.com"), None);
    }

    #[test]
    fn the_same_pattern_is_added_once() {
        let mut names = ServerNames::new();
        for (text, is_new) in [
            ("a.example.com", true),
            ("A.EXAMPLE.com.", false),
            ("*.a.example.com", true),
            ("*.a.example.COM", false),
        ] {
            assert_eq!(names.add(text.parse().unwrap(), ()), is_new, "{text}");
        }
        let entries: Vec<_> = names.entries().iter().map(|(name, ())| name.to_string()).collect();
        assert_eq!(entries, ["a.example.com", "*.a.example.com"]);
    }

    #[test]
    fn each_bad_pattern_has_its_own_error() {
        for (error, texts) in [
            (NamePatternError::Anything, &["*", "*."][..]),
            (NamePatternError::Wildcard, &["a.*.b", "*a.b", "**", "*.*", "*.*.b", "*.b.*"]),
            (NamePatternError::Address, &["192.0.2.7", "::1", "*.192.0.2.7"]),
            (NamePatternError::Malformed, &["", ".", "*.a..b", "a b", "ä.b", "a:443", "[::1]"]),
        ] {
            for text in texts {
                assert_eq!(text.parse::<NamePattern>(), Err(error), "{text}");
            }
        }
    }
}
