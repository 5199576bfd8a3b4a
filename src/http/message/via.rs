//! Via: the proxies that a message has passed (RFC 9110 §7.6.3), and requests that go in circles.

use memchr::memmem;

use super::authority::is_authority;
use super::edits::{EditName, Edits, Value};
use super::field::{Name, is_token};
use super::head::{RequestHead, ResponseHead, Version};
use crate::reject::Reject;

/// What this process adds to Via.
#[derive(Clone, Debug)]
pub struct Via {
    name: Box<str>,
    id: u64,
    /// Names this process and no other, as a comment: `(evener/…)`.
    comment: Box<str>,
    /// What endpoints are told of a request that came as HTTP/1.0, as HTTP/1.1 or as HTTP/2.
    to_endpoints: [Box<str>; 3],
    /// What clients are told of a response: no more than the name.
    to_clients: [Box<str>; 3],
}

impl Via {
    /// Under this name, of which [`is_name`] holds, and with the random `id` of this process.
    pub fn new(name: &str, id: u64) -> Self {
        let comment = format!("(evener/{id:016x})");
        // Where a minor version is written, that of HTTP/2 is 0 (RFC 9110 §2.5).
        let versions = ["1.0", "1.1", "2.0"];
        Self {
            to_endpoints: versions.map(|version| format!("{version} {name} {comment}").into()),
            to_clients: versions.map(|version| format!("{version} {name}").into()),
            comment: comment.into(),
            name: name.into(),
            id,
        }
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same under the `id` of an earlier one: after a reload it still is the same process.
    #[must_use]
    pub fn with_id_of(&self, earlier: &Self) -> Self {
        Self::new(&self.name, earlier.id)
    }

    /// Adds this hop to a request, unless it has been here before ([`Reject::Loop`]).
    pub fn edit_request<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        head: &RequestHead<'_, '_>,
    ) -> Result<(), Reject> {
        let comment = self.comment.as_bytes();
        if head.fields.values(Name::Via).any(|value| memmem::find(value, comment).is_some()) {
            return Err(Reject::Loop);
        }
        edits.add(EditName::VIA, received(&self.to_endpoints, head.version));
        Ok(())
    }

    /// Adds this hop to a response.
    pub fn edit_response<'a>(&'a self, edits: &mut Edits<'a>, head: &ResponseHead<'_, '_>) {
        edits.add(EditName::VIA, received(&self.to_clients, head.version));
    }
}

fn received([in_10, in_11, in_2]: &[Box<str>; 3], version: Version) -> Value<'_> {
    let text = match version {
        Version::Http10 => in_10,
        Version::Http11 => in_11,
        Version::Http2 => in_2,
    };
    Value::checked(text.as_bytes())
}

/// Whether Via may name a proxy like this: a token, or `host[:port]`.
pub fn is_name(text: &str) -> bool {
    is_token(text.as_bytes()) || (!text.is_empty() && is_authority(text.as_bytes()))
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
    use crate::http::message::edit_value::Made;
    use crate::http::message::head::Storage;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    /// The Via lines that a request with these arrives with.
    fn sent(version: &str, fields: &str) -> Result<String, Reject> {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage)?;
        let via = Via::new("edge", 0x2a);
        let (mut edits, mut out) = (Edits::new(), Buffer::new());
        via.edit_request(&mut edits, &head)?;
        encode::request(
            &head,
            Options::of(&head.fields),
            &edits,
            Framing::Empty,
            ConnectionHeader::Implied,
            &mut out,
        )?;
        let written = String::from_utf8(out.filled().to_vec()).unwrap();
        Ok(written.split_inclusive('\n').filter(|line| line.starts_with("Via")).collect())
    }

    #[test]
    fn a_request_is_added_to_whatever_it_has_passed() {
        let ours = "Via: 1.1 edge (evener/000000000000002a)\r\n";
        assert_eq!(sent("1.1", "").unwrap(), ours);
        assert_eq!(sent("1.0", "").unwrap(), ours.replace("1.1", "1.0"));
        let theirs = "Via: 1.0 fred, 1.1 p.example (a, b)\r\nVia: 1.1 edge\r\n";
        assert_eq!(sent("1.1", theirs).unwrap(), [theirs, ours].concat());
        assert_eq!(sent("1.1", &format!("Connection: via\r\n{theirs}")).unwrap(), ours);
    }

    #[test]
    fn the_version_that_brought_a_message_is_told() {
        let via = Via::new("edge", 0x2a);
        for (version, text) in
            [(Version::Http10, "1.0"), (Version::Http11, "1.1"), (Version::Http2, "2.0")]
        {
            let made = Made::default();
            let told = received(&via.to_clients, version).text(&made);
            assert_eq!(told, Some(format!("{text} edge").as_bytes()));
        }
    }

    #[test]
    fn a_request_that_has_been_here_is_a_loop_wherever_it_says_so() {
        let ours = "1.1 edge (evener/000000000000002a)";
        for fields in [
            format!("Via: {ours}\r\n"),
            format!("Via: 1.1 a, {ours}, 1.1 b\r\nVia: 1.1 c\r\n"),
            format!("Via: 1.1 a\r\nvia: {ours}\r\nConnection: via\r\n"),
        ] {
            assert_eq!(sent("1.1", &fields), Err(Reject::Loop), "{fields}");
        }
        assert!(sent("1.1", &format!("X-Via: {ours}\r\n")).is_ok());
        let other = Via::new("other", 1).with_id_of(&Via::new("edge", 0x2a));
        assert_eq!(&*other.comment, "(evener/000000000000002a)");
    }

    #[test]
    fn names_are_tokens_or_hosts_with_or_without_a_port() {
        for good in ["edge", "edge-1_b", "a.example:80", "[::1]:80", "10.0.0.1:8080"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a,b", "a (b)", "a:b", "a\r\n", "é"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
