//! Commands for endpoints: drain, ready and down.

use tokio::time::Instant;

use super::http::AdminAnswer;
use crate::control::state::ControlState;
use crate::session::record::log_availability;
use crate::upstream::admin_state::AdminMode;

/// A command, and the endpoint it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointCommand {
    upstream: String,
    address: String,
    mode: AdminMode,
}

impl EndpointCommand {
    /// Parses `/upstreams/NAME/endpoints/ADDR/drain`, or `ready` or `down`; names are percent-encoded.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let mut words = path.strip_prefix('/')?.split('/');
        let mut next = || words.next().and_then(decoded);
        let (of, upstream, at, address) = (next()?, next()?, next()?, next()?);
        let verb = next()?;
        let known = [AdminMode::Ready, AdminMode::Drained, AdminMode::Down];
        let mode = known.into_iter().find(|mode| mode.verb() == verb)?;
        let fits = of == "upstreams" && at == "endpoints" && words.next().is_none();
        fits.then_some(Self { upstream, address, mode })
    }

    /// Executes the command.
    pub(crate) fn follow(&self, control_state: &ControlState) -> AdminAnswer {
        let (plan, now) = (control_state.facts().plan, control_state.epoch.tick(Instant::now()));
        let Self { upstream: name, address, mode } = self;
        let mut found = 0;
        for upstream in plan.upstreams.iter().filter(|upstream| *upstream.name == **name) {
            let named = |address: &String| {
                upstream.endpoints.iter().find(|known| known.address.to_string() == *address)
            };
            let Some(endpoint) = named(address) else { continue };
            found += 1;
            if endpoint.record.admin_state.set(*mode, now) {
                log::warn!("{name}: {address} {} by command", done(*mode));
                log_availability(upstream);
            }
        }
        if found == 0 {
            return AdminAnswer::text(
                404,
                "no such endpoint: write the name of an upstream and an address as in /status\n",
            );
        }
        AdminAnswer::text(200, format!("{name}: {address} {}\n", done(*mode)))
    }
}

/// The effect of a command, for the log and the response.
const fn done(mode: AdminMode) -> &'static str {
    match mode {
        AdminMode::Ready => "is ready",
        AdminMode::Drained => "is drained",
        AdminMode::Down => "is taken down",
    }
}

/// Percent-decodes a path segment (RFC 3986 §2.1); `None` if it is malformed.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (hex, after) = rest.split_first_chunk::<2>()?;
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(hex[0])? << 4 | digit(hex[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_endpoint_and_what_to_do() {
        let of = |path: &str| {
            EndpointCommand::of(path).map(|found| (found.upstream, found.address, found.mode))
        };
        let named = |upstream: &str, address: &str, mode| {
            Some((upstream.to_owned(), address.to_owned(), mode))
        };
        let rows = [
            ("/upstreams/a/endpoints/1.2.3.4:5/drain", named("a", "1.2.3.4:5", AdminMode::Drained)),
            (
                "/upstreams/%2Fa%2f/endpoints/%5B::1%5D:5/ready",
                named("/a/", "[::1]:5", AdminMode::Ready),
            ),
            ("/upstreams/a/endpoints/unix:%2Fx/down", named("a", "unix:/x", AdminMode::Down)),
            ("/upstreams/a/endpoints/b/up", None),
            ("/upstreams/a/endpoints/b/drain/c", None),
            ("/upstreams/a/endpoints/b", None),
            ("/upstreams/%zz/endpoints/b/drain", None),
            ("/upstreams/%ff/endpoints/b/drain", None),
            ("/upstreams/%2/endpoints/b%/drain", None),
        ];
        for (path, expected) in rows {
            assert_eq!(of(path), expected, "{path}");
        }
    }
}
