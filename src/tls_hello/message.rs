//! The message: a ClientHello without its header (RFC 8446 §4.1.2).

use std::ops::RangeInclusive;

use super::name::{NoName, ServerName};
use crate::reject::Reject;

/// The type of the `server_name` extension (RFC 6066 §3).
const SERVER_NAME: [u8; 2] = [0, 0];

/// The type of a name that is a host's (RFC 6066 §3).
const HOST_NAME: u8 = 0;

/// `legacy_version` and `random`. The version is not looked at: it says nothing about TLS 1.3, and is
/// the endpoint's business before that.
const FIXED_BYTES: usize = 2 + 32;

const SESSION_ID_BYTES: RangeInclusive<usize> = 0..=32;
const CIPHER_SUITES_BYTES: RangeInclusive<usize> = 2..=0xfffe;
const COMPRESSION_METHODS_BYTES: RangeInclusive<usize> = 1..=0xff;
const ANY: RangeInclusive<usize> = 0..=0xffff;
const NOT_EMPTY: RangeInclusive<usize> = 1..=0xffff;

/// What a ClientHello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name of the host it asks for, if it names one.
    pub server_name: Option<ServerName>,
}

/// Reads a whole message. Each vector must have a length that RFC 8446 or RFC 6066 allows, and contain
/// exactly what its length says.
pub(super) fn read(message: &[u8]) -> Result<Hello, Reject> {
    let mut rest = Rest(message);
    rest.take(FIXED_BYTES)?;
    rest.vector::<1>(SESSION_ID_BYTES)?;
    let cipher_suites = rest.vector::<2>(CIPHER_SUITES_BYTES)?;
    if !cipher_suites.0.len().is_multiple_of(2) {
        return Err(Reject::ClientHello);
    }
    rest.vector::<1>(COMPRESSION_METHODS_BYTES)?;
    // Before TLS 1.3 there may be no extensions at all (RFC 5246 §7.4.1.2).
    let mut extensions = if rest.is_empty() { Rest(&[]) } else { rest.vector::<2>(ANY)? };
    rest.end()?;
    let mut hello = Hello { server_name: None };
    let mut is_named = false;
    while !extensions.is_empty() {
        let kind = extensions.take(SERVER_NAME.len())?;
        let content = extensions.vector::<2>(ANY)?;
        if kind == SERVER_NAME {
            // No type may occur twice (RFC 8446 §4.2). Twice this one, and an endpoint may read the other.
            if is_named {
                return Err(Reject::ClientHello);
            }
            is_named = true;
            hello.server_name = server_name(content)?;
        }
    }
    Ok(hello)
}

/// Reads the extension's list: at most one name of each type, of which only one is defined. Another
/// would begin with a length of 16 bits too (RFC 6066 §3), and is skipped.
fn server_name(mut content: Rest<'_>) -> Result<Option<ServerName>, Reject> {
    let mut list = content.vector::<2>(NOT_EMPTY)?;
    content.end()?;
    let mut host = None;
    while !list.is_empty() {
        let kind = list.take(1)?;
        let name = list.vector::<2>(NOT_EMPTY)?;
        if kind == [HOST_NAME] && host.replace(name.0).is_some() {
            return Err(Reject::ClientHello);
        }
    }
    match host.map(ServerName::read).transpose() {
        Ok(name) => Ok(name),
        // Some clients send the address that they connect to. It names no host.
        Err(NoName::Address) => Ok(None),
        Err(NoName::Malformed) => Err(Reject::ServerName),
    }
}

/// What has not been read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn end(self) -> Result<(), Reject> {
        if self.is_empty() { Ok(()) } else { Err(Reject::ClientHello) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Reject> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Reject::ClientHello)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A vector of so many bytes, after its length in `N` bytes (RFC 8446 §3.4).
    fn vector<const N: usize>(&mut self, allowed: RangeInclusive<usize>) -> Result<Self, Reject> {
        let length = self.take(N)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if !allowed.contains(&length) {
            return Err(Reject::ClientHello);
        }
        self.take(length).map(Rest)
    }
}
