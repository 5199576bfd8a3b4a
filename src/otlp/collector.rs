//! Where spans go.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

use crate::http::message::authority;

/// Where collectors take traces, if their URL names no path.
const PATH: &str = "/v1/traces";

/// The URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Whether TLS is spoken.
    pub is_https: bool,
    /// The host, without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// What Host says.
    pub authority: Box<str>,
    /// The path, with the query if there is one.
    pub path: Box<str>,
}

impl Collector {
    /// The name that its certificate has to be for.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.to_string()).ok()
    }
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("invalid URL {text:?}: {why}");
        let form = "expected http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:4318";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(form))?;
        let is_https = match scheme {
            "http" => false,
            "https" => true,
            "grpc" => {
                return Err(wrong(
                    "OTLP over gRPC is not spoken: give the port for HTTP, often 4318",
                ));
            }
            _ => return Err(wrong(form)),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (named, path) = rest.split_at(end);
        if named.contains('@') {
            return Err(wrong("it holds a user: give a header with otlp_headers instead"));
        }
        let host = authority::host(named.as_bytes()).len();
        let (host, port) = named.split_at_checked(host).ok_or_else(|| wrong(form))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = match port.strip_prefix(':') {
            None => Ok(if is_https { 443 } else { 80 }),
            Some(port) => port.parse().map_err(|_| wrong("its port is no number up to 65535")),
        }?;
        if host.is_empty() || port == 0 || !authority::is_authority(named.as_bytes()) {
            return Err(wrong(form));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
            return Err(wrong("its path holds what no request may have there"));
        }
        let path = match path {
            "" | "/" => PATH.into(),
            path if path.starts_with('?') => format!("{PATH}{path}").into(),
            path => path.into(),
        };
        let collector = Self { is_https, host: bare.into(), port, authority: named.into(), path };
        if is_https && collector.server_name().is_none() {
            return Err(wrong("no certificate can be for its host"));
        }
        Ok(collector)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        // A query may hold a key.
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_is_that_of_traces() {
        let rows = [
            ("http://127.0.0.1:4318", "127.0.0.1", 4318, "/v1/traces"),
            ("http://otel/", "otel", 80, "/v1/traces"),
            ("https://otel.example", "otel.example", 443, "/v1/traces"),
            ("http://[::1]:1/custom?key=x", "::1", 1, "/custom?key=x"),
        ];
        for (text, host, port, path) in rows {
            let read: Collector = text.parse().unwrap();
            assert_eq!((&*read.host, read.port, &*read.path), (host, port, path), "{text}");
        }
        let shown: Collector = "http://[::1]:1/custom?key=x".parse().unwrap();
        assert_eq!(shown.to_string(), "http://[::1]:1/custom");
    }

    #[test]
    fn what_is_no_url_of_a_collector_says_what_to_write() {
        let rows = [
            ("127.0.0.1:4318", "such as http://127.0.0.1:4318"),
            ("grpc://otel:4317", "often 4318"),
            ("http://", "such as http"),
            ("http://a:b", "its port"),
            ("http://a:0", "such as http"),
            ("http://me:secret@a", "otlp_headers"),
            ("http://a/b c", "its path"),
        ];
        for (text, expected) in rows {
            let told = text.parse::<Collector>().unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }
}
