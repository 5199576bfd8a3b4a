//! How endpoints are checked, as it is written.

use crate::grpc::health::SERVICE_BYTES_MAX;
use crate::upstream::settings::Check;

/// Parses `tcp`, `http:/path`, `https:/path`, `grpc`, `grpc:SERVICE` or `off`.
pub(super) fn read(text: &str) -> Result<Check, String> {
    match text.split_once(':') {
        None if text == "off" => Ok(Check::Off),
        None if text == "tcp" => Ok(Check::Tcp),
        None if text == "grpc" => Ok(Check::Grpc(String::new())),
        Some(("grpc", service)) if is_service(service) => Ok(Check::Grpc(service.to_owned())),
        Some(("grpc", _)) => Err(format!(
            "invalid value {text:?}: a service has a name of 1 to {SERVICE_BYTES_MAX} visible ASCII \
             characters: write grpc for the whole server"
        )),
        Some((scheme @ ("http" | "https"), path)) if path.starts_with("//") => {
            let path = path[2..].find('/').map_or("/", |host| &path[2 + host..]);
            Err(format!(
                "invalid value {text:?}: a check has no host, it is of each endpoint: write {scheme}:{path}"
            ))
        }
        Some(("http", path)) if is_target(path) => Ok(Check::Http(path.to_owned())),
        Some(("https", path)) if is_target(path) => Ok(Check::Https(path.to_owned())),
        _ => Err(format!(
            "invalid value {text:?}: expected tcp, http:/path, https:/path, grpc[:SERVICE] or off"
        )),
    }
}

fn is_target(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_service(name: &str) -> bool {
    (1..=SERVICE_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        assert_eq!(read("tcp"), Ok(Check::Tcp));
        assert_eq!(read("off"), Ok(Check::Off));
        assert_eq!(read("http:/ok"), Ok(Check::Http("/ok".to_owned())));
        assert_eq!(read("https:/ok"), Ok(Check::Https("/ok".to_owned())));
        for bad in ["http", "http:ok", "https:", "http:/a b", "tcp:1", "", "GRPC", "grpcs:a"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let rows = [("http://a.example", "write http:/"), ("https://a/b/c", "write https:/b/c")];
        for (bad, remedy) in rows {
            assert!(read(bad).unwrap_err().ends_with(remedy), "{bad}");
        }
    }

    #[test]
    fn a_grpc_check_names_a_service_or_none() {
        assert_eq!(read("grpc"), Ok(Check::Grpc(String::new())));
        for service in ["a.B", "a/b:c", &"s".repeat(SERVICE_BYTES_MAX)] {
            assert_eq!(read(&format!("grpc:{service}")), Ok(Check::Grpc(service.to_owned())));
        }
        for service in ["", "a b", "\u{e9}", "a\n", &"s".repeat(SERVICE_BYTES_MAX + 1)] {
            let told = read(&format!("grpc:{service}")).unwrap_err();
            assert!(told.ends_with("write grpc for the whole server"), "{told}");
        }
    }
}
