//! The head of a message as it was parsed: borrowed from the bytes it was read from, no copies.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::Header;

use super::field::{Name, step};

/// The most fields any head may have, whatever `--max-fields` says: sizes the tables on the stack.
pub const FIELDS_CEILING: usize = 256;

/// The version of HTTP that a message was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
}

/// The request methods whose semantics matter to a proxy (RFC 9110 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Idempotent (RFC 9110 §9.2.2): GET, OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// As GET, but the answer has no body.
    Head,
    /// Asks for a tunnel to anywhere; refused.
    Connect,
    /// Anything else must not be sent twice.
    Other,
}

impl Method {
    pub(in crate::http) fn of(method: &str) -> Self {
        match method {
            "GET" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" => Self::Idempotent,
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Whether sending the request twice means no more than sending it once.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Idempotent | Self::Head)
    }
}

/// Room for the fields of one head, on the caller's stack.
pub struct Storage<'b> {
    pub(in crate::http) headers: [MaybeUninit<Header<'b>>; FIELDS_CEILING],
    /// The same of a protocol whose parser is our own: allocated where there are some.
    pub(in crate::http) listed: Vec<Header<'b>>,
    pub(in crate::http) names: [Name; FIELDS_CEILING],
}

impl Storage<'_> {
    /// Nothing is initialised but the table of names.
    pub fn new() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; FIELDS_CEILING],
            listed: Vec::new(),
            names: [Name::Other; FIELDS_CEILING],
        }
    }
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of a head, in order, each name recognised once.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b> {
    headers: &'h [Header<'b>],
    names: &'h [Name],
    /// A bit for each [`Name`] that is there: most that are asked for are not.
    present: u32,
}

impl<'h, 'b> Fields<'h, 'b> {
    pub(in crate::http) fn new(
        headers: &'h [Header<'b>],
        names: &'h mut [Name; FIELDS_CEILING],
    ) -> Self {
        let mut present = 0;
        for (header, name) in headers.iter().zip(names.iter_mut()) {
            *name = Name::of(header.name.as_bytes());
            present |= name.bit();
        }
        Self { headers, names: &names[..headers.len()], present }
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// Every field: what its name means, the name as written, the value without the white space
    /// around it.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &'b str, &'b [u8])> + use<'h, 'b> {
        let headers = self.headers.iter();
        self.names.iter().zip(headers).map(|(known, header)| {
            step();
            (*known, header.name, header.value)
        })
    }

    /// The values of every field of that name, in order.
    pub fn values(&self, wanted: Name) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let searched = if self.has(wanted) { self.names } else { &[] };
        let fields = searched.iter().zip(self.headers);
        let is_wanted = move |(known, _): &(&Name, _)| {
            step();
            **known == wanted
        };
        fields.filter(is_wanted).map(|(_, header)| header.value)
    }
}

/// The head of a request, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// The method as written: a token.
    pub method: &'b str,
    /// The protocol that a tunnel is asked for by extended CONNECT (RFC 8441): what HTTP/1.1 asks for by
    /// a GET with Upgrade.
    pub protocol: Option<&'b str>,
    /// What the method means; that of extended CONNECT is that of GET.
    pub semantics: Method,
    /// The target in origin-form or `*`, in visible ASCII; a query alone if it came in absolute-form
    /// without a path. What it comes to is [`RequestHead::path`] and [`RequestHead::query`].
    pub target: &'b str,
    /// The version it was sent with.
    pub version: Version,
    /// The host it is for: of the target if that is absolute, else of Host; empty if neither.
    pub authority: &'b [u8],
    /// Its fields.
    pub fields: Fields<'h, 'b>,
}

impl RequestHead<'static, 'static> {
    /// Stands for a head that could not be read: all of it is empty.
    pub const UNREAD: Self = Self {
        method: "",
        protocol: None,
        semantics: Method::Other,
        target: "",
        version: Version::Http11,
        authority: b"",
        fields: Fields { headers: &[], names: &[], present: 0 },
    };
}

impl<'b> RequestHead<'_, 'b> {
    /// Whether it could not be read.
    pub fn is_unread(&self) -> bool {
        self.method.is_empty()
    }

    /// The path of the target, without its query; or `*`.
    pub fn path(&self) -> &'b str {
        match self.query_start() {
            0 => "/",
            end => &self.target[..end],
        }
    }

    /// The query of the target, with its question mark, if it has one.
    pub fn query(&self) -> &'b str {
        &self.target[self.query_start()..]
    }

    /// Path and query.
    pub fn path_and_query(&self) -> Cow<'b, str> {
        match self.query_start() {
            0 => Cow::Owned(["/", self.target].concat()),
            _ => Cow::Borrowed(self.target),
        }
    }

    fn query_start(&self) -> usize {
        memchr::memchr(b'?', self.target.as_bytes()).unwrap_or(self.target.len())
    }
}

/// The head of a response, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// 100–599.
    pub status: u16,
    /// As written, or empty.
    pub reason: &'b str,
    /// The protocol of the tunnel that this 101 agrees to, if it came by HTTP/2, which has no field for it
    /// (RFC 8441 §5).
    pub protocol: Option<&'b str>,
    /// The version it was sent with.
    pub version: Version,
    /// Its fields.
    pub fields: Fields<'h, 'b>,
}

impl ResponseHead<'_, '_> {
    /// Whether the final response is still to come (RFC 9110 §15.2); 101 is final here.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}
