//! What a request is hashed by, where the policy is `hash`.

use std::net::IpAddr;

use crate::hash::hash;
use crate::http::message::authority::host;
use crate::http::message::head::RequestHead;
use crate::http::message::lookup;
use crate::upstream::settings::HashOn;

/// The [hash] of the key of a request from `client`, the real one, whose normalised path this is; none
/// if it has no key, or an empty one: those requests are spread.
///
/// Of a name that is repeated the first value counts. A client is hashed by the 4 or 16 octets of its
/// address, a host in lower case and without its port, a target by its normalised path and its query as
/// it came, a parameter as it is decoded, and everything else by its bytes.
pub fn of_request(
    hash_on: &HashOn,
    head: &RequestHead<'_, '_>,
    path: &[u8],
    client: Option<IpAddr>,
) -> Option<u64> {
    match hash_on {
        HashOn::Client => client.map(of_client),
        HashOn::Path => Some(hash(path)),
        HashOn::Target if head.query().is_empty() => Some(hash(path)),
        HashOn::Target => Some(hash(&[path, head.query().as_bytes()].concat())),
        HashOn::Host => of_value(&host(head.authority).to_ascii_lowercase()),
        HashOn::Header(name) => lookup::headers(&head.fields, name).next().and_then(of_value),
        HashOn::Cookie(name) => lookup::cookies(&head.fields, name).next().and_then(of_value),
        HashOn::Query(name) => {
            let value = lookup::parameters(head.query(), name).next();
            value.and_then(|value| of_value(&value))
        }
    }
}

/// That of a client by its address.
pub fn of_client(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

fn of_value(value: &[u8]) -> Option<u64> {
    (!value.is_empty()).then(|| hash(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;
    use crate::route::normalise;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    fn key(hash_on: &HashOn, head: &str) -> Option<u64> {
        let bytes = format!("GET {head}\r\n\r\n");
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let path = normalise(head.path().as_bytes()).unwrap();
        of_request(hash_on, &head, &path, Some([192, 0, 2, 7].into()))
    }

    #[test]
    fn each_kind_of_key_is_hashed_by_what_it_says() {
        let head = "/a/%62?q=1&id=x%20y HTTP/1.1\r\nHost: A.Example:8080\r\nX-User: u\r\n\
                    Cookie: s=t; c=1\r\nCookie: c=2";
        let rows: [(HashOn, &[u8]); 8] = [
            (HashOn::Client, &[192, 0, 2, 7]),
            (HashOn::Path, b"/a/b"),
            (HashOn::Target, b"/a/b?q=1&id=x%20y"),
            (HashOn::Host, b"a.example"),
            (HashOn::Header("x-user".into()), b"u"),
            (HashOn::Cookie("c".into()), b"1"),
            (HashOn::Query("id".into()), b"x y"),
            (HashOn::Query("q".into()), b"1"),
        ];
        for (hash_on, expected) in rows {
            assert_eq!(key(&hash_on, head), Some(hash(expected)), "{hash_on:?}");
        }
    }

    #[test]
    fn what_is_missing_or_empty_is_no_key() {
        let head = "/?q= HTTP/1.0\r\nX-User:\r\nCookie: c=";
        for hash_on in [
            HashOn::Host,
            HashOn::Header("x-user".into()),
            HashOn::Header("x-other".into()),
            HashOn::Cookie("c".into()),
            HashOn::Cookie("d".into()),
            HashOn::Query("q".into()),
            HashOn::Query("r".into()),
        ] {
            assert_eq!(key(&hash_on, head), None, "{hash_on:?}");
        }
    }

    #[test]
    fn an_address_counts_the_same_however_it_is_mapped() {
        let (mapped, plain) = ("::ffff:192.0.2.7".parse().unwrap(), [192, 0, 2, 7].into());
        assert_eq!(of_client(mapped), of_client(plain));
    }
}
