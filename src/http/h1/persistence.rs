//! Whether a connection may carry another message (RFC 9112 §9.3).

use crate::http::message::field::{self, Name};
use crate::http::message::head::{Fields, Version};

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
            if !value.contains(&b',') && !value.is_empty() {
                options.add(value);
                continue;
            }
            for option in field::list(value) {
                options.add(option);
            }
        }
        options
    }

    fn add(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else if !option.eq_ignore_ascii_case(b"te") {
            self.names_fields = true;
        }
    }

    /// Whether the sender means the connection to be used again. `close` wins over all.
    pub fn persists(self, version: Version) -> bool {
        match version {
            _ if self.close => false,
            Version::Http11 => true,
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

    /// Whether `name` is named, and so meant for this connection only. A field that frames or
    /// routes the message is never dropped this way: those are written anew in any case.
    pub fn names(self, fields: &Fields<'_, '_>, name: &str) -> bool {
        self.names_fields
            && fields
                .values(Name::Connection)
                .flat_map(field::list)
                .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
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
            assert!(options.names(&head.fields, "x-secret"));
            assert!(!options.names(&head.fields, "x-other"));
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
