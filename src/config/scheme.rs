//! What stands before the address of an endpoint: what it speaks.

use crate::upstream::endpoint::Scheme;

/// Parses `[SCHEME://]ADDRESS`: what the endpoint speaks, and the rest.
pub(super) fn read(text: &str) -> Result<(Scheme, &str), String> {
    match text.split_once("://") {
        None => refuse_half(text).map(|()| (Scheme::Http, text)),
        Some((before, _)) if before.starts_with("unix:") || before.starts_with("file:") => {
            Ok((Scheme::Http, text))
        }
        Some((name, rest)) => match Scheme::of_name(name) {
            Some(scheme) => Ok((scheme, rest)),
            None => Err(match late(name) {
                Some((kind, scheme)) => {
                    format!("{text:?}: a scheme comes first: write {scheme}://{kind}:{rest}")
                }
                None => {
                    format!(
                        "{text:?}: unknown scheme {name:?}: write http://, https://, h2c://, h2:// or none"
                    )
                }
            }),
        },
    }
}

/// The scheme that follows the kind of a source.
fn late(name: &str) -> Option<(&str, &str)> {
    let (kind, scheme) = name.split_once(':')?;
    (["dns", "srv"].contains(&kind) && Scheme::of_name(scheme).is_some()).then_some((kind, scheme))
}

/// Refuses a scheme without its slashes. A host may have the name of one: then only a port follows.
fn refuse_half(text: &str) -> Result<(), String> {
    let Some((name, rest)) = text.split_once(':') else { return Ok(()) };
    let address = rest.trim_start_matches('/');
    match Scheme::of_name(name) {
        Some(_) if address.contains(':') || address.len() < rest.len() => {
            Err(format!("{text:?}: two slashes follow a scheme: write {name}://{address}"))
        }
        _ => Ok(()),
    }
}

/// Connections that are relayed as they are have no scheme.
pub(super) fn refuse(endpoint: &str) -> Result<(), String> {
    let endpoint = endpoint.trim();
    if !endpoint.starts_with("unix:") && endpoint.contains("://") {
        return Err(format!(
            "{endpoint:?}: connections are relayed as they are: leave the scheme out"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_protocol::AppProtocol;

    #[test]
    fn each_scheme_has_its_protocol_with_or_without_tls() {
        let rows = [
            ("a:1", Scheme::Http, AppProtocol::Http1, false),
            ("http://a:1", Scheme::Http, AppProtocol::Http1, false),
            ("https://a:1", Scheme::Https, AppProtocol::Http1, true),
            ("h2c://a:1", Scheme::H2c, AppProtocol::Http2, false),
            ("h2://a:1", Scheme::H2, AppProtocol::Http2, true),
        ];
        for (text, scheme, protocol, is_tls) in rows {
            assert_eq!(read(text), Ok((scheme, "a:1")), "{text}");
            assert_eq!((scheme.protocol(), scheme.is_tls()), (protocol, is_tls), "{text}");
        }
        for scheme in ["h2", "h2c", "https"] {
            let text = format!("{scheme}://unix:/a://b");
            assert_eq!(read(&text).map(|found| found.1), Ok("unix:/a://b"));
        }
        assert_eq!(read("unix:/h2://b"), Ok((Scheme::Http, "unix:/h2://b")));
    }

    #[test]
    fn a_scheme_without_its_slashes_is_told_apart_from_a_host_of_that_name() {
        for text in ["h2c:127.0.0.1:1", "h2c:/127.0.0.1:1"] {
            let what = "two slashes follow a scheme: write h2c://127.0.0.1:1";
            assert_eq!(read(text), Err(format!("{text:?}: {what}")));
        }
        assert_eq!(read("h2c:1"), Ok((Scheme::Http, "h2c:1")));
    }
}
