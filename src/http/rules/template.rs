//! Texts with variables, compiled when they are read: `{name}` stands for what a [`Variable`] says, `{{` for a
//! brace. A `}` by itself is text, and so is `${`, which is left where `$${` is written to keep a text
//! from the environment.

use std::fmt;

use super::escape::{BodySyntax, UriText, in_body, in_field, in_uri};
use super::variable::{Variable, Variables};

/// The most that the value of a header or a Location may come to, in bytes; browsers follow about as much.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The most that a body may come to, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How much of a mistaken variable is shown, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// Where a text stands, which says what it may hold and how variables come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPosition {
    /// The value of a header of a request: no line break, no white space around it.
    RequestField,
    /// The same of a response.
    ResponseField,
    /// A URI reference: whatever may not stand in one is percent-encoded, and so is all of a variable that is
    /// no part of a URI.
    Location,
    /// A body: variables are text in it, whatever its syntax.
    Body(BodySyntax),
}

impl TextPosition {
    /// The most that a text may come to, in bytes.
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::RequestField | Self::ResponseField | Self::Location => VALUE_BYTES_MAX,
            Self::Body(_) => BODY_BYTES_MAX,
        }
    }

    const fn is_field(self) -> bool {
        matches!(self, Self::RequestField | Self::ResponseField)
    }
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextPart {
    /// What is written; not empty.
    Plain(Box<[u8]>),
    /// What a variable says.
    Variable(Variable),
}

/// A text with variables. What comes of it fits where it stands, whatever they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    position: TextPosition,
    /// No two plain ones follow one another.
    parts: Box<[TextPart]>,
}

impl Template {
    /// Compiles a text.
    pub fn parse(text: &str, position: TextPosition) -> Result<Self, TemplateError> {
        if text.len() > position.bytes_max() {
            return Err(TemplateError::TooLong { bytes_max: position.bytes_max() });
        }
        let text = if position.is_field() { text.trim_matches([' ', '\t']) } else { text };
        let is_body = matches!(position, TextPosition::Body(_));
        if let Some(control) = text.chars().find(|&char| char.is_ascii_control() && char != '\t')
            && !is_body
        {
            return Err(TemplateError::Control(control));
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
            } else if before.ends_with('$') {
                plain.push('{');
                rest = after;
            } else {
                let variable = read_variable(after, position)?;
                parts.extend(plain_part(std::mem::take(&mut plain), position));
                parts.push(TextPart::Variable(variable));
                rest = &after[variable.name().len() + 1..];
            }
        }
        plain.push_str(rest);
        parts.extend(plain_part(plain, position));
        Ok(Self { position, parts: parts.into() })
    }

    /// Its text, if it has no variables.
    pub fn as_text(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(b""),
            [TextPart::Plain(text)] => Some(text),
            _ => None,
        }
    }

    /// Its variable, if it is one and nothing else.
    pub fn as_variable(&self) -> Option<Variable> {
        if let [TextPart::Variable(variable)] = &*self.parts { Some(*variable) } else { None }
    }

    /// Its variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Variable(variable) => Some(*variable),
            TextPart::Plain(_) => None,
        })
    }

    /// Its parts, in order.
    pub(super) fn parts(&self) -> &[TextPart] {
        &self.parts
    }

    /// Appends what it comes to for one request. If that is more than [`TextPosition::bytes_max`], nothing
    /// is appended.
    pub fn append(&self, values: &impl Variables, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let start = out.len();
        let end_max = start.saturating_add(self.position.bytes_max());
        for part in &self.parts {
            match part {
                TextPart::Plain(text) => out.extend_from_slice(text),
                TextPart::Variable(variable) => self.append_variable(*variable, values, out),
            }
            if out.len() > end_max {
                out.truncate(start);
                return Err(TooLong);
            }
        }
        match self.position {
            TextPosition::RequestField | TextPosition::ResponseField => trim(out, start),
            TextPosition::Location => finish_location(out, start),
            TextPosition::Body(_) => {}
        }
        Ok(())
    }

    fn append_variable(&self, variable: Variable, values: &impl Variables, out: &mut Vec<u8>) {
        let from = out.len();
        values.write(variable, |part| out.extend_from_slice(part));
        match self.position {
            TextPosition::RequestField | TextPosition::ResponseField => in_field(out, from),
            TextPosition::Body(syntax) => in_body(out, from, syntax),
            TextPosition::Location => {
                // That of all of a server (`*`, RFC 9112 §3.2.4) has no path.
                let is_path = matches!(variable, Variable::Target | Variable::Path);
                if is_path && !out[from..].starts_with(b"/") {
                    out.truncate(from);
                }
                let text = if variable.is_of_uris() { UriText::Requested } else { UriText::Data };
                in_uri(out, from, text);
            }
        }
    }
}

