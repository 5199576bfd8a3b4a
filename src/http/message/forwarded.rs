//! What an endpoint is told of the client and of earlier hops: X-Forwarded-* and
//! Forwarded.

use super::edits::{EditName, Edits, Value};
use super::field::Name;
use super::head::RequestHead;
use super::hop::Hop;

/// What only a client that is trusted may say.
const OF_EARLIER_HOPS: [Name; 5] = [
    Name::Forwarded,
    Name::ForwardedFor,
    Name::ForwardedHost,
    Name::ForwardedProto,
    Name::ForwardedOther,
];

/// Adds what the endpoint is told of a request that came by `hop`. What a trusted client says of earlier
/// hops is kept and added to; what others say of them is left out. What anybody says of certificates of
/// clients is: we say that ourselves.
pub fn edit<'a>(edits: &mut Edits<'a>, head: &RequestHead<'_, 'a>, hop: Hop, trusted: bool) {
    edits.withhold(Name::ClientCert);
    let address = hop.client.map(Value::address);
    let says = |name: Name| trusted && head.fields.has(name);
    if trusted {
        edits.append(EditName::X_FORWARDED_FOR, address.unwrap_or(Value::NOTHING));
    } else {
        for name in OF_EARLIER_HOPS {
            edits.withhold(name);
        }
        if let Some(address) = address {
            edits.set(EditName::X_FORWARDED_FOR, address);
        }
    }
    // Most endpoints read X-Forwarded-*: Forwarded goes on where there is some.
    if says(Name::Forwarded) {
        edits.append(EditName::FORWARDED, Value::forwarded(hop, head.authority));
    }
    if !says(Name::ForwardedProto) {
        edits.set(EditName::X_FORWARDED_PROTO, Value::checked(hop.scheme.name().as_bytes()));
    }
    if !says(Name::ForwardedHost) && !head.authority.is_empty() {
        edits.set(EditName::X_FORWARDED_HOST, Value::checked(head.authority));
    }
}

/// Whether the proxy that a request came from says that it has got it over https; only the word of one that
/// is trusted counts.
pub fn says_https(head: &RequestHead<'_, '_>) -> bool {
    let is_https = |proto: &[u8]| proto.eq_ignore_ascii_case(b"https");
    head.fields.values(Name::ForwardedProto).next().is_some_and(is_https)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::http::h1::encode::{self, ConnectionHeader};
    use crate::http::h1::framing::Framing;
    use crate::http::h1::parse;
    use crate::http::h1::persistence::Options;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;
    use crate::http::message::hop::ClientScheme;

    const CLIENT: &str = "192.0.2.7";

    /// The field lines of what an endpoint gets of a request with these, from `client`.
    fn told(fields: &str, client: &str, trusted: bool) -> String {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a:80\r\n{fields}\r\n");
        let limits = Limits { head_bytes_max: 4096, fields_max: 32 };
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &limits, &mut storage).unwrap();
        let (mut edits, mut out) = (Edits::new(), Buffer::new());
        let hop = Hop { client: client.parse().ok(), scheme: ClientScheme::Http };
        edit(&mut edits, &head, hop, trusted);
        encode::request(
            &head,
            Options::of(&head.fields),
            &edits,
            Framing::Empty,
            ConnectionHeader::Implied,
            &mut out,
        )
        .unwrap();
        let written = String::from_utf8(out.filled().to_vec()).unwrap();
        let lines = written.strip_prefix("GET / HTTP/1.1\r\nHost: a:80\r\n").unwrap();
        lines.strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn an_untrusted_client_says_nothing_about_earlier_hops() {
        let said = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n\
                    X-Real-IP: 6.6.6.6\r\n";
        let ours = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n";
        assert_eq!(told(said, CLIENT, false), format!("X-Forwarded-For: {CLIENT}\r\n{ours}"));
        assert_eq!(told(said, "unix", false), ours);
    }

    #[test]
    fn a_trusted_client_is_appended_to() {
        let said = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
                    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n";
        let kept = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n";
        for (client, list) in [
            (CLIENT, "1.1.1.1, 2.2.2.2, 192.0.2.7"),
            ("2001:db8::1", "1.1.1.1, 2.2.2.2, 2001:db8::1"),
            ("unix", "1.1.1.1, 2.2.2.2"),
        ] {
            let expected = format!("{kept}X-Forwarded-For: {list}\r\n");
            assert_eq!(told(said, client, true), expected);
        }
    }

    #[test]
    fn no_member_of_what_is_appended_to_is_empty() {
        let kept = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n";
        let rows = [
            (", a,,b", "a, b, 192.0.2.7"),
            ("a\r\nX-Forwarded-For:\r\nX-Forwarded-For: b,", "a, b, 192.0.2.7"),
            (" ,", "192.0.2.7"),
        ];
        for (list, expected) in rows {
            let told = told(&format!("{kept}X-Forwarded-For: {list}\r\n"), CLIENT, true);
            assert_eq!(told, format!("{kept}X-Forwarded-For: {expected}\r\n"), "{list:?}");
        }
    }

    #[test]
    fn forwarded_of_a_trusted_client_is_appended_to() {
        let said = "Forwarded: for=1.1.1.1;by=\"_a,b\",\r\nforwarded: for=2.2.2.2\r\n";
        let earlier = "Forwarded: for=1.1.1.1;by=\"_a,b\", for=2.2.2.2";
        for (client, name) in
            [(CLIENT, "192.0.2.7"), ("2001:db8::1", "\"[2001:db8::1]\""), ("unix", "unknown")]
        {
            let element = format!("for={name};proto=http;host=\"a:80\"");
            let told = told(said, client, true);
            assert!(told.contains(&format!("{earlier}, {element}\r\n")), "{told}");
            assert_eq!(told.lines().filter(|line| line.starts_with("Forwarded")).count(), 1);
        }
    }

    #[test]
    fn what_a_trusted_client_leaves_out_is_added() {
        let expected = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\
                        X-Forwarded-Host: a:80\r\n";
        assert_eq!(told("", CLIENT, true), expected);
    }
}
