//! Who may ask: nobody whom a browser was tricked into asking for, and nobody without the token.

use std::net::IpAddr;

use super::http::{AdminAnswer, AdminRequest};
use crate::config::admin::Token;
use crate::http::message::head::Version;

/// What needs no token: a look at the process itself, and the page that asks for the token.
const OPEN: [&str; 3] = ["/", "/healthz", "/readyz"];

/// Judges requests.
pub(crate) struct Guard(Option<Token>);

impl Guard {
    /// Asks for a token if there is one.
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self(token)
    }

    /// The answer to a request that is refused.
    pub(crate) fn check(&self, request: &AdminRequest) -> Result<(), AdminAnswer> {
        // By a name of its own a page elsewhere can reach us, and read what we answer (DNS
        // rebinding); with a token it still cannot.
        if self.0.is_none() && !names_this_machine(request) {
            let what = "Host names another machine: ask for localhost or a loopback address\n";
            return Err(AdminAnswer::text(403, what));
        }
        if !request.origins.iter().all(|origin| is_of(origin, &request.host)) {
            return Err(AdminAnswer::text(403, "Origin: a page of another site asks\n"));
        }
        let Some(token) = &self.0 else { return Ok(()) };
        // Of two it could not be said which counts.
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

/// No browser leaves Host out.
fn names_this_machine(request: &AdminRequest) -> bool {
    let host = host_of(&request.host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
        || (host.is_empty() && request.version == Version::Http10)
}

/// Without the port.
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

/// RFC 6750 §2.1; the name of the scheme in any case (RFC 9110 §11.1).
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
    fn a_bearer_is_named_in_any_case() {
        assert_eq!(bearer(b"bearer  x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"Basic x"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
