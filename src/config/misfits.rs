//! What an upstream is set to do, and what its endpoints speak.

use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::proxy_protocol::Version;
use crate::upstream::check::{Check, CheckKind};
use crate::upstream::endpoint::{Endpoint, Scheme};

/// Whether a check goes over what its endpoints speak.
pub(super) fn check_fits(check: &Check, endpoints: &[Endpoint]) -> Result<(), String> {
    let path = match &check.kind {
        CheckKind::Off | CheckKind::Tcp => return Ok(()),
        // In plain text, whatever is spoken at their own port.
        CheckKind::Http(_) if !check.is_of_requests() => return Ok(()),
        CheckKind::Http(request) | CheckKind::Https(request) => &request.path,
        CheckKind::Grpc(_) => return grpc_fits(endpoints),
    };
    let over_tls = matches!(check.kind, CheckKind::Https(_));
    let one = |is_tls| endpoints.iter().find(|known| known.scheme.is_tls() == is_tls);
    let Some(misfit) = one(!over_tls) else { return Ok(()) };
    let shown = written(misfit.scheme, misfit);
    Err(match (one(over_tls), over_tls) {
        (Some(other), _) => format!(
            "a check by a path goes over TLS or in plain text, and does not suit both {shown} and {}: write tcp, \
             or two upstreams",
            written(other.scheme, other)
        ),
        (None, false) => {
            format!("a check in plain text does not suit {shown}: write https:{path}")
        }
        (None, true) => {
            let other = written(misfit.scheme.over_tls(), misfit);
            format!("a check over TLS does not suit {shown}: write http:{path}, or {other}")
        }
    })
}

/// Whether its endpoints have ports, where a check asks another one.
pub(super) fn port_fits(check: &Check, endpoints: &[Endpoint]) -> Result<(), String> {
    let mut sockets = endpoints.iter().filter(|known| matches!(known.address, Address::Unix(_)));
    match sockets.next().filter(|_| check.port.is_some()) {
        None => Ok(()),
        Some(socket) => Err(format!("port: {} has none: leave port out", socket.address)),
    }
}

fn grpc_fits(endpoints: &[Endpoint]) -> Result<(), String> {
    let mut misfits = endpoints.iter().filter(|known| known.protocol() != AppProtocol::Http2);
    let Some(misfit) = misfits.next() else { return Ok(()) };
    let shown = written(misfit.scheme, misfit);
    let other = written(misfit.scheme.over_http2(), misfit);
    Err(format!("a check by gRPC takes HTTP/2: write {other} instead of {shown}"))
}

/// A PROXY header speaks for one client, and a connection of HTTP/2 carries the requests of many.
pub(super) fn announcement_fits(
    announces: Option<Version>,
    endpoints: &[Endpoint],
) -> Result<(), String> {
    let mut shared = endpoints.iter().filter(|known| known.protocol() == AppProtocol::Http2);
    match shared.next().filter(|_| announces.is_some()) {
        None => Ok(()),
        Some(endpoint) => {
            let shown = written(endpoint.scheme, endpoint);
            let other = if endpoint.scheme.is_tls() { Scheme::Https } else { Scheme::Http };
            Err(format!(
                "a PROXY header does not suit {shown}, where clients share connections: leave proxy out, \
                 or write {}",
                written(other, endpoint)
            ))
        }
    }
}

/// An endpoint as it could be written.
fn written(scheme: Scheme, endpoint: &Endpoint) -> String {
    match scheme {
        Scheme::Http => endpoint.name.to_string(),
        scheme => format!("{}://{}", scheme.name(), endpoint.name),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::time::Duration;

    use super::*;
    use crate::upstream::check::HttpCheck;

    fn endpoint(scheme: Scheme) -> Endpoint {
        let mut endpoint = Endpoint::new(Address::Unix("/a".into()), NonZeroU16::MIN, 1);
        endpoint.scheme = scheme;
        endpoint
    }

    fn every_second(kind: CheckKind) -> Check {
        Check::every(Duration::from_secs(1), kind)
    }

    #[test]
    fn another_port_is_asked_in_plain_text_and_needs_an_endpoint_with_ports() {
        let asked = |kind| {
            let port = NonZeroU16::new(8081);
            Check { port, ..every_second(kind) }
        };
        let http = asked(CheckKind::Http(HttpCheck::get("/up")));
        let https = asked(CheckKind::Https(HttpCheck::get("/up")));
        for scheme in [Scheme::Http, Scheme::Https, Scheme::H2c, Scheme::H2] {
            let fits = check_fits(&https, &[endpoint(scheme)]).is_ok();
            assert_eq!((check_fits(&http, &[endpoint(scheme)]), fits), (Ok(()), scheme.is_tls()));
        }
        let told = port_fits(&http, &[endpoint(Scheme::Http)]).unwrap_err();
        assert_eq!(told, "port: unix:/a has none: leave port out");
        let tcp = Address::Tcp(([127, 0, 0, 1], 1).into());
        assert_eq!(port_fits(&http, &[Endpoint::new(tcp, NonZeroU16::MIN, 1)]), Ok(()));
        let kind = CheckKind::Tcp;
        assert_eq!(port_fits(&every_second(kind), &[endpoint(Scheme::Http)]), Ok(()));
    }

    #[test]
    fn a_check_goes_over_what_its_endpoints_speak() {
        let request = HttpCheck::get("/up");
        let kinds = [
            CheckKind::Http(request.clone()),
            CheckKind::Https(request),
            CheckKind::Grpc(String::new()),
        ];
        let checks = kinds.map(every_second);
        let over_tls = |shown: &str, other: &str| {
            format!("a check over TLS does not suit {shown}: write http:/up, or {other}")
        };
        let in_plain =
            |shown: &str| format!("a check in plain text does not suit {shown}: write https:/up");
        let by_grpc = |shown: &str, other: &str| {
            format!("a check by gRPC takes HTTP/2: write {other} instead of {shown}")
        };
        let (http, https) = ("unix:/a", "https://unix:/a");
        let (h2c, h2) = ("h2c://unix:/a", "h2://unix:/a");
        let rows = [
            (Scheme::Http, ["", &over_tls(http, https), &by_grpc(http, h2c)]),
            (Scheme::Https, [&in_plain(https), "", &by_grpc(https, h2)]),
            (Scheme::H2c, ["", &over_tls(h2c, h2), ""]),
            (Scheme::H2, [&in_plain(h2), "", ""]),
        ];
        for (scheme, expected) in rows {
            for (check, expected) in checks.iter().zip(expected) {
                let told = check_fits(check, &[endpoint(scheme)]).err().unwrap_or_default();
                assert_eq!(told, expected, "{check:?}");
            }
            for kind in [CheckKind::Off, CheckKind::Tcp] {
                assert_eq!(check_fits(&every_second(kind), &[endpoint(scheme)]), Ok(()));
            }
        }
        let both = "a check by a path goes over TLS or in plain text, and does not suit both";
        let of_both = [endpoint(Scheme::H2c), endpoint(Scheme::Https)];
        for (check, which) in
            checks.iter().zip([format!("{https} and {h2c}"), format!("{h2c} and {https}")])
        {
            let told = format!("{both} {which}: write tcp, or two upstreams");
            assert_eq!(check_fits(check, &of_both), Err(told));
        }
        let one_of_two = [endpoint(Scheme::H2c), endpoint(Scheme::Http)];
        assert_eq!(check_fits(&checks[2], &one_of_two), Err(by_grpc(http, h2c)));
    }
}