/// Reads the variable whose name `text` begins with.
fn read_variable(text: &str, position: TextPosition) -> Result<Variable, TemplateError> {
    let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect();
    let Some((name, _)) = text.split_once('}') else {
        return Err(TemplateError::Unclosed(shown(text)));
    };
    match Variable::of(name) {
        None => Err(TemplateError::Unknown(shown(name))),
        Some(Variable::Endpoint) if position == TextPosition::RequestField => {
            Err(TemplateError::NoEndpoint)
        }
        Some(variable) => Ok(variable),
    }
}

fn plain_part(text: String, position: TextPosition) -> Option<TextPart> {
    let mut text = text.into_bytes();
    if position == TextPosition::Location {
        in_uri(&mut text, 0, UriText::Written);
    }
    (!text.is_empty()).then(|| TextPart::Plain(text.into()))
}

/// White space around a value is none of it (RFC 9110 §5.5), and makes a field of HTTP/2 malformed (RFC 9113
/// §8.2.1).
fn trim(out: &mut Vec<u8>, start: usize) {
    let kept = out[start..].trim_ascii_end().len();
    out.truncate(start + kept);
    let blank = kept - out[start..].trim_ascii_start().len();
    out.drain(start..start + blank);
}

/// A reference that begins with two slashes would begin with a host. A question mark that nothing follows
/// came from an empty query.
fn finish_location(out: &mut Vec<u8>, start: usize) {
    let slashes = out[start..].iter().take_while(|byte| **byte == b'/').count();
    out.drain(start..start + slashes.saturating_sub(1));
    if out[start..].ends_with(b"?") {
        out.pop();
    }
}

impl fmt::Display for Template {
    /// As it could be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TextPart::Variable(variable) => variable.fmt(f),
            TextPart::Plain(text) => f.write_str(&String::from_utf8_lossy(text).replace('{', "{{")),
        })
    }
}

