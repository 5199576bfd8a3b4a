//! The admin listener's address and token.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::mistake::Mistakes;
use super::sources::Sources;
use super::value::{self, Resolve};
use crate::address::Address;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: Address,
    /// The file with its token, if it requires one.
    pub token_file: Option<PathBuf>,
}

impl Admin {
    /// The admin listener that is configured, if any.
    pub(super) fn of(
        sources: &Sources,
        resolve: Resolve<'_>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let token_file = sources.flags.admin_token_file.as_ref().map(PathBuf::from);
        let Some(text) = &sources.flags.admin else {
            if token_file.is_some() {
                let place = sources.place("admin-token-file");
                mistakes.add(&place, "has no effect without --admin");
            }
            return None;
        };
        let place = sources.place("admin");
        let mut addresses = mistakes.take(&place, value::addresses(text, resolve))?.into_iter();
        let (Some(address), None) = (addresses.next(), addresses.next()) else {
            mistakes
                .add(&place, format!("{text:?} resolves to several addresses: give one of them"));
            return None;
        };
        if let Address::Tcp(tcp) = &address
            && !tcp.ip().is_loopback()
            && token_file.is_none()
        {
            let required = place.setting("admin-token-file");
            let what = format!("{tcp} is reachable from other machines: {required} is required");
            mistakes.add(&place, what);
        }
        Some(Self { address, token_file })
    }
}

/// The secret that clients of the admin listener must send.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Reads a token of 1 to 256 visible ASCII characters, ignoring surrounding white space, from a
    /// file that others cannot read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let read = || {
            let file = File::open(path)?;
            let mode = file.metadata()?.permissions().mode();
            let mut text = Vec::new();
            file.take(4 * TOKEN_BYTES_MAX as u64).read_to_end(&mut text)?;
            Ok((mode, text))
        };
        let (mode, text) = read().map_err(|error: std::io::Error| format!("{shown}: {error}"))?;
        // The group may read it, since Kubernetes mounts secrets for non-root users that way.
        if mode & 0o037 != 0 {
            return Err(format!(
                "{shown} is accessible to others (mode {:o}): chmod it to 600 or 640",
                mode & 0o777
            ));
        }
        let token = text.trim_ascii();
        let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len());
        if !fits || !token.iter().all(u8::is_ascii_graphic) {
            let what = "must contain a token of 1 to 256 visible ASCII characters";
            return Err(format!("{shown} {what}"));
        }
        Ok(Self(token.into()))
    }

    /// What is sent to show that one has it; visible ASCII characters.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `given` is the token, compared in constant time.
    pub fn is(&self, given: &[u8]) -> bool {
        let differing = self.0.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == given.len() && std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_whole_or_not_at_all() {
        let token = Token(b"secret".as_slice().into());
        for (given, same) in [("secret", true), ("secreT", false), ("secre", false), ("", false)] {
            assert_eq!(token.is(given.as_bytes()), same, "{given}");
        }
        assert!(!token.is(b"secrets"));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
