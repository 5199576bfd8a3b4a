//! A cookie that keeps a client with one of several upstreams, among which a route splits its requests. Like that
//! of [`super::sticky`], its value is a message authentication code, of the upstream's name, and nothing of what a
//! client sends is decoded.

use ring::hmac::{self, HMAC_SHA256};

use super::sticky::{StickyCookie, StickyValue, authenticated};

/// Sets the keys apart from those of any other use of the same names.
const PURPOSE: &[u8] = b"evener split 1";

/// The cookie of a route, and what it says of each of its upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitCookie {
    /// The cookie.
    pub cookie: StickyCookie,
    /// By upstream, in the order of the route.
    values: Box<[StickyValue]>,
}

impl SplitCookie {
    /// For a route of this name, and the upstreams of these names.
    pub fn new<'n>(
        route: &str,
        cookie: StickyCookie,
        upstreams: impl Iterator<Item = &'n str>,
    ) -> Self {
        // No name contains a zero.
        let names = [PURPOSE, route.as_bytes(), cookie.name.as_bytes()].join(&0);
        let key = hmac::Key::new(HMAC_SHA256, &names);
        let values = upstreams.map(|name| authenticated(&key, name.as_bytes())).collect();
        Self { cookie, values }
    }

    /// The place in the route of the upstream that a value names, if it does.
    pub fn find(&self, value: &[u8]) -> Option<usize> {
        self.values.iter().position(|known| known == value)
    }

    /// What Set-Cookie says (RFC 6265 §4.1) for a client that is to stay with the upstream at this place, which
    /// came over https if it is `secure`.
    pub fn set_cookie(&self, place: usize, secure: bool) -> String {
        self.cookie.set(&self.values[place], secure)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_value_names_its_upstream_whatever_the_order_and_nothing_else_does() {
        let cookie = StickyCookie { name: "side".into(), max_age: Some(Duration::from_secs(60)) };
        let of = |route: &str, names: [&'static str; 2]| {
            SplitCookie::new(route, cookie.clone(), names.into_iter())
        };
        let (one, other) = (of("/", ["app", "canary"]), of("/", ["canary", "app"]));
        let said = one.set_cookie(1, true);
        let (value, rest) = said.strip_prefix("side=").unwrap().split_once("; ").unwrap();
        assert_eq!(rest, "Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(one.find(value.as_bytes()), Some(1));
        assert_eq!(other.find(value.as_bytes()), Some(0));
        assert_eq!(of("/x", ["app", "canary"]).find(value.as_bytes()), None);
        for unknown in ["", "canary", &value[1..], &value.to_uppercase()] {
            assert_eq!(one.find(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
