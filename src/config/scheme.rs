//! What stands before the address of an endpoint: what it speaks.

use crate::upstream::endpoint::Scheme;

/// Parses `[SCHEME://]ADDRESS`: what the endpoint speaks, and the rest.
pub(super) fn read(text: &str) -> Result<(Scheme, &str), String> {
    match text.split_once("://") {
        None => Ok((Scheme::Http, text)),
        Some((before, _)) if before.starts_with("unix:") => Ok((Scheme::Http, text)),
        Some((name, rest)) => match Scheme::of_name(name) {
            Some(scheme) => Ok((scheme, rest)),
            None => Err(format!(
                "{text:?}: unknown scheme {name:?}: write http://, https://, h2c://, h2:// or none"
            )),
        },
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
}
