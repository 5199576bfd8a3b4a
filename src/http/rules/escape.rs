//! Makes what a variable says fit where it stands.

/// What a body is made of, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySyntax {
    /// Text, in which no byte means anything.
    Plain,
    /// HTML, XML or SVG.
    Markup,
    /// JSON, or a script.
    Json,
}

impl BodySyntax {
    /// That of a media type (RFC 9110 §8.3.1).
    pub fn of(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        if essence.ends_with("html") || essence.ends_with("xml") {
            Self::Markup
        } else if essence.ends_with("json") || essence.ends_with("javascript") {
            Self::Json
        } else {
            Self::Plain
        }
    }
}

/// Replaces what may not stand in a field (RFC 9110 §5.5), and line breaks above all, by spaces, in what
/// `out` has from `from` on.
pub(super) fn in_field(out: &mut [u8], from: usize) {
    for byte in &mut out[from..] {
        if byte.is_ascii_control() && *byte != b'\t' {
            *byte = b' ';
        }
    }
}

/// What of a text is kept in a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UriText {
    /// Whatever means something in a URI, as the person who wrote it has meant it.
    Written,
    /// The same but `#`: nothing that was requested has a fragment.
    Requested,
    /// Only what means nothing (`unreserved`, RFC 3986 §2.3).
    Data,
}

impl UriText {
    fn keeps(self, byte: u8) -> bool {
        let means_something = match self {
            Self::Written => b":/?#[]@!$&'()*+,;=".contains(&byte),
            Self::Requested => b":/?[]@!$&'()*+,;=".contains(&byte),
            Self::Data => false,
        };
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || means_something
    }
}

/// Percent-encodes what may not stand in a URI (RFC 3986 §2.1), in what `out` has from `from` on. Escapes
/// stay as they are, unless it is data.
pub(super) fn in_uri(out: &mut Vec<u8>, from: usize, text: UriText) {
    if out[from..].iter().all(|byte| text.keeps(*byte)) {
        return;
    }
    let raw = out.split_off(from);
    for (at, byte) in raw.iter().enumerate() {
        let is_escape = *byte == b'%' && text != UriText::Data && is_hex(&raw[at + 1..]);
        if is_escape || text.keeps(*byte) {
            out.push(*byte);
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let (high, low) = (byte >> 4, byte & 15);
            out.extend([b'%', DIGITS[usize::from(high)], DIGITS[usize::from(low)]]);
        }
    }
}

/// A text as it is written in a URI.
pub fn written_in_uri(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    in_uri(&mut out, 0, UriText::Written);
    String::from_utf8_lossy(&out).into_owned()
}

fn is_hex(digits: &[u8]) -> bool {
    matches!(digits, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Makes text of what `out` has from `from` on: nothing in it ends a line, opens a tag or ends a string.
pub(super) fn in_body(out: &mut Vec<u8>, from: usize, syntax: BodySyntax) {
    in_field(out, from);
    let means_something: &[u8] = match syntax {
        BodySyntax::Plain => return,
        BodySyntax::Markup => b"&<>\"'",
        // A script may have either quote, and stand in a page.
        BodySyntax::Json => b"\"'\\<\t",
    };
    let is_text = |byte: &u8| !means_something.contains(byte);
    if out[from..].iter().all(is_text) && str::from_utf8(&out[from..]).is_ok() {
        return;
    }
    let raw = out.split_off(from);
    for char in String::from_utf8_lossy(&raw).chars() {
        match (syntax, char) {
            (_, char) if !u8::try_from(char).is_ok_and(|byte| means_something.contains(&byte)) => {
                out.extend(char.encode_utf8(&mut [0; 4]).bytes());
            }
            (BodySyntax::Markup, '&') => out.extend(b"&amp;"),
            (BodySyntax::Markup, '<') => out.extend(b"&lt;"),
            (BodySyntax::Markup, '>') => out.extend(b"&gt;"),
            (BodySyntax::Markup, '"') => out.extend(b"&quot;"),
            (BodySyntax::Markup, _) => out.extend(b"&#39;"),
            (_, '"') => out.extend(b"\\\""),
            (_, '\\') => out.extend(b"\\\\"),
            (_, '\'') => out.extend(b"\\u0027"),
            (_, '<') => out.extend(b"\\u003c"),
            (_, _) => out.extend(b"\\t"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &[u8], kind: UriText) -> String {
        let mut out = b"\xff ".to_vec();
        out.extend_from_slice(text);
        in_uri(&mut out, 2, kind);
        assert!(out.starts_with(b"\xff "), "what stands before is left alone");
        String::from_utf8(out.split_off(2)).unwrap()
    }

    #[test]
    fn a_uri_holds_what_it_may_and_the_rest_is_percent_encoded() {
        let rows: [(&[u8], &str, &str); 7] = [
            (b"/a?b=c&d", "/a?b=c&d", "%2Fa%3Fb%3Dc%26d"),
            (b"/%41%zz%", "/%41%25zz%25", "%2F%2541%25zz%25"),
            (b"\\\\evil", "%5C%5Cevil", "%5C%5Cevil"),
            (b"\r\nX: y", "%0D%0AX:%20y", "%0D%0AX%3A%20y"),
            (b"\0\t\x7f", "%00%09%7F", "%00%09%7F"),
            (
                "é\"<>^`{|}".as_bytes(),
                "%C3%A9%22%3C%3E%5E%60%7B%7C%7D",
                "%C3%A9%22%3C%3E%5E%60%7B%7C%7D",
            ),
            (b"#x", "%23x", "%23x"),
        ];
        for (text, requested, data) in rows {
            assert_eq!(uri(text, UriText::Requested), requested);
            assert_eq!(uri(text, UriText::Data), data);
        }
        assert_eq!(uri(b"/a#b", UriText::Written), "/a#b");
    }

    #[test]
    fn a_field_has_no_line_break_and_keeps_what_else_it_may_hold() {
        let mut out = b"\r\na\r\n\0\x7f\tb\xe9".to_vec();
        in_field(&mut out, 2);
        assert_eq!(out, b"\r\na    \tb\xe9");
    }

    #[test]
    fn a_body_shows_text_as_text() {
        let rows = [
            ("text/plain", "<a href='x'>&\"/\r\n", "<a href='x'>&\"/  "),
            ("text/html; charset=utf-8", "<a>&\"'", "&lt;a&gt;&amp;&quot;&#39;"),
            ("image/svg+xml", "</svg>", "&lt;/svg&gt;"),
            ("application/problem+json", "\"a\\é\n</script>", r#"\"a\\é \u003c/script>"#),
            ("Application/JSON", "/a\tb?c='&d", r"/a\tb?c=\u0027&d"),
        ];
        for (media_type, text, shown) in rows {
            let mut out = text.as_bytes().to_vec();
            in_body(&mut out, 0, BodySyntax::of(media_type));
            assert_eq!(String::from_utf8(out).unwrap(), shown, "{media_type}");
        }
        let mut out = b"\xff".to_vec();
        in_body(&mut out, 0, BodySyntax::Json);
        assert_eq!(out, "\u{fffd}".as_bytes());
    }
}
