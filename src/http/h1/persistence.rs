//! Whether a connection may carry another message (RFC 9112 §9.3).

use std::cmp::Ordering;

use crate::http::message::field::{self, Name, is};
use crate::http::message::head::{FIELDS_CEILING, Fields, Version};

/// What the Connection fields of a head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each option stands or not, whatever the others")]
pub struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    names_fields: bool,
}

impl Options {
    /// Reads every Connection field.
    pub fn of(fields: &Fields<'_, '_>) -> Self {
        let mut options = Self::default();
        for value in fields.values(Name::Connection) {
            // Nearly always it is one word, and taking lists apart costs more than all the rest.
            if options.add_known(value) {
                continue;
            }
            for option in field::list(value) {
                options.add(option);
            }
        }
        options
    }

    fn add(&mut self, option: &[u8]) {
        if !self.add_known(option) {
            self.names_fields = true;
        }
    }

    /// Adds an option that means more than the field of its name; says whether it is one.
    #[inline]
    fn add_known(&mut self, option: &[u8]) -> bool {
        match option.len() {
            2 => return is(option, b"te"),
            5 if is(option, b"close") => self.close = true,
            7 if is(option, b"upgrade") => self.upgrade = true,
            10 if is(option, b"keep-alive") => self.keep_alive = true,
            _ => return false,
        }
        true
    }

    /// Whether the sender means the connection to be used again. `close` wins over all.
    pub fn persists(self, version: Version) -> bool {
        match version {
            _ if self.close => false,
            Version::Http11 | Version::Http2 => true,
            Version::Http10 => self.keep_alive,
        }
    }

    /// Whether Upgrade was named, as it must be to count (RFC 9110 §7.8).
    pub fn upgrades(self) -> bool {
        self.upgrade
    }

    /// Whether fields are named at all, TE aside, which is never passed on as it came.
    pub fn names_fields(self) -> bool {
        self.names_fields
    }

    /// Whether `name` is named, and so meant for this connection only. For one name: for all fields
    /// of a head there is [`Named`].
    pub fn names(self, fields: &Fields<'_, '_>, name: &[u8]) -> bool {
        self.names_fields
            && fields
                .values(Name::Connection)
                .flat_map(field::list)
                .any(|option| option.eq_ignore_ascii_case(name))
    }
}

/// The fields of a head that its Connection options name, and that are so meant for this connection
/// only. A field that frames or routes the message is never dropped this way: those are written again
/// in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named([u64; FIELDS_CEILING / 64]);

impl Named {
    /// Those of `fields`, whose options are these; `None`, as nearly always, if no field is named.
    #[inline]
    pub fn of(fields: &Fields<'_, '_>, options: Options) -> Option<Self> {
        options.names_fields.then(|| Self::search(fields))
    }

    /// There may be as many options and as many fields as fit into a head: each option is looked up
    /// among the sorted names, since comparing each with each took milliseconds.
    #[cold]
    #[inline(never)]
    fn search(fields: &Fields<'_, '_>) -> Self {
        let mut sorted = [(&b""[..], 0); FIELDS_CEILING];
        let mut count = 0;
        for ((_, name, _), place) in fields.iter().zip(&mut sorted) {
            *place = (name, count);
            count += 1;
        }
        let sorted = &mut sorted[..count];
        sorted.sort_unstable_by(|(one, _), (other, _)| order(one, other));
        // Of fields with one name the first in this order stands for all of them.
        let mut firsts = Self::default();
        for option in fields.values(Name::Connection).flat_map(field::list) {
            let first = sorted.partition_point(|(name, _)| order(name, option).is_lt());
            if sorted.get(first).is_some_and(|(name, _)| order(name, option).is_eq()) {
                firsts.insert(first);
            }
        }
        let (mut named, mut first) = (Self::default(), 0);
        for (place, (name, field)) in sorted.iter().enumerate() {
            if order(sorted[first].0, name).is_ne() {
                first = place;
            }
            if firsts.has(first) {
                named.insert(*field);
            }
        }
        named
    }

