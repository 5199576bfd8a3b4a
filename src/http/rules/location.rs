//! Checks where a client may be sent: to a host that the configuration names, whatever the request says.

use std::fmt;

use super::template::{Template, TemplateError, TextPart, TextPosition};
use super::variable::Variable;
use crate::http::message::authority::{self, is_authority};

/// How a route names the hosts of the requests that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostNaming {
    /// Not at all: it takes any.
    Any,
    /// By names, or by a wildcard in front of one.
    Names,
    /// One of them is an IPv6 address.
    Literal,
}

/// Compiles where clients are sent to.
pub fn location(text: &str, hosts: HostNaming) -> Result<Template, LocationError> {
    let template =
        Template::parse(text, TextPosition::Location).map_err(LocationError::Template)?;
    check(&template, hosts)?;
    Ok(template)
}

/// A part of a reference that is still to be looked at: what is left of a plain part, or a variable.
type Rest<'t> = (&'t [u8], &'t [TextPart]);

fn check(template: &Template, hosts: HostNaming) -> Result<(), LocationError> {
    match template.parts() {
        [TextPart::Variable(Variable::Scheme), TextPart::Plain(text), rest @ ..] => {
            match text.strip_prefix(b"://") {
                Some(text) => check_authority((text, rest), hosts),
                None => Err(LocationError::Beginning),
            }
        }
        [TextPart::Variable(variable @ (Variable::Target | Variable::Path)), ..] => {
            Err(LocationError::Chosen(*variable))
        }
        [] | [TextPart::Variable(_), ..] => Err(LocationError::Beginning),
        [TextPart::Plain(text), rest @ ..] => match &**text {
            [b'/', text @ ..] => check_path((text, rest), hosts),
            text => match after_scheme(text) {
                Some(text) => check_authority((text, rest), hosts),
                None => Err(LocationError::Beginning),
            },
        },
    }
}

/// What follows `http://` or `https://`.
fn after_scheme(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(text, b"://")?;
    let scheme = &text[..at];
    let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    is_http.then(|| &text[at + 3..])
}

/// A path, of which the first slash has been read: no second one may follow, or a host would begin there. A
/// backslash is none by then.
fn check_path((text, mut rest): Rest<'_>, hosts: HostNaming) -> Result<(), LocationError> {
    let mut text = text;
    loop {
        match text {
            [b'/', ..] => return Err(LocationError::TwoSlashes),
            [_, ..] => return Ok(()),
            [] => {}
        }
        match rest {
            [] => return Ok(()),
            [TextPart::Variable(variable), after @ ..] => match variable {
                Variable::Target | Variable::Path | Variable::Query => {
                    return Err(LocationError::Chosen(*variable));
                }
                Variable::Method | Variable::Scheme => return Ok(()),
                Variable::Host if hosts != HostNaming::Any => return Ok(()),
                // It may say nothing, and never begins with a slash.
                _ => rest = after,
            },
            [TextPart::Plain(plain), after @ ..] => (text, rest) = (plain, after),
        }
    }
}

/// An authority up to where a path or the like begins: one that is written, or the host asked for, which
/// may have labels before it and a port after it.
fn check_authority((text, rest): Rest<'_>, hosts: HostNaming) -> Result<(), LocationError> {
    let (before, ends) = until_path(text);
    if ends {
        return check_written(before);
    }
    match rest {
        [] => check_written(before),
        // Either begins with a slash, or is nothing in front of what follows.
        [TextPart::Variable(Variable::Target | Variable::Path), after @ ..] => {
            check_written(before)?;
            check_after_path(after)
        }
        [TextPart::Variable(Variable::Host), after @ ..] => {
            check_host(before, hosts)?;
            match after {
                [] => Ok(()),
                [TextPart::Variable(Variable::Target | Variable::Path), after @ ..] => {
                    check_after_path(after)
                }
                [TextPart::Variable(variable), ..] => Err(LocationError::Chosen(*variable)),
                [TextPart::Plain(text), after @ ..] => {
                    let (port, ends) = until_path(text);
                    check_port(port)?;
                    match after {
                        _ if ends => Ok(()),
                        [TextPart::Variable(Variable::Target | Variable::Path), after @ ..] => {
                            check_after_path(after)
                        }
                        [TextPart::Variable(variable), ..] => Err(LocationError::Chosen(*variable)),
                        _ => Ok(()),
                    }
                }
            }
        }
        [TextPart::Variable(variable), ..] => Err(LocationError::Chosen(*variable)),
        // No two plain parts follow one another.
        [TextPart::Plain(_), ..] => Err(LocationError::Beginning),
    }
}

