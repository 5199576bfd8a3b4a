//! The head of a request: from a field section to a [`RequestHead`], under the rules that hold for every
//! request and those that HTTP/2 adds (RFC 9113 §8.2, §8.3).

use super::fields;
use super::section::FieldSection;
use crate::http::h1::framing::Framing;
use crate::http::message::authority::{agree, default_port, is_authority};
use crate::http::message::field::is_token;
use crate::http::message::head::{Fields, Method, RequestHead, Storage, Version};
use crate::http::message::rules;
use crate::reject::Reject;

/// The one protocol that a tunnel is given to (RFC 8441).
pub(super) const WEBSOCKET: &str = "websocket";

/// Reads the head of a request of at most `fields_max` fields, pseudo-header fields not counted. Cookies
/// that came in pieces are joined in `section` (RFC 9113 §8.2.3).
///
/// Fails with the rule that is broken; [`is_malformed`] says what follows from it.
pub fn read<'h, 'b>(
    section: &'b mut FieldSection,
    fields_max: usize,
    storage: &'h mut Storage<'b>,
) -> Result<RequestHead<'h, 'b>, Reject> {
    join_cookies(section)?;
    let mut pseudo = PseudoHeaders::default();
    let keep = |name, value| pseudo.keep(name, value);
    let fields = fields::read(section, fields_max, storage, keep)?;
    let method = pseudo.method()?;
    let protocol = pseudo.tunnel(method)?;
    let (Some(scheme), Some(path)) = (pseudo.scheme, pseudo.path) else {
        return Err(Reject::PseudoHeader);
    };
    let default_port = default_port(scheme).ok_or(Reject::Target)?;
    let target = target(path, method)?;
    let authority = authority(&fields, pseudo.authority, default_port)?;
    rules::refuse_odd_expectation(&fields)?;
    let semantics = if protocol.is_some() { Method::of("GET") } else { Method::of(method) };
    let version = Version::Http2;
    Ok(RequestHead { method, protocol, semantics, target, version, authority, fields })
}

/// What the method of a request means, as far as that can be told of one that may be refused: whether its
/// answer may have a body.
pub fn method(section: &FieldSection) -> Method {
    let written = section.iter().find(|(name, _)| *name == b":method");
    let written = written.and_then(|(_, method)| std::str::from_utf8(method).ok());
    written.map_or(Method::Other, Method::of)
}

/// The framing of the body of a request, of which HTTP/2 may say nothing but its length: one that is
/// unknown is what HTTP/1.1 frames in chunks. `ends` if nothing comes after the head.
pub fn framing(head: &RequestHead<'_, '_>, ends: bool) -> Result<Framing, Reject> {
    let length = rules::content_length(&head.fields)?;
    match (length, ends) {
        // What comes through a tunnel is no body of the request for it (RFC 9110 §9.3.6).
        (Some(_), _) if head.protocol.is_some() => Err(Reject::ContentLength),
        _ if head.protocol.is_some() => Ok(Framing::Empty),
        (None, true) => Ok(Framing::Empty),
        (Some(1..), true) => Err(Reject::LengthMismatch),
        (Some(length), _) => Ok(Framing::Length(length)),
        (None, false) => Ok(Framing::Chunked),
    }
}

/// Whether a message refused for this reason is malformed for HTTP/2 itself, so that its stream is reset
/// with `PROTOCOL_ERROR` (RFC 9113 §8.1.1). Any other request is well-formed HTTP/2 that we do not serve,
/// and gets [`Reject::status`], which tells its client more.
pub fn is_malformed(reject: Reject) -> bool {
    matches!(
        reject,
        // RFC 9113 §8.2.1, §8.2.2, §8.3: what fields and pseudo-header fields there may be.
        Reject::FieldName
            | Reject::FieldValue
            | Reject::ConnectionField
            | Reject::PseudoHeader
            // RFC 9113 §8.3.1: a request that names two hosts.
            | Reject::HostMismatch
            // RFC 9113 §8.1.1: a length that no body can have, or that this one does not have.
            | Reject::ContentLength
            | Reject::DuplicateContentLength
            | Reject::LengthMismatch
            // The head has been passed on, and may have been answered.
            | Reject::Trailer
            | Reject::ForbiddenTrailer
            | Reject::TrailerTooLarge
    )
}

