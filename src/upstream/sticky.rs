//! Sticky sessions: a cookie that names the endpoint which has answered a client, without showing it.
//!
//! The value is a message authentication code of the endpoint: HMAC-SHA256 (RFC 2104), cut to 128 bits and
//! written in hex. Its key comes from the names of the upstream and of the cookie, so that a value means the
//! same in every process and on every machine with the same configuration. It is looked up among those of
//! the endpoints there are; any other is not known, which is all there is to it: nothing of what a client
//! sends is decoded.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac::{self, HMAC_SHA256};

use super::endpoint::Endpoint;
use super::endpoint_set::EndpointSet;
use crate::id::EndpointId;

/// The length of a value, in bytes: 128 bits in hex.
const VALUE_BYTES: usize = 32;

/// Sets the keys apart from those of any other use of the same names.
const PURPOSE: &[u8] = b"evener sticky 1";

/// What a cookie says of an endpoint.
pub(super) type StickyValue = [u8; VALUE_BYTES];

/// A cookie as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name: a token (RFC 6265 §4.1.1).
    pub name: Box<str>,
    /// How long clients keep it, in whole seconds; if absent, for as long as a browser's session lasts.
    pub max_age: Option<Duration>,
}

/// The cookie of an upstream, and what it says of each endpoint.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// The cookie.
    pub cookie: StickyCookie,
    /// What its values are made with.
    key: Arc<hmac::Key>,
    /// By endpoint.
    values: Box<[StickyValue]>,
    /// In order.
    known: Box<[(StickyValue, EndpointId)]>,
}

impl StickyCookie {
    /// What Set-Cookie says (RFC 6265 §4.1) with this value, to a client that came over https if it is
    /// `secure`. Scripts do not see the cookie, and other sites' forms do not send it.
    pub(super) fn set(&self, value: &StickyValue, secure: bool) -> String {
        let value = str::from_utf8(value).unwrap_or_default();
        let mut text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", self.name);
        if let Some(max_age) = self.max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        if secure {
            text.push_str("; Secure");
        }
        text
    }
}

impl Sticky {
    /// For the endpoints of the upstream of this name.
    pub fn new(upstream: &str, cookie: StickyCookie, endpoints: &EndpointSet) -> Self {
        // No name contains a zero.
        let names = [PURPOSE, upstream.as_bytes(), cookie.name.as_bytes()].join(&0);
        let key = Arc::new(hmac::Key::new(HMAC_SHA256, &names));
        let empty = Self { cookie, key, values: Box::default(), known: Box::default() };
        empty.with_endpoints(endpoints)
    }

    /// The same for other endpoints of the upstream.
    #[must_use]
    pub fn with_endpoints(&self, endpoints: &EndpointSet) -> Self {
        let value = |endpoint: &Endpoint| value_of(&self.key, endpoint);
        let values: Box<[_]> = endpoints.iter().map(value).collect();
        let ids = endpoints.ids().map(|(id, _)| id);
        let mut known: Box<[_]> = values.iter().copied().zip(ids).collect();
        known.sort_unstable_by_key(|(value, _)| *value);
        Self { cookie: self.cookie.clone(), key: Arc::clone(&self.key), values, known }
    }

    /// The endpoint that a value names, if it does.
    pub fn find(&self, value: &[u8]) -> Option<EndpointId> {
        let at = self.known.binary_search_by(|(known, _)| known[..].cmp(value)).ok()?;
        Some(self.known[at].1)
    }

    /// What Set-Cookie says for a client that this endpoint has answered, which came over https if it is
    /// `secure`.
    pub fn set_cookie(&self, endpoint: EndpointId, secure: bool) -> String {
        self.cookie.set(&self.values[endpoint.index()], secure)
    }
}

/// Of an endpoint as it is written, and of its address: a name may have several.
fn value_of(key: &hmac::Key, endpoint: &Endpoint) -> StickyValue {
    let identity = format!("{}\0{}", endpoint.name, endpoint.address);
    authenticated(key, identity.as_bytes())
}

/// The value that stands for something.
pub(super) fn authenticated(key: &hmac::Key, identity: &[u8]) -> StickyValue {
    let code = hmac::sign(key, identity);
    let mut value = [0; VALUE_BYTES];
    for (digits, byte) in value.as_chunks_mut::<2>().0.iter_mut().zip(code.as_ref()) {
        *digits = [digit(byte >> 4), digit(byte & 15)];
    }
    value
}

fn digit(half: u8) -> u8 {
    b"0123456789abcdef"[usize::from(half)]
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::new(Address::Tcp(([192, 0, 2, 1], port).into()), NonZeroU16::MIN, 1)
    }

    fn sticky(upstream: &str, cookie: &str, ports: impl IntoIterator<Item = u16>) -> Sticky {
        let cookie = StickyCookie { name: cookie.into(), max_age: None };
        Sticky::new(upstream, cookie, &EndpointSet::new(ports.into_iter().map(endpoint)))
    }

    fn value(sticky: &Sticky, index: usize) -> String {
        String::from_utf8(sticky.values[index].to_vec()).unwrap()
    }

    #[test]
    fn a_value_names_its_endpoint_wherever_that_stands() {
        let (one, other) = (sticky("app", "s", 1..=1000), sticky("app", "s", (1..=1000).rev()));
        for index in 0..1000 {
            let value = value(&one, index);
            assert_eq!(one.find(value.as_bytes()), Some(EndpointId::new(index)));
            assert_eq!(other.find(value.as_bytes()), Some(EndpointId::new(999 - index)));
        }
    }

    /// A change would send every client elsewhere at an upgrade. This one is from Python's
    /// `hmac.new(b"evener sticky 1\0app\0s", b"192.0.2.1:1\x00192.0.2.1:1", "sha256")`.
    #[test]
    fn values_stay_what_they_are() {
        assert_eq!(value(&sticky("app", "s", [1]), 0), "becda0dcebf05fc6a015e1637d7ee128");
    }

    #[test]
    fn what_is_not_the_value_of_an_endpoint_is_not_known() {
        let ours = sticky("app", "s", 1..=3);
        let good = value(&ours, 0);
        for odd in ["", &good[1..], &format!("{good}0"), &good.to_uppercase(), "192.0.2.1:1", "0"] {
            assert_eq!(ours.find(odd.as_bytes()), None, "{odd:?}");
        }
        for other in [sticky("app", "t", [1]), sticky("web", "s", [1]), sticky("app", "s", [4])] {
            assert_eq!(ours.find(value(&other, 0).as_bytes()), None);
        }
    }

    #[test]
    fn the_cookie_is_for_a_session_or_for_as_long_as_is_said() {
        let mut sticky = sticky("app", "s", [1]);
        let (id, value) = (EndpointId::new(0), value(&sticky, 0));
        let begins = format!("s={value}; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(sticky.set_cookie(id, false), begins);
        assert_eq!(sticky.set_cookie(id, true), format!("{begins}; Secure"));
        sticky.cookie.max_age = Some(Duration::from_secs(3600));
        assert_eq!(sticky.set_cookie(id, false), format!("{begins}; Max-Age=3600"));
    }
}