    /// Whether the field with this index is among them.
    pub fn has(&self, field: usize) -> bool {
        self.0[field / 64] >> (field % 64) & 1 != 0
    }

    fn insert(&mut self, field: usize) {
        self.0[field / 64] |= 1 << (field % 64);
    }
}

/// Some order of names in which those that differ in case only are equal.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    field::step();
    one.len().cmp(&other.len()).then_with(|| lower(one).cmp(lower(other)))
}

fn lower(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(u8::to_ascii_lowercase)
}

/// Whether a head names a protocol to change to, in Upgrade and by its Connection option (RFC 9110
/// §7.8), that may be passed on: asked for by a request, agreed to by a 101. HTTP itself never
/// may (`h2c`, `HTTP/2.0`): the two sides would go on in it, unparsed, on what is believed to be a
/// tunnel.
pub fn names_protocol(fields: &Fields<'_, '_>, options: Options, version: Version) -> bool {
    let mut protocols = fields.values(Name::Upgrade).flat_map(field::list).peekable();
    version == Version::Http11
        && options.upgrades()
        && protocols.peek().is_some()
        && protocols.all(|protocol| !is_http(protocol))
}

/// Whether a protocol of Upgrade, `name[/version]`, is HTTP in whatever version.
fn is_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    ["h2c", "h2", "http"].iter().any(|http| name.eq_ignore_ascii_case(http.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::{RequestHead, Storage};

    fn with<T>(fields: &str, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let limits = Limits { head_bytes_max: 4096, fields_max: 32 };
        look(&parse::request(bytes.as_bytes(), &limits, &mut Storage::new()).unwrap())
    }

    #[test]
    fn persistence_by_version_and_option() {
        let rows = [
            ("", true, false),
            ("Connection: keep-alive\r\n", true, true),
            ("Connection: close\r\n", false, false),
            ("Connection: Close, Keep-Alive\r\n", false, false),
            ("Connection: keep-alive\r\nConnection: close\r\n", false, false),
        ];
        for (fields, in_11, in_10) in rows {
            let options = with(fields, |head| Options::of(&head.fields));
            assert_eq!(options.persists(Version::Http11), in_11, "{fields:?}");
            assert_eq!(options.persists(Version::Http10), in_10, "{fields:?}");
        }
    }

    #[test]
    fn fields_named_by_connection_are_recognised_in_any_case() {
        with("Connection: close, X-Secret\r\nx-secret: 1\r\n", |head| {
            let options = Options::of(&head.fields);
            assert!(options.names(&head.fields, b"x-secret"));
            assert!(!options.names(&head.fields, b"x-other"));
        });
    }

    #[test]
    fn all_fields_that_are_named_are_found_however_often_they_stand() {
        let fields = "X-B: 1\r\nx-a: 2\r\nConnection: X-A,x-c, ,X-D\r\nX-A: 3\r\nX-BB: 4\r\n\
                      CONNECTION: x-d, x-a\r\nX-C: 5\r\nX-A: 6\r\n";
        with(fields, |head| {
            let options = Options::of(&head.fields);
            let named = Named::of(&head.fields, options).unwrap();
            for (place, (_, name, _)) in head.fields.iter().enumerate() {
                assert_eq!(named.has(place), options.names(&head.fields, name), "{place}");
            }
            assert_eq!((0..FIELDS_CEILING).filter(|place| named.has(*place)).count(), 4);
        });
    }

    #[test]
    fn an_upgrade_needs_its_connection_option_and_is_never_h2c() {
        let rows = [
            ("Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
            ("Upgrade: websocket\r\n", false),
            ("Connection: Upgrade\r\n", false),
            ("Connection: Upgrade\r\nUpgrade: h2c\r\n", false),
            ("Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n", false),
            ("Connection: Upgrade\r\nUpgrade: h2c/2\r\n", false),
            ("Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", false),
        ];
        for (fields, named) in rows {
            let found = with(fields, |head| {
                names_protocol(&head.fields, Options::of(&head.fields), head.version)
            });
            assert_eq!(found, named, "{fields:?}");
        }
    }
}