/// The pseudo-header fields of a request (RFC 9113 §8.3.1, RFC 8441 §4).
#[derive(Default)]
struct PseudoHeaders<'b> {
    method: Option<&'b [u8]>,
    scheme: Option<&'b [u8]>,
    path: Option<&'b [u8]>,
    authority: Option<&'b [u8]>,
    protocol: Option<&'b [u8]>,
}

impl<'b> PseudoHeaders<'b> {
    /// Each may be there once; a request has no others.
    fn keep(&mut self, name: &[u8], value: &'b [u8]) -> Result<(), Reject> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            _ => return Err(Reject::PseudoHeader),
        };
        if place.replace(value).is_some() { Err(Reject::PseudoHeader) } else { Ok(()) }
    }

    fn method(&self) -> Result<&'b str, Reject> {
        let method = self.method.filter(|method| is_token(method));
        method.and_then(|method| std::str::from_utf8(method).ok()).ok_or(Reject::PseudoHeader)
    }

    /// The protocol of the tunnel that is asked for, if one is. Other tunnels are not for a gateway.
    fn tunnel(&self, method: &str) -> Result<Option<&'b str>, Reject> {
        match (Method::of(method), self.protocol) {
            (Method::Connect, Some(protocol)) => {
                let is_known = protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes());
                if is_known { Ok(Some(WEBSOCKET)) } else { Err(Reject::Connect) }
            }
            // RFC 9113 §8.5: a CONNECT has neither, and says whereto.
            (Method::Connect, None) => match (self.scheme, self.path, self.authority) {
                (None, None, Some(_)) => Err(Reject::Connect),
                _ => Err(Reject::PseudoHeader),
            },
            (_, Some(_)) => Err(Reject::PseudoHeader),
            (_, None) => Ok(None),
        }
    }
}

/// The target, which has to be there (RFC 9113 §8.3.1) and in origin-form, or the `*` of OPTIONS.
fn target<'b>(path: &'b [u8], method: &str) -> Result<&'b str, Reject> {
    if path.is_empty() {
        return Err(Reject::PseudoHeader);
    }
    let target = std::str::from_utf8(path).map_err(|_| Reject::Target)?;
    let is_good = rules::is_clean_target(target) && rules::is_in_origin_form(target, method);
    if is_good { Ok(target) } else { Err(Reject::Target) }
}

/// The authority, which Host names where `:authority` does not, and may not contradict
/// (RFC 9113 §8.3.1).
fn authority<'b>(
    fields: &Fields<'_, 'b>,
    authority: Option<&'b [u8]>,
    default_port: u16,
) -> Result<&'b [u8], Reject> {
    match (authority, rules::host(fields)?) {
        (None, None) => Err(Reject::MissingHost),
        (None, Some(host)) => Ok(host),
        // RFC 9110 §4.2.1: no host of http is empty.
        (Some(authority), _) if authority.is_empty() || !is_authority(authority) => {
            Err(Reject::InvalidHost)
        }
        (Some(authority), Some(host)) if !agree(authority, host, default_port) => {
            Err(Reject::HostMismatch)
        }
        (Some(authority), _) => Ok(authority),
    }
}