/// What follows a path that may be nothing, so that it might go on with a host.
fn check_after_path(rest: &[TextPart]) -> Result<(), LocationError> {
    match rest {
        [] => Ok(()),
        [TextPart::Plain(text), ..] if until_path(text).0.is_empty() => Ok(()),
        [TextPart::Variable(Variable::Target | Variable::Path), after @ ..] => {
            check_after_path(after)
        }
        _ => Err(LocationError::AfterPath),
    }
}

/// What is written up to where a path, query or fragment begins, and whether one does.
fn until_path(text: &[u8]) -> (&[u8], bool) {
    let end = text.iter().position(|byte| b"/?#".contains(byte));
    (&text[..end.unwrap_or(text.len())], end.is_some())
}

fn check_written(authority: &[u8]) -> Result<(), LocationError> {
    let shown = || String::from_utf8_lossy(authority).into_owned();
    if authority.is_empty() {
        return Err(LocationError::NoHost);
    }
    if authority.contains(&b'@') {
        return Err(LocationError::UserInfo);
    }
    // Of all that an authority may be, what is a host in DNS or an address.
    let host = authority::host(authority);
    let is_host = matches!(host, [b'[', ..])
        || !host.starts_with(b".") && host.iter().copied().all(is_label_byte);
    if is_host && is_authority(authority) { Ok(()) } else { Err(LocationError::Authority(shown())) }
}

/// Labels in front of the host asked for.
fn check_host(labels: &[u8], hosts: HostNaming) -> Result<(), LocationError> {
    if labels.contains(&b'@') {
        return Err(LocationError::UserInfo);
    }
    match hosts {
        HostNaming::Any => Err(LocationError::AnyHost),
        HostNaming::Names | HostNaming::Literal if labels.is_empty() => Ok(()),
        HostNaming::Names
            if labels.ends_with(b".")
                && !labels.starts_with(b".")
                && labels.iter().copied().all(is_label_byte) =>
        {
            Ok(())
        }
        HostNaming::Names | HostNaming::Literal => Err(LocationError::AroundHost),
    }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Nothing, or a port, after the host asked for.
fn check_port(port: &[u8]) -> Result<(), LocationError> {
    let is_port = port.is_empty() || port.starts_with(b":") && is_authority(&[b"a", port].concat());
    if is_port { Ok(()) } else { Err(LocationError::AroundHost) }
}

/// Why clients cannot be sent there; the message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationError {
    /// It is no template.
    Template(TemplateError),
    /// It begins neither with a scheme of HTTP nor with a slash.
    Beginning,
    /// A request could choose the host by this variable.
    Chosen(Variable),
    /// It begins with two slashes.
    TwoSlashes,
    /// There is no host after the scheme.
    NoHost,
    /// There is user information.
    UserInfo,
    /// What follows the scheme is no host.
    Authority(String),
    /// The host asked for is repeated where it may be any.
    AnyHost,
    /// The host asked for is made a part of another one.
    AroundHost,
    /// What follows a path could become a part of the host.
    AfterPath,
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Beginning => f.write_str(
                "it must begin with https://, http:// or {scheme}:// and a host, or with / and a path",
            ),
            Self::Chosen(Variable::Query) => f.write_str(
                "a request could choose the host by {query}: write /?{query} after a host",
            ),
            Self::Chosen(variable) => write!(
                f,
                "a request could choose the host by {variable}: write the host before it, as in \
                 https://www.example.com{{target}}"
            ),
            Self::TwoSlashes => {
                f.write_str("// begins a host: write https:// before it, or a single /")
            }
            Self::NoHost => f.write_str("there is no host after ://: write one"),
            Self::UserInfo => f.write_str("a host has no user information: leave it and the @ out"),
            Self::Authority(text) => {
                write!(
                    f,
                    "{text:?} is no host: write a name in ASCII, or an address, and a port if need be"
                )
            }
            Self::AnyHost => f.write_str(
                "a request could choose any host by {host}: name the hosts of this route (host: \
                 example.com), or write the host instead of {host}",
            ),
            Self::AroundHost => f.write_str(
                "{host} must be the end of the host: write {host}, {host}:8443 or www.{host}",
            ),
            Self::AfterPath => f.write_str(
                "what follows {target} or {path} could become a part of the host: begin it with / or ?",
            ),
        }
    }
}

