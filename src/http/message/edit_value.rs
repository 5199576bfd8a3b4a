//! What a field is to say that is written besides those of the sender.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use super::field;
use super::hop::Hop;
use crate::decimal::ipv4;

/// What a field is to say. Nothing in it ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(Content<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content<'a> {
    Nothing,
    Text(&'a [u8]),
    Address(IpAddr),
    Element(Hop, &'a [u8]),
    /// Bytes that were made for it: from where to where in [`Made`].
    Made(u32, u32),
}

/// The texts of values that were made on the way, one after the other: what was neither received nor
/// configured has to be kept somewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Made(Vec<u8>);

impl Made {
    /// Keeps what `make` writes, if that is something and may stand in a field (RFC 9110 §5.5).
    pub(super) fn keep<'a>(&mut self, make: impl FnOnce(&mut Vec<u8>)) -> Option<Value<'a>> {
        let start = self.0.len();
        make(&mut self.0);
        let ends = (u32::try_from(start), u32::try_from(self.0.len()));
        let is_value = self.0.len() > start && field::is_value(self.0.get(start..)?);
        let (Ok(start_at), Ok(end), true) = (ends.0, ends.1, is_value) else {
            self.0.truncate(start);
            return None;
        };
        Some(Value(Content::Made(start_at, end)))
    }
}

impl<'a> Value<'a> {
    /// Nothing but what the sender wrote.
    pub const NOTHING: Self = Self(Content::Nothing);

    /// A text, if it may stand in a field (RFC 9110 §5.5).
    pub fn new(text: &'a [u8]) -> Option<Self> {
        field::is_value(text).then_some(Self(Content::Text(text)))
    }

    /// A text that has been taken from a parsed head, or was checked when it was read from a
    /// configuration.
    pub(crate) fn checked(text: &'a [u8]) -> Self {
        debug_assert!(field::is_value(text), "{}", text.escape_ascii());
        Self(Content::Text(text))
    }

    /// An address, an IPv4 address mapped to IPv6 as what it is.
    pub fn address(address: IpAddr) -> Self {
        Self(Content::Address(address.to_canonical()))
    }

    /// The element of Forwarded (RFC 7239 §4) of a hop for this authority
    /// ([`super::authority::is_authority`]), if there is one. A client without an address is unknown.
    pub fn forwarded(hop: Hop, authority: &'a [u8]) -> Self {
        let client = hop.client.map(|client| client.to_canonical());
        Self(Content::Element(Hop { client, ..hop }, authority))
    }

    /// What it says, if it is a text.
    #[inline]
    pub(super) fn text<'b>(&self, made: &'b Made) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self.0 {
            Content::Text(text) => Some(text),
            Content::Made(start, end) => made.0.get(start as usize..end as usize),
            Content::Nothing | Content::Address(_) | Content::Element(..) => None,
        }
    }

    /// The address it says, if it is one of IPv4 and nothing else.
    #[inline]
    pub(in crate::http) fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.0 {
            Content::Address(IpAddr::V4(address)) => Some(address),
            _ => None,
        }
    }

    /// Hands it over piece by piece.
    pub(super) fn write(&self, made: &Made, mut part: impl FnMut(&[u8])) {
        match self.0 {
            Content::Nothing => {}
            Content::Text(_) | Content::Made(..) => {
                self.text(made).inspect(|text| part(text));
            }
            Content::Address(address) => write_address(address, &mut part),
            Content::Element(hop, authority) => write_element(hop, authority, &mut part),
        }
    }
}

fn write_address(address: IpAddr, part: &mut impl FnMut(&[u8])) {
    match address {
        IpAddr::V4(address) => part(&ipv4(address)),
        IpAddr::V6(address) => {
            // Nothing that takes the parts can fail.
            let _ = write!(Parts(part), "{address}");
        }
    }
}

fn write_element(hop: Hop, authority: &[u8], part: &mut impl FnMut(&[u8])) {
    part(b"for=");
    match hop.client {
        None => part(b"unknown"),
        Some(IpAddr::V4(address)) => part(&ipv4(address)),
        // RFC 7239 §6: in brackets, and so in quotes.
        Some(address) => {
            part(b"\"[");
            write_address(address, part);
            part(b"]\"");
        }
    }
    part(b";proto=");
    part(hop.scheme.name().as_bytes());
    if authority.is_empty() {
        return;
    }
    part(b";host=");
    // An authority holds nothing that would have to be escaped in a quoted string.
    let quote: &[u8] = if field::is_token(authority) { b"" } else { b"\"" };
    part(quote);
    part(authority);
    part(quote);
}

/// Takes what is formatted as parts.
struct Parts<F>(F);

impl<F: FnMut(&[u8])> Write for Parts<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        (self.0)(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::hop::ClientScheme;

    fn said(value: Value<'_>) -> String {
        let mut all = Vec::new();
        value.write(&Made::default(), |part| all.extend_from_slice(part));
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn no_value_ends_its_line() {
        for text in ["a\r\nb: c", "a\nb", "a\0", "\x7f"] {
            assert_eq!(Value::new(text.as_bytes()), None, "{text:?}");
            let mut made = Made::default();
            let kept = made.keep(|out| out.extend_from_slice(text.as_bytes()));
            assert_eq!((kept, made.0.len()), (None, 0), "{text:?}");
        }
        assert_eq!(said(Value::checked(b"a\tb")), "a\tb");
    }

    #[test]
    fn what_was_made_is_kept_apart() {
        let mut made = Made::default();
        let [first, second] = ["one", "two"]
            .map(|text| made.keep(|out| out.extend_from_slice(text.as_bytes())).unwrap());
        assert_eq!((first.text(&made), second.text(&made)), (Some(&b"one"[..]), Some(&b"two"[..])));
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in ["192.0.2.7", "2001:db8::1", "::1"] {
            assert_eq!(said(Value::address(text.parse().unwrap())), text);
        }
        assert_eq!(said(Value::address("::ffff:192.0.2.7".parse().unwrap())), "192.0.2.7");
    }

    #[test]
    fn an_element_of_forwarded_quotes_what_is_no_token() {
        let rows = [
            ("192.0.2.7", "a.b", "for=192.0.2.7;proto=http;host=a.b"),
            ("192.0.2.7", "a:80", "for=192.0.2.7;proto=http;host=\"a:80\""),
            ("::ffff:192.0.2.7", "", "for=192.0.2.7;proto=http"),
            ("2001:db8::1", "[::1]", "for=\"[2001:db8::1]\";proto=http;host=\"[::1]\""),
            ("unix", "a", "for=unknown;proto=http;host=a"),
        ];
        for (client, authority, element) in rows {
            let value = Value::forwarded(
                Hop { client: client.parse().ok(), scheme: ClientScheme::Http },
                authority.as_bytes(),
            );
            assert_eq!(said(value), element);
        }
    }
}
