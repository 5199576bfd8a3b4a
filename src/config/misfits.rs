//! What an upstream is set to do, and what its endpoints speak.

use crate::app_protocol::AppProtocol;
use crate::proxy_protocol::Version;
use crate::upstream::endpoint::{Endpoint, Scheme};
use crate::upstream::settings::Check;

/// Whether a check goes over what its endpoints speak.
pub(super) fn check_fits(check: &Check, endpoints: &[Endpoint]) -> Result<(), String> {
    let path = match check {
        Check::Off | Check::Tcp => return Ok(()),
        Check::Http(path) | Check::Https(path) => path,
        Check::Grpc(_) => return grpc_fits(endpoints),
    };
    let over_tls = matches!(check, Check::Https(_));
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

    use super::*;
    use crate::address::Address;

    fn endpoint(scheme: Scheme) -> Endpoint {
        let mut endpoint = Endpoint::new(Address::Unix("/a".into()), NonZeroU16::MIN, 1);
        endpoint.scheme = scheme;
        endpoint
    }

    #[test]
    fn a_check_goes_over_what_its_endpoints_speak() {
        let (path, service) = (String::from("/up"), String::new());
        let checks = [Check::Http(path.clone()), Check::Https(path), Check::Grpc(service)];
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
            for check in [Check::Off, Check::Tcp] {
                assert_eq!(check_fits(&check, &[endpoint(scheme)]), Ok(()));
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