impl std::error::Error for LocationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::rules::variable::Variables;

    #[test]
    fn a_host_is_written_or_is_that_of_a_route_that_names_it() {
        let good = [
            "https://www.example.com{target}",
            "https://www.example.com",
            "HTTPS://www.example.com:8443{path}?{query}",
            "http://www.example.com/?{query}",
            "http://www.example.com?x={query}",
            "https://[::1]:8443/{path}",
            "{scheme}://www.example.com{target}",
            "https://{host}{target}",
            "https://{host}:8443{target}",
            "{scheme}://{host}/new{path}",
            "https://{host}",
            "https://{host}?{query}",
            "https://www.{host}{target}",
            "https://example.com/{host}{target}",
            "https://example.com/@{query}",
            "https://example.com{path}{target}",
            "/",
            "/new",
            "/new{target}",
            "/new?{query}",
            "/?{query}",
            "/{host}{path}",
            "/{method}{path}",
            "/{sni}x{query}",
            "/.{path}",
            "/#top",
        ];
        for text in good {
            assert!(location(text, HostNaming::Names).is_ok(), "{text}");
        }
    }

    fn refuses(rows: &[(&str, LocationError)]) {
        for (text, error) in rows {
            let told = location(text, HostNaming::Names).unwrap_err();
            assert_eq!(told, *error, "{text}: {told}");
        }
    }

    #[test]
    fn what_has_no_host_has_a_path_that_is_none() {
        use LocationError as E;
        refuses(&[
            ("", E::Beginning),
            ("{target}", E::Chosen(Variable::Target)),
            ("{path}", E::Chosen(Variable::Path)),
            ("{query}", E::Beginning),
            ("{scheme}:{target}", E::Beginning),
            ("{scheme}{target}", E::Beginning),
            ("{host}{target}", E::Beginning),
            ("new", E::Beginning),
            ("?{query}", E::Beginning),
            ("#x", E::Beginning),
            ("javascript:alert(1)", E::Beginning),
            ("javascript://a/%0aalert(1)", E::Beginning),
            ("ftp://a/", E::Beginning),
            ("https:{target}", E::Beginning),
            ("https:/{target}", E::Beginning),
            ("https:\\\\www.example.com{target}", E::Beginning),
            (" https://a", E::Beginning),
            ("\\/evil", E::Beginning),
            ("//www.example.com{target}", E::TwoSlashes),
            ("/{sni}/evil", E::TwoSlashes),
            ("/{sni}{upstream}/{method}", E::TwoSlashes),
            ("/{query}", E::Chosen(Variable::Query)),
            ("/{target}", E::Chosen(Variable::Target)),
            ("/{sni}{path}", E::Chosen(Variable::Path)),
        ]);
    }

    #[test]
    fn no_request_chooses_the_host() {
        use LocationError as E;
        refuses(&[
            ("https://", E::NoHost),
            ("https:///{target}", E::NoHost),
            ("https://{target}", E::NoHost),
            ("https://{path}", E::NoHost),
            ("https://?{query}", E::NoHost),
            ("https://www.example.com{query}", E::Chosen(Variable::Query)),
            ("https://www.example.com:{client_port}/", E::Chosen(Variable::ClientPort)),
            ("https://{sni}{target}", E::Chosen(Variable::Sni)),
            ("https://{query}.example.com/", E::Chosen(Variable::Query)),
            ("https://{host}{query}", E::Chosen(Variable::Query)),
            ("https://{host}:{client_port}/", E::Chosen(Variable::ClientPort)),
            ("https://{host}:80{client_port}/", E::Chosen(Variable::ClientPort)),
            ("https://{host}{host}/", E::Chosen(Variable::Host)),
            ("https://{host}.evil", E::AroundHost),
            ("https://{host}.evil{target}", E::AroundHost),
            ("https://{host}@evil/", E::AroundHost),
            ("https://{host}:99999/", E::AroundHost),
            ("https://{host}:80@evil/", E::AroundHost),
            ("https://{host}\\evil/", E::AroundHost),
            ("https://evil{host}/", E::AroundHost),
            ("https://a:80{host}/", E::AroundHost),
            ("https://user@www.example.com/", E::UserInfo),
            ("https://user@{host}/", E::UserInfo),
            ("https://a b/", E::Authority("a%20b".into())),
            ("https://.{target}", E::Authority(".".into())),
            ("https://.{host}", E::AroundHost),
            ("https://a:b/", E::Authority("a:b".into())),
            ("https://a,b/", E::Authority("a,b".into())),
            ("https://[::g]/", E::Authority("[::g]".into())),
            ("https://a{target}.evil", E::AfterPath),
            ("https://a{path}{query}", E::AfterPath),
            ("https://{host}{target}.evil", E::AfterPath),
            ("https://{host}:80{target}{sni}", E::AfterPath),
        ]);
        for text in ["https://{host}{target}", "https://www.{host}/"] {
            assert_eq!(location(text, HostNaming::Any), Err(E::AnyHost));
        }
        assert_eq!(location("/{host}/x", HostNaming::Any), Err(E::TwoSlashes));
        assert!(location("https://{host}{target}", HostNaming::Literal).is_ok());
        assert_eq!(location("https://www.{host}/", HostNaming::Literal), Err(E::AroundHost));
    }

    /// Every variable but the host says something that looks like another host.
    struct Evil(&'static str);

    impl Variables for Evil {
        fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
            match variable {
                Variable::Host => part(b"example.com"),
                Variable::Scheme => part(b"https"),
                _ => part(self.0.as_bytes()),
            }
        }
    }

    #[test]
    fn whatever_a_request_says_its_client_goes_to_a_host_that_is_written() {
        let beginnings = ["", "https://", "https:", "/", "//", "{scheme}://", "\\", "/\\", "/."];
        let pieces = [
            "",
            "example.com",
            "{host}",
            "{target}",
            "{query}",
            "{sni}",
            ":80",
            ".",
            "@",
            "/",
            "?",
        ];
        let evil =
            ["", "*", "/", "//evil", "/\\evil", "\\\\evil", ".evil", "@evil", ":1@evil", "evil"];
        let mut taken = 0;
        for beginning in beginnings {
            for index in 0..pieces.len().pow(4) {
                let piece = |nth: u32| pieces[index / pieces.len().pow(nth) % pieces.len()];
                let text = [beginning, piece(0), piece(1), piece(2), piece(3)].concat();
                let Ok(template) = location(&text, HostNaming::Names) else { continue };
                taken += 1;
                for evil in evil {
                    let mut out = Vec::new();
                    template.append(&Evil(evil), &mut out).unwrap();
                    let out = String::from_utf8(out).unwrap();
                    assert!(goes_home(&out), "{text} with {evil:?} is {out}");
                }
            }
        }
        assert!(taken > 1000, "{taken}");
    }

    /// How a browser reads it (the URL standard): a backslash is a slash, and a host ends at one of them, or at
    /// `?` or `#`, and begins after `@`.
    fn goes_home(location: &str) -> bool {
        let location = location.replace('\\', "/");
        let Some((_, rest)) = location
            .split_once("://")
            .filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()))
        else {
            return location.starts_with('/') && !location.starts_with("//");
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        host.trim_end_matches('.').ends_with("example.com") && !authority.contains('@')
    }
}