/// More than [`TextPosition::bytes_max`] would come of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Why a text is no template; the message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A variable that there is not; how its name begins.
    Unknown(String),
    /// A brace that is not closed; how what follows it begins.
    Unclosed(String),
    /// The endpoint is asked for before there is one.
    NoEndpoint,
    /// A character that ends a line or means nothing.
    Control(char),
    /// The text is longer than what may come of it.
    TooLong {
        /// The most that may come of it, in bytes.
        bytes_max: usize,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "unknown variable {{{name}}}: write {{{{ for a brace, or one of")?;
                Variable::ALL.iter().try_for_each(|variable| write!(f, " {variable}"))
            }
            Self::Unclosed(rest) => {
                write!(f, "\"{{{rest}\" has no closing brace: write {{{{ for a brace by itself")
            }
            Self::NoEndpoint => f.write_str(
                "{endpoint} is known in responses only: write {upstream}, or leave it out",
            ),
            Self::Control('\n' | '\r') => f.write_str("there is a line break: write one line"),
            Self::Control(control) => {
                write!(f, "there is a control character ({control:?}): leave it out")
            }
            Self::TooLong { bytes_max } => {
                write!(f, "the text is too long: write {bytes_max} bytes at most")
            }
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variable says the same.
    struct All<'a>(&'a [u8]);

    impl Variables for All<'_> {
        fn write(&self, _: Variable, mut part: impl FnMut(&[u8])) {
            // In two parts, which may cut an escape.
            let (one, other) = self.0.split_at(self.0.len() / 2);
            part(one);
            part(other);
        }
    }

    const FIELD: TextPosition = TextPosition::ResponseField;
    const PLAIN: TextPosition = TextPosition::Body(BodySyntax::Plain);

    fn made(text: &str, position: TextPosition, value: &[u8]) -> Vec<u8> {
        let mut out = b"before ".to_vec();
        Template::parse(text, position).unwrap().append(&All(value), &mut out).unwrap();
        assert!(out.starts_with(b"before "));
        out.split_off(7)
    }

    #[test]
    fn braces_and_dollars() {
        let rows = [
            ("", ""),
            ("a", "a"),
            ("{host}", "V"),
            ("a{host}b{path}", "aVbV"),
            ("{{host}", "{host}"),
            ("{{{host}}", "{V}"),
            ("{{{{", "{{"),
            ("a}b}}", "a}b}}"),
            ("${host}", "${host}"),
            ("$ {host}", "$ V"),
            ("{host}${{", "V${"),
            ("{{\"a\": {{\"b\": \"{host}\"}}", "{\"a\": {\"b\": \"V\"}}"),
        ];
        for (text, expected) in rows {
            let out = made(text, PLAIN, b"V");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_what_is_wrong_and_what_to_write() {
        let rows = [
            ("{hots}", "unknown variable {hots}: write {{ for a brace, or one of {client} "),
            ("{Host}", "unknown variable {Host}: "),
            ("{ host }", "unknown variable { host }: "),
            ("{}", "unknown variable {}: "),
            ("a{host", "\"{host\" has no closing brace: write {{ for a brace by itself"),
            ("{endpoint}", "{endpoint} is known in responses only"),
            ("a\nb", "there is a line break: write one line"),
            ("a\0b", "there is a control character ('\\0'): leave it out"),
        ];
        for (text, expected) in rows {
            let told = Template::parse(text, TextPosition::RequestField).unwrap_err().to_string();
            assert!(told.starts_with(expected), "{text:?}: {told}");
        }
        let told = Template::parse("{x}", PLAIN).unwrap_err().to_string();
        assert!(
            Variable::ALL.iter().all(|variable| told.contains(&variable.to_string())),
            "{told}"
        );
    }

    #[test]
    fn a_text_without_variables_is_recognised() {
        let text = |text: &str| Template::parse(text, FIELD).unwrap().as_text().map(<[u8]>::to_vec);
        assert_eq!(text("").as_deref(), Some(&b""[..]));
        assert_eq!(text(" max-age=1; {{x} \t").as_deref(), Some(&b"max-age=1; {x}"[..]));
        assert_eq!(text("{host}"), None);
    }

    #[test]
    fn it_is_shown_as_it_could_be_written() {
        for text in ["{{a}", "x{host}{{", "max-age=1", "{client}:{client_port}"] {
            let template = Template::parse(text, FIELD).unwrap();
            assert_eq!(template.to_string(), text);
            assert_eq!(Template::parse(&template.to_string(), FIELD).unwrap(), template);
        }
    }

    #[test]
    fn no_value_ends_its_line_or_has_white_space_around_it() {
        let rows: [(&str, &[u8], &[u8]); 5] = [
            ("a {host}", b"b\r\nX: y\0", b"a b  X: y"),
            ("{host}{path}", b"\r\n", b""),
            (" {host} x{host}", b"", b"x"),
            ("TLS {tls_version}", b"", b"TLS"),
            ("{host}", b"\xe9\t\xff", b"\xe9\t\xff"),
        ];
        for (text, value, expected) in rows {
            for position in [FIELD, TextPosition::RequestField] {
                let out = made(text, position, value);
                assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn a_location_has_what_a_uri_may_have_and_begins_with_no_host() {
        let rows: [(&str, &[u8], &str); 12] = [
            ("https://a{target}", b"/b?c\"", "https://a/b?c%22"),
            ("https://a{target}", b"*", "https://a"),
            ("https://a{path}?{query}", b"", "https://a"),
            ("https://a/?{query}", b"b=/c?d&e", "https://a/?b=/c?d&e"),
            ("https://a/?u={sni}", b"b&c=/d", "https://a/?u=b%26c%3D%2Fd"),
            ("https://a/{query}", b"b%2", "https://a/b%252"),
            ("https://a/{query}", b"b%41", "https://a/b%41"),
            ("/{query}", b"/evil", "/evil"),
            ("{path}", b"///evil", "/evil"),
            ("/{query}", b"\\evil", "/%5Cevil"),
            ("/{query}", b"\t/evil", "/%09/evil"),
            ("/é {query}", b"\r\n", "/%C3%A9%20%0D%0A"),
        ];
        for (text, value, expected) in rows {
            let out = made(text, TextPosition::Location, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_body_keeps_its_lines_and_has_none_of_a_variable() {
        assert_eq!(made("a\n{host}\n", PLAIN, b"b\r\nc"), b"a\nb  c\n");
        let markup = TextPosition::Body(BodySyntax::Markup);
        assert_eq!(made("<p>{path}</p>", markup, b"<script>"), b"<p>&lt;script&gt;</p>");
    }

    #[test]
    fn what_is_too_long_is_none() {
        let mut out = b"before".to_vec();
        let template = Template::parse("ab{host}", FIELD).unwrap();
        let long = vec![b'x'; VALUE_BYTES_MAX - 1];
        assert_eq!(template.append(&All(&long[1..]), &mut out), Ok(()));
        assert_eq!(out.len(), VALUE_BYTES_MAX + 6);
        out.truncate(6);
        assert_eq!(template.append(&All(&long), &mut out), Err(TooLong));
        assert_eq!(out, b"before");
        let text = "x".repeat(VALUE_BYTES_MAX + 1);
        let told = Template::parse(&text, FIELD).unwrap_err().to_string();
        assert_eq!(told, "the text is too long: write 16384 bytes at most");
        assert!(Template::parse(&text, PLAIN).is_ok());
    }
}
