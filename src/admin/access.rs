//! Access control: refuses requests forged by other sites in a browser, and those without the token.

use std::net::IpAddr;

use super::http::{AdminAnswer, AdminRequest};
use crate::config::admin::Token;
use crate::http::message::head::Version;

/// Paths without a token: the health of the process, and the page that asks for the token.
const OPEN: [&str; 3] = ["/", "/healthz", "/readyz"];

/// Checks whether requests are allowed.
pub(crate) struct Guard(Option<Token>);

impl Guard {
    /// A guard that requires `token` if there is one.
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self(token)
    }

    /// Checks a request; returns the response if it is refused.
    pub(crate) fn check(&self, request: &AdminRequest) -> Result<(), AdminAnswer> {
        // DNS rebinding: under its own host name, another site's page could reach this listener and
        // read the responses. With a token it cannot.
        if self.0.is_none() && !names_this_machine(request) {
            let what = "Host names another machine: use localhost or a loopback address\n";
            return Err(AdminAnswer::text(403, what));
        }
        if !request.origins.iter().all(|origin| is_of(origin, &request.host)) {
            return Err(AdminAnswer::text(403, "Origin: requests from other sites are refused\n"));
        }
        let Some(token) = &self.0 else { return Ok(()) };
        // Two would be ambiguous.
        let given = match request.authorizations.as_slice() {
            [one] => bearer(one),
            _ => None,
        };
        if OPEN.contains(&request.path.as_str()) || given.is_some_and(|given| token.is(given)) {
            return Ok(());
        }
        let what = "a token is needed: Authorization: Bearer TOKEN\n";
        Err(AdminAnswer::text(401, what).with("WWW-Authenticate: Bearer\r\n"))
    }
}

/// Whether Host is this machine. It may be absent in HTTP/1.0: browsers always send it.
fn names_this_machine(request: &AdminRequest) -> bool {
    let host = host_of(&request.host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
        || (host.is_empty() && request.version == Version::Http10)
}

/// The host of an authority, without the port.
fn host_of(authority: &str) -> &str {
    let end = match authority.find(']') {
        Some(close) => close + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    &authority[..end]
}

fn is_of(origin: &[u8], host: &str) -> bool {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let authority = schemes.iter().find_map(|scheme| origin.strip_prefix(*scheme));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
}

/// The token of a Bearer authorization (RFC 6750 §2.1); the scheme is case-insensitive (RFC 9110
/// §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port() {
        let rows = [("a:1", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")];
        for (authority, host) in rows {
            assert_eq!(host_of(authority), host);
        }
    }

    #[test]
    fn an_origin_is_that_of_the_host_with_its_port() {
        let rows = [
            ("http://localhost:1", true),
            ("https://LOCALHOST:1", true),
            ("http://localhost", false),
            ("http://localhost:11", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ];
        for (origin, same) in rows {
            assert_eq!(is_of(origin.as_bytes(), "localhost:1"), same, "{origin}");
        }
    }

    #[test]
    fn the_bearer_scheme_is_case_insensitive() {
        assert_eq!(bearer(b"bearer  x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"Basic x"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
