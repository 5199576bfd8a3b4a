//! The head of a message as it was parsed: borrowed from the bytes it was read from, no copies.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;

use arrayvec::ArrayVec;

use super::field::{Name, step};
use crate::reject::Reject;

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

/// A field as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Field<'b> {
    /// What it means.
    pub(in crate::http) known: Name,
    /// A token.
    pub(in crate::http) name: &'b [u8],
    /// Without the white space around it.
    pub(in crate::http) value: &'b [u8],
    /// Where its line begins in the head, if that is written just as we would write it.
    pub(in crate::http) line: Option<NonZeroU32>,
}

impl Field<'_> {
    /// Its line in the head, if it can go on as it came.
    #[inline]
    pub(in crate::http) fn line(&self) -> Option<Range<usize>> {
        let length = self.name.len() + b": ".len() + self.value.len() + b"\r\n".len();
        self.line.map(|start| start.get() as usize..start.get() as usize + length)
    }
}

/// Room for the fields of one head, on the stack: to allocate it took 250 instructions for each request.
pub struct Storage<'b> {
    pub(in crate::http) listed: ArrayVec<Field<'b>, FIELDS_CEILING>,
}

impl<'b> Storage<'b> {
    /// Without any.
    pub fn new() -> Self {
        Self { listed: ArrayVec::new_const() }
    }

    /// Appends a field, whose name is a token, if there is room for it.
    pub(in crate::http) fn add(&mut self, name: &'b [u8], value: &'b [u8]) -> Result<(), Reject> {
        let field = Field { known: Name::of(name), name, value, line: None };
        self.listed.try_push(field).map_err(|_| Reject::TooManyFields)
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
    listed: &'h [Field<'b>],
    /// The head that they stand in, if it has lines.
    head: &'b [u8],
    /// How many bytes of it are its first line, if that is written just as we would write it.
    first_line: usize,
    /// A bit for each [`Name`] that is there.
    present: u32,
    /// A bit for each that is there more than once.
    repeated: u32,
    /// Where the last field of each stands, if there is one.
    last: [u8; Name::COUNT],
}

impl<'h, 'b> Fields<'h, 'b> {
    #[inline]
    pub(in crate::http) fn new(storage: &'h Storage<'b>, head: &'b [u8]) -> Self {
        let listed = &storage.listed;
        let (first_line, present, repeated, last) = (0, 0, 0, [0; Name::COUNT]);
        let mut fields = Self { listed, head, first_line, present, repeated, last };
        // There are no more than 256.
        let mut at = 0_u8;
        for field in listed {
            let bit = field.known.bit();
            fields.repeated |= fields.present & bit;
            fields.present |= bit;
            fields.last[field.known as usize] = at;
            at = at.wrapping_add(1);
        }
        fields
    }

    /// The first line of their head is so many bytes long, and can go on as it came.
    #[inline]
    pub(in crate::http) fn after_line(self, first_line: usize) -> Self {
        Self { first_line, ..self }
    }

    /// Where the first line of their head stands, if it can go on as it came.
    #[inline]
    pub(in crate::http) fn first_line(&self) -> Option<Range<usize>> {
        (self.first_line > 0).then_some(0..self.first_line)
    }

    /// Every field, with where it stands in [`Fields::head`].
    #[inline]
    pub(in crate::http) fn listed(&self) -> impl Iterator<Item = &'h Field<'b>> + use<'h, 'b> {
        self.listed.iter().inspect(|_| step())
    }

    /// The head that they stand in, if it has lines.
    pub(in crate::http) fn head(&self) -> &'b [u8] {
        self.head
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// Every field: what its name means, the name as written, the value without the white space
    /// around it.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &'b [u8], &'b [u8])> + use<'h, 'b> {
        self.listed.iter().map(|field| {
            step();
            (field.known, field.name, field.value)
        })
    }

    /// The values of every field of that name, in order.
    pub fn values(&self, wanted: Name) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        // Most that are asked for are not there, and most that are, are there once.
        let searched = match (self.has(wanted), self.repeated & wanted.bit() != 0) {
            (false, _) => &[],
            (true, true) => self.listed,
            (true, false) => {
                let at = usize::from(self.last[wanted as usize]);
                self.listed.get(at..=at).unwrap_or_default()
            }
        };
        let is_wanted = move |field: &&Field<'_>| {
            step();
            field.known == wanted
        };
        searched.iter().filter(is_wanted).map(|field| field.value)
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
        fields: Fields {
            listed: &[],
            head: &[],
            first_line: 0,
            present: 0,
            repeated: 0,
            last: [0; Name::COUNT],
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_a_name_is_found_wherever_it_stands() {
        for (first, second) in [(0, 0), (0, 255), (7, 8), (255, 255)] {
            let mut storage = Storage::new();
            for at in 0..FIELDS_CEILING {
                let name: &[u8] = if at == first || at == second { b"Host" } else { b"X" };
                storage.add(name, if at == first { b"a" } else { b"b" }).unwrap();
            }
            assert_eq!(storage.add(b"X", b"b"), Err(Reject::TooManyFields));
            let fields = Fields::new(&storage, b"");
            let expected: &[&[u8]] = if first == second { &[b"a"] } else { &[b"a", b"b"] };
            assert_eq!(fields.values(Name::Host).collect::<Vec<_>>(), expected, "{first} {second}");
            assert_eq!(fields.values(Name::Date).next(), None);
        }
    }
}