/// For the compression's sake clients cut a Cookie into pieces, which HTTP/1.1 does not know
/// (RFC 9113 §8.2.3).
fn join_cookies(section: &mut FieldSection) -> Result<(), Reject> {
    const COOKIE: &[u8] = b"cookie";
    let crumbs = || section.iter().filter(|(name, _)| *name == COOKIE);
    if crumbs().nth(1).is_none() {
        return Ok(());
    }
    // Once they are joined, white space around one cannot be seen.
    if !crumbs().all(|(_, value)| fields::is_field_value(value)) {
        return Err(Reject::FieldValue);
    }
    section.join(COOKIE, b"; ");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::http::h1::encode::{self, ConnectionHeader};
    use crate::http::h1::persistence::Options;
    use crate::http::message::edits::Edits;

    /// A section of lines like `:path /` and `accept */*`.
    fn section(lines: &str) -> FieldSection {
        let mut section = FieldSection::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            section.push(name.as_bytes(), value.as_bytes());
        }
        section
    }

    /// What reading comes to: method, target and authority, or the refusal.
    fn read_section(section: &mut FieldSection) -> Result<(String, String, String), Reject> {
        let mut storage = Storage::new();
        let head = read(section, 32, &mut storage)?;
        let authority = String::from_utf8_lossy(head.authority).into_owned();
        Ok((head.method.to_owned(), head.target.to_owned(), authority))
    }

    fn refused(lines: &str) -> Reject {
        read_section(&mut section(lines)).expect_err(lines)
    }

    const GET: &str = ":method GET\n:scheme https\n:path /a?b\n:authority a";

    /// What is written to an endpoint that speaks HTTP/1.1.
    fn written(lines: &str, ends: bool) -> String {
        let (mut section, mut storage) = (section(lines), Storage::new());
        let head = read(&mut section, 32, &mut storage).expect(lines);
        let framing = framing(&head, ends).expect(lines);
        let (options, edits) = (Options::of(&head.fields), Edits::new());
        let mut out = Buffer::new();
        encode::request(&head, options, &edits, framing, ConnectionHeader::Implied, &mut out)
            .unwrap();
        String::from_utf8(out.filled().to_vec()).unwrap()
    }

    #[test]
    fn a_request_becomes_one_of_http_1_1() {
        let lines = [GET, "accept */*", "expect 100-continue", "te trailers"].join("\n");
        assert_eq!(
            written(&lines, false),
            "GET /a?b HTTP/1.1\r\nHost: a\r\naccept: */*\r\nexpect: 100-continue\r\n\
             Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
        );
        assert_eq!(written(GET, true), "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
    }

    #[test]
    fn pseudo_header_fields_are_there_once_and_first() {
        for line in GET.lines().filter(|line| !line.starts_with(":authority")) {
            let without = GET.replacen(line, "accept */*", 1);
            assert_eq!(refused(&without), Reject::PseudoHeader, "{without:?}");
        }
        for line in GET.lines() {
            let twice = format!("{line}\n{GET}");
            assert_eq!(refused(&twice), Reject::PseudoHeader, "{twice:?}");
            let mut lines: Vec<_> = GET.lines().filter(|other| *other != line).collect();
            lines.extend(["accept */*", line]);
            let behind = lines.join("\n");
            assert_eq!(refused(&behind), Reject::PseudoHeader, "{behind:?}");
        }
        for line in [":status 200", ":unknown a", ": a", ":Path /", ":protocol websocket"] {
            assert_eq!(refused(&format!("{line}\n{GET}")), Reject::PseudoHeader, "{line}");
        }
        assert_eq!(refused(&GET.replace("GET", "G T")), Reject::PseudoHeader);
        assert_eq!(refused(&GET.replace("GET", "")), Reject::PseudoHeader);
        assert_eq!(refused(&GET.replace("/a?b", "")), Reject::PseudoHeader);
    }

    #[test]
    fn targets_and_schemes_are_those_of_http_1_1() {
        let rows = [
            ("GET", "*", Reject::Target),
            ("GET", "a", Reject::Target),
            ("GET", "?a", Reject::Target),
            ("GET", "/#a", Reject::Target),
            ("GET", "/a b", Reject::Target),
            ("GET", "/a\u{e9}", Reject::Target),
            ("GET", "/\r", Reject::Target),
            ("GET", "/\0", Reject::Target),
            ("GET", "http://a/", Reject::Target),
            ("OPTIONS", "*a", Reject::Target),
        ];
        for (method, path, reject) in rows {
            let mut section = FieldSection::new();
            section.push(b":method", method.as_bytes());
            section.push(b":scheme", b"http");
            section.push(b":path", path.as_bytes());
            section.push(b":authority", b"a");
            assert_eq!(read_section(&mut section), Err(reject), "{path:?}");
        }
        assert_eq!(refused(&GET.replace("https", "ftp")), Reject::Target);
        let options = GET.replace("GET", "OPTIONS").replace("/a?b", "*");
        assert_eq!(read_section(&mut section(&options)).unwrap().1, "*");
        assert!(read_section(&mut section(&GET.replace("https", "HTTP"))).is_ok());
    }

    #[test]
    fn the_authority_and_host_name_one_host() {
        let rows = [
            ("a", None, Ok("a")),
            ("a:443", Some("A"), Ok("a:443")),
            ("a", Some("a:443"), Ok("a")),
            ("-", Some("a:80"), Ok("a:80")),
            ("-", Some(""), Ok("")),
            ("-", None, Err(Reject::MissingHost)),
            ("a", Some("b"), Err(Reject::HostMismatch)),
            ("a", Some("a:80"), Err(Reject::HostMismatch)),
            ("a", Some(""), Err(Reject::HostMismatch)),
            ("a", Some("a\nhost a"), Err(Reject::DuplicateHost)),
            ("a", Some("a b"), Err(Reject::InvalidHost)),
            ("", None, Err(Reject::InvalidHost)),
            ("u@a", None, Err(Reject::InvalidHost)),
            ("a/b", None, Err(Reject::InvalidHost)),
            ("a,b", None, Err(Reject::InvalidHost)),
        ];
        for (authority, host, expected) in rows {
            let mut lines = GET.replace(":authority a", &format!(":authority {authority}"));
            if authority == "-" {
                lines = GET.replace("\n:authority a", "");
            }
            let lines = lines + &host.map(|host| format!("\nhost {host}")).unwrap_or_default();
            let found = read_section(&mut section(&lines)).map(|(_, _, authority)| authority);
            assert_eq!(found, expected.map(str::to_owned), "{lines:?}");
        }
    }

    #[test]
    fn the_authority_becomes_the_host_field() {
        let lines = format!("{GET}\naccept */*\nhost A:443");
        let head = written(&lines, true);
        assert_eq!(head, "GET /a?b HTTP/1.1\r\naccept: */*\r\nhost: a\r\n\r\n");
    }

    #[test]
    fn names_have_no_upper_case_and_values_no_white_space_around_them() {
        let names: [&[u8]; 7] = [b"Accept", b"accepT", b"a b", b"", b"a:", b"\xe9", b"a\0"];
        let values: [&[u8]; 8] = [b" a", b"a ", b"\ta", b"a\t", b"a\0", b"a\rb", b"a\nb", b"a\x7f"];
        let names = names.map(|name| (name, &b"a"[..], Reject::FieldName));
        let values = values.map(|value| (&b"cookie"[..], value, Reject::FieldValue));
        for (name, value, reject) in names.into_iter().chain(values) {
            for more in [&b"accept"[..], b"cookie"] {
                let mut section = section(GET);
                section.push(more, b"b");
                section.push(name, value);
                let case = || format!("{}: {}", name.escape_ascii(), value.escape_ascii());
                assert_eq!(read_section(&mut section), Err(reject), "{}", case());
            }
        }
        for value in [&b""[..], b"a\tb", b"\xe9"] {
            let mut section = section(GET);
            section.push(b"a", value);
            assert!(read_section(&mut section).is_ok(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn there_are_no_fields_of_a_connection() {
        for line in [
            "connection close",
            "connection te",
            "keep-alive timeout=5",
            "proxy-connection keep-alive",
            "transfer-encoding chunked",
            "upgrade websocket",
            "http2-settings AA",
            "te gzip",
            "te trailers, gzip",
            "te ",
            "te trailers\nte gzip",
        ] {
            assert_eq!(refused(&format!("{GET}\n{line}")), Reject::ConnectionField, "{line}");
        }
    }

    #[test]
    fn fields_are_counted_without_pseudo_header_fields() {
        let fields = |count| format!("{GET}{}", "\na b".repeat(count));
        assert!(read_section(&mut section(&fields(32))).is_ok());
        assert_eq!(refused(&fields(33)), Reject::TooManyFields);
        let mut section = section(&fields(257));
        assert_eq!(
            read(&mut section, 1000, &mut Storage::new()).err(),
            Some(Reject::TooManyFields)
        );
    }

    #[test]
    fn expectations_are_those_of_http_1_1() {
        assert_eq!(refused(&format!("{GET}\nexpect x")), Reject::Expectation);
    }

    #[test]
    fn pieces_of_a_cookie_are_joined() {
        let lines = format!("{GET}\ncookie a=1\naccept */*\ncookie b=2; c=3\ncookie ");
        let head = written(&lines, true);
        assert!(head.ends_with("accept: */*\r\ncookie: a=1; b=2; c=3\r\n\r\n"), "{head}");
    }

    #[test]
    fn connect_asks_for_a_tunnel_to_a_websocket_or_is_refused() {
        let connect = GET.replace("GET", "CONNECT");
        let rows = [
            (":method CONNECT\n:authority a:1".into(), Reject::Connect),
            (":method CONNECT".into(), Reject::PseudoHeader),
            (connect.clone(), Reject::PseudoHeader),
            (format!("{connect}\n:protocol connect-udp"), Reject::Connect),
            (":method CONNECT\n:protocol websocket\n:authority a".into(), Reject::PseudoHeader),
            (
                ":method CONNECT\n:protocol websocket\n:scheme https\n:path /".into(),
                Reject::MissingHost,
            ),
            (format!("{GET}\n:protocol websocket"), Reject::PseudoHeader),
        ];
        for (lines, reject) in rows {
            assert_eq!(refused(&lines), reject, "{lines:?}");
        }
        assert_eq!(
            written(&format!("{connect}\n:protocol websocket\norigin https://a"), false),
            "GET /a?b HTTP/1.1\r\nHost: a\r\norigin: https://a\r\nUpgrade: websocket\r\n\
             Connection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_as_long_as_it_says() {
        let length = |value: &str| format!("\ncontent-length {value}");
        let tunnel = "\n:protocol websocket".to_owned();
        let rows = [
            ("", String::new(), true, Ok(Framing::Empty)),
            ("", String::new(), false, Ok(Framing::Chunked)),
            ("", length("0"), true, Ok(Framing::Length(0))),
            ("", length("5"), false, Ok(Framing::Length(5))),
            ("", length("5"), true, Err(Reject::LengthMismatch)),
            ("", length("5") + &length("5"), false, Err(Reject::DuplicateContentLength)),
            ("", length("5, 5"), false, Err(Reject::ContentLength)),
            ("", length("+5"), true, Err(Reject::ContentLength)),
            ("CONNECT", tunnel.clone(), false, Ok(Framing::Empty)),
            ("CONNECT", tunnel + &length("5"), false, Err(Reject::ContentLength)),
        ];
        for (method, more, ends, expected) in rows {
            let method = if method.is_empty() { "GET" } else { method };
            let (mut section, mut storage) =
                (section(&(GET.replace("GET", method) + &more)), Storage::new());
            let head = read(&mut section, 32, &mut storage).expect(&more);
            assert_eq!(framing(&head, ends), expected, "{more:?} {ends}");
        }
    }

    #[test]
    fn what_breaks_a_rule_of_http_2_is_malformed_and_the_rest_is_answered() {
        for reject in Reject::ALL {
            if is_malformed(reject) {
                assert_eq!(reject.status(), 400, "{reject:?}");
            }
        }
        for reject in [Reject::Connect, Reject::Expectation, Reject::TooManyFields, Reject::Loop] {
            assert!(!is_malformed(reject), "{reject:?}");
        }
    }
}
