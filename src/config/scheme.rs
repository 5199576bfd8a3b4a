//! What stands before the address of an endpoint: what it speaks.

use crate::app_protocol::AppProtocol;
use crate::upstream::endpoint::Scheme;

/// Parses `[SCHEME://]ADDRESS`: what the endpoint speaks, and the rest.
pub(super) fn read(text: &str) -> Result<(Scheme, &str), String> {
    known(text).and_then(|found| supported(found, text))
}

fn known(text: &str) -> Result<(Scheme, &str), String> {
    match text.split_once("://") {
        None => Ok((Scheme::Http, text)),
        Some((before, _)) if before.starts_with("unix:") => Ok((Scheme::Http, text)),
        Some((name, rest)) => match Scheme::of_name(name) {
            Some(scheme) => Ok((scheme, rest)),
            None => {
                Err(format!("{text:?}: unknown scheme {name:?}: write https://, http:// or none"))
            }
        },
    }
}

/// Requests are not translated for HTTP/2 endpoints, nor are their checks.
fn supported<'a>(found: (Scheme, &'a str), text: &str) -> Result<(Scheme, &'a str), String> {
    let (scheme, name) = found;
    match scheme.protocol() {
        AppProtocol::Http1 => Ok(found),
        AppProtocol::Http2 => {
            let other = if scheme.is_tls() { "https" } else { "http" };
            let what = "HTTP/2 to endpoints is not supported";
            Err(format!("{text:?}: {what}: write {other}://{name} for HTTP/1.1"))
        }
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
            assert_eq!(known(text), Ok((scheme, "a:1")), "{text}");
            assert_eq!((scheme.protocol(), scheme.is_tls()), (protocol, is_tls), "{text}");
        }
        for scheme in ["h2", "h2c", "https"] {
            let text = format!("{scheme}://unix:/a://b");
            assert_eq!(known(&text).map(|found| found.1), Ok("unix:/a://b"));
        }
        assert_eq!(known("unix:/h2://b"), Ok((Scheme::Http, "unix:/h2://b")));
    }

    #[test]
    fn http2_to_endpoints_is_refused_with_what_to_write_instead() {
        let rows = [("h2://a:1", "write https://a:1"), ("h2c://a:1", "write http://a:1")];
        for (text, remedy) in rows {
            let expected =
                format!("{text:?}: HTTP/2 to endpoints is not supported: {remedy} for HTTP/1.1");
            assert_eq!(read(text), Err(expected));
        }
        assert_eq!(read("https://a:1"), Ok((Scheme::Https, "a:1")));
    }
}
