//! Converts paths to the canonical form in which patterns and requests are compared.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memrchr};

/// A path with a `..` that climbs above the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboveRoot;

/// Normalises the path of a request, without its query (RFC 3986 §6.2.2).
///
/// Escapes of unreserved octets are decoded, and the hex digits of other escapes are upper-cased; then
/// dot segments are removed (§5.2.4), including `%2e%2e`. Unchanged are `//`, malformed escapes such as
/// `%zz`, and paths without a leading `/` (the asterisk-form). An escape stays encoded if decoding it
/// would complete a malformed one: `%%32e` never becomes `%2e`, so normalising is idempotent.
///
/// A `..` at the root, which the RFC would drop, is an error: no legitimate client sends one.
pub fn normalise(path: &[u8]) -> Result<Cow<'_, [u8]>, AboveRoot> {
    if !path.starts_with(b"/") {
        return Ok(Cow::Borrowed(path));
    }
    // Not ended early, so that many bytes are examined at once: most paths have neither.
    let is_odd = path.iter().fold(false, |odd, byte| odd | matches!(byte, b'%' | b'.'));
    if !is_odd {
        return Ok(Cow::Borrowed(path));
    }
    let path = normalise_escapes(path);
    if has_dot_segment(&path) { remove_dot_segments(&path).map(Cow::Owned) } else { Ok(path) }
}

/// What a path is without `prefix`, if that is its first segments: nothing, or what begins with the
/// next slash. `sent` is as it was sent, `normal` what [`normalise`] made of it.
///
/// Where the prefix stands in `sent` as it is and no segment is a dot segment, the rest is left byte
/// for byte as it was sent: nothing in it can climb. Of any other path the rest of `normal` is left,
/// so that no endpoint is sent `/../x` for `/img/../img/x` (CVE-2026-48020 was that).
pub fn strip<'a>(sent: &'a [u8], normal: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let rest = without(normal, prefix)?;
    let literal = without(sent, prefix).filter(|rest| {
        let mut segments = rest.split(|byte| *byte == b'/');
        !segments.any(is_dot_segment)
    });
    Some(literal.unwrap_or(rest))
}

/// What stands after a prefix of whole segments: `/img` is none of `/img../x`.
fn without<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix.as_bytes()).filter(|_| path.starts_with(b"/"))?;
    matches!(rest, [] | [b'/', ..]).then_some(rest)
}

/// `.` or `..`, each dot as it is or escaped.
fn is_dot_segment(mut segment: &[u8]) -> bool {
    let mut dots = 0;
    while let [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] = segment {
        (segment, dots) = (rest, dots + 1);
    }
    segment.is_empty() && matches!(dots, 1 | 2)
}

fn normalise_escapes(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let (mut out, mut rest) = (Vec::with_capacity(path.len()), path);
    while let Some((&byte, after)) = rest.split_first() {
        let Some((octet, after_escape)) = split_escape(rest) else {
            out.push(byte);
            rest = after;
            continue;
        };
        let unreserved = octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        if unreserved && !completes_escape(&out, octet) {
            out.push(octet);
        } else {
            out.extend(rest[..3].iter().map(u8::to_ascii_uppercase));
        }
        rest = after_escape;
    }
    if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) }
}

/// The octet of the escape that `text` begins with, and the text after it.
fn split_escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else { return None };
    let hex = |&digit| char::from(digit).to_digit(16);
    Some((u8::try_from(hex(high)? << 4 | hex(low)?).ok()?, rest))
}

fn has_dot_segment(path: &[u8]) -> bool {
    memchr_iter(b'.', path).any(|at| {
        let (before, dot) = path.split_at(at);
        before.ends_with(b"/") && matches!(dot, b"." | b".." | [_, b'/', ..] | [_, b'.', b'/', ..])
    })
}

/// Whether `octet` could turn a malformed escape at the end of `out` into a well-formed one.
fn completes_escape(out: &[u8], octet: u8) -> bool {
    octet.is_ascii_hexdigit()
        && matches!(out, [.., b'%'] | [.., b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F'])
}

fn remove_dot_segments(path: &[u8]) -> Result<Vec<u8>, AboveRoot> {
    // `out` ends in `/` before each segment, so a final dot segment leaves a trailing `/`.
    let mut out = Vec::with_capacity(path.len());
    out.push(b'/');
    for segment in path[1..].split_inclusive(|&b| b == b'/') {
        match segment {
            b"." | b"./" => {}
            b".." | b"../" => {
                let parent = memrchr(b'/', &out[..out.len() - 1]).ok_or(AboveRoot)?;
                out.truncate(parent + 1);
            }
            _ => out.extend_from_slice(segment),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::draw;

    #[test]
    fn paths_are_normalised() {
        for (path, normal) in [
            ("/%61%2D%2e%5F%7e/%2f%3a", "/a-._~/%2F%3A"),
            ("/%zz%2541%4", "/%zz%2541%4"),
            ("/%%32e/%4%31", "/%%32e/%4%31"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/%2e%2E", "/a/"),
            ("/a//../b", "/a/b"),
            ("//a/.b/..c/d.//", "//a/.b/..c/d.//"),
        ] {
            let normalised = normalise(path.as_bytes()).unwrap();
            assert_eq!(normalised.escape_ascii().to_string(), normal);
            assert_eq!(matches!(normalised, Cow::Borrowed(_)), path == normal, "{path}");
        }
    }

    /// What is left of a path that is sent, without `/st`.
    fn stripped(path: &str) -> String {
        let normal = normalise(path.as_bytes()).unwrap();
        let rest = strip(path.as_bytes(), &normal, "/st");
        rest.map_or("none".into(), |rest| rest.escape_ascii().to_string())
    }

    #[test]
    fn what_stands_after_a_literal_prefix_is_left_as_it_was_sent() {
        let rests = ["", "/", "//a", "/%2f", "/%61%2F/%zz", "//", "/...", "/.a/b..", "/%2e%2e%2e"];
        for rest in rests {
            assert_eq!(stripped(&format!("/st{rest}")), rest);
        }
    }

    #[test]
    fn of_any_other_path_the_normalised_form_is_stripped() {
        for (path, rest) in [
            ("/st/../st/x", "/x"),
            ("/st/%2e%2E/st/%61", "/a"),
            ("/st/.%2e/st//%2fx", "//%2Fx"),
            ("/st/./%7e", "/~"),
            ("/st/a/..", "/"),
            ("/a/../st/%61", "/a"),
            ("/%73t/%61", "/a"),
        ] {
            assert_eq!(stripped(path), rest, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_stripped_by_whole_segments() {
        for path in ["/st../x", "/st2", "*", "/a", "/st%2fa", "/"] {
            assert_eq!(stripped(path), "none", "{path}");
        }
    }

    #[test]
    fn no_stripped_path_has_a_dot_segment_or_loses_its_slash() {
        let state = &mut 1;
        for _ in 0..20_000 {
            let words = ["/", "/st", "/..", "/.", "/%2e", "%2E", ".", "a", "%", "2e", "/st/../st"];
            let path = format!("/{}", draw(state, &words));
            let Ok(normal) = normalise(path.as_bytes()) else { continue };
            let Some(rest) = strip(path.as_bytes(), &normal, "/st") else { continue };
            assert!(rest.is_empty() || rest.starts_with(b"/"), "{path}");
            let again = normalise(if rest.is_empty() { b"/" } else { rest }).unwrap();
            let behind = without(&normal, "/st").unwrap();
            assert_eq!(*again, *if behind.is_empty() { b"/" } else { behind }, "{path}");
        }
    }

    #[test]
    fn no_path_climbs_above_the_root() {
        for path in ["/..", "/../a", "/a/../../b", "/%2e%2E/", "/./.."] {
            assert_eq!(normalise(path.as_bytes()), Err(AboveRoot), "{path}");
        }
    }

    #[test]
    fn normalising_is_idempotent() {
        let state = &mut 1;
        for _ in 0..20_000 {
            let path = format!("/{}", draw(state, &["%", "2", "e", "%2e", "%32", "/", "."]));
            if let Ok(once) = normalise(path.as_bytes()) {
                assert_eq!(normalise(&once), Ok(Cow::Borrowed(&*once)), "{path}");
            }
        }
    }
}
