//! The fuzz target of templates, and of where clients may be sent; see CONTRIBUTING.md.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::error_pages::ErrorPage;
use super::escape::BodySyntax;
use super::location::{HostNaming, location};
use super::template::{Template, TextPosition, TooLong};
use super::variable::{Variable, Variables};
use crate::http::message::field;

/// Ends the text and each value: no text holds it.
const END: u8 = 0xff;

const HOST: &[u8] = b"h.example";

/// Takes where a text stands, the text, and what variables say, in turn. What comes of it must be what the simplest
/// reading of the rules says, and must fit where it stands. A Location that is taken must lead to the same host
/// whatever is said.
pub fn templates(data: &[u8]) {
    let Some((place, rest)) = data.split_first() else { return };
    let mut parts = rest.split(|byte| *byte == END);
    let bytes = parts.next().unwrap_or_default();
    let said: Vec<&[u8]> = parts.collect();
    if place % 8 == 7 {
        return error_page(bytes, said.first().copied().unwrap_or_default());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (position, hosts) = match place % 8 {
        0 => (TextPosition::RequestField, None),
        1 => (TextPosition::ResponseField, None),
        2 => (TextPosition::Location, None),
        3 => (TextPosition::Location, Some(HostNaming::Names)),
        4 => (TextPosition::Body(BodySyntax::Plain), None),
        5 => (TextPosition::Body(BodySyntax::Markup), None),
        _ => (TextPosition::Body(BodySyntax::Json), None),
    };
    let simplest = simplest_reading(text, position);
    let read = Template::parse(text, position);
    assert_eq!(read.is_ok(), simplest.is_some());
    let (Ok(template), Some(simplest)) = (read, simplest) else { return };
    let shown = template.to_string();
    if shown.len() <= position.bytes_max() {
        assert!(Template::parse(&shown, position).as_ref() == Ok(&template), "{shown}");
    }
    let values = Said { said: &said, is_free: hosts.is_none() };
    let mut out = b"before".to_vec();
    let fits = template.append(&values, &mut out);
    let made = out.split_off(6);
    assert_eq!(out, b"before");
    let expected = written(&simplest, position, &values);
    assert_eq!(fits == Err(TooLong), expected.len() > position.bytes_max());
    if fits == Err(TooLong) {
        assert!(made.is_empty(), "{}", made.escape_ascii());
    } else {
        check_fit(&made, position);
        let expected = finished(expected, position);
        assert_eq!(made.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
    if let Some(Ok(template)) = hosts.map(|hosts| location(text, hosts)) {
        let host = |said: &[&[u8]]| {
            let mut out = Vec::new();
            let fits = template.append(&Said { said, is_free: false }, &mut out);
            fits.ok().map(|()| host_of(&out))
        };
        assert!(!text.starts_with("{target}") && !text.starts_with("{path}"));
        if let (Some(one), Some(other)) = (host(&said), host(&[b""])) {
            assert_eq!(one, other, "{text}");
        }
    }
}

/// What variables say.
struct Said<'a> {
    said: &'a [&'a [u8]],
    /// Whether the host and the scheme may be anything, too.
    is_free: bool,
}

impl Said<'_> {
    fn of(&self, variable: Variable) -> &[u8] {
        let at = Variable::ALL.iter().position(|known| *known == variable).unwrap_or_default();
        match variable {
            Variable::Host if !self.is_free => HOST,
            Variable::Scheme if !self.is_free => b"https",
            Variable::Method if !self.is_free => b"GET",
            _ if self.said.is_empty() => b"",
            _ => self.said[at % self.said.len()],
        }
    }
}

impl Variables for Said<'_> {
    fn write(&self, variable: Variable, part: impl FnMut(&[u8])) {
        self.of(variable).chunks(3).for_each(part);
    }
}

/// The text by characters, and variables; nothing if there is a mistake.
fn simplest_reading(text: &str, position: TextPosition) -> Option<Vec<Result<char, Variable>>> {
    let is_field = matches!(position, TextPosition::RequestField | TextPosition::ResponseField);
    let is_body = matches!(position, TextPosition::Body(_));
    if text.len() > position.bytes_max() {
        return None;
    }
    let mut chars: &str =
        if is_field { text.trim_matches(|char| char == ' ' || char == '\t') } else { text };
    let mut read = Vec::new();
    let mut before = None;
    while let Some(char) = chars.chars().next() {
        if !is_body && char.is_control() && char.is_ascii() && char != '\t' {
            return None;
        }
        if let Some(after) = chars.strip_prefix("{{") {
            read.push(Ok('{'));
            (chars, before) = (after, None);
        } else if char == '{' && before != Some('$') {
            let known =
                |variable: &&Variable| chars.starts_with(&format!("{{{}}}", variable.name()));
            let variable = *Variable::ALL.iter().find(known)?;
            if variable == Variable::Endpoint && position == TextPosition::RequestField {
                return None;
            }
            read.push(Err(variable));
            (chars, before) = (&chars[variable.name().len() + 2..], None);
        } else {
            read.push(Ok(char));
            (chars, before) = (&chars[char.len_utf8()..], Some(char));
        }
    }
    Some(read)
}

/// What the rules make of it, one byte after the other, before its ends are looked at.
fn written(text: &[Result<char, Variable>], position: TextPosition, values: &Said<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let flush = |plain: &mut String, out: &mut Vec<u8>| {
        let text = std::mem::take(plain).into_bytes();
        match position {
            TextPosition::Location => out.extend(encoded(&text, b":/?#[]@!$&'()*+,;=")),
            _ => out.extend(text),
        }
    };
    for part in text {
        match part {
            Ok(char) => plain.push(*char),
            Err(variable) => {
                flush(&mut plain, &mut out);
                out.extend(written_variable(*variable, position, values.of(*variable)));
            }
        }
    }
    flush(&mut plain, &mut out);
    out
}

/// What is left of that in the end.
fn finished(mut out: Vec<u8>, position: TextPosition) -> Vec<u8> {
    match position {
        TextPosition::RequestField | TextPosition::ResponseField => out.trim_ascii().to_vec(),
        TextPosition::Location => {
            while out.starts_with(b"//") {
                out.remove(0);
            }
            if out.last() == Some(&b'?') {
                out.pop();
            }
            out
        }
        TextPosition::Body(_) => out,
    }
}

fn written_variable(variable: Variable, position: TextPosition, value: &[u8]) -> Vec<u8> {
    use Variable::{Host, Path, Query, Target};
    let spaced = || -> Vec<u8> {
        let one = |byte: &u8| match byte {
            0..=8 | 10..=31 | 127 => b' ',
            other => *other,
        };
        value.iter().map(one).collect()
    };
    match (position, variable) {
        (TextPosition::Location, Target | Path) if value.first() != Some(&b'/') => Vec::new(),
        (TextPosition::Location, Host | Target | Path | Query) => {
            encoded(value, b":/?[]@!$&'()*+,;=")
        }
        (TextPosition::Location, _) => {
            value.iter().flat_map(|byte| encoded(&[*byte], b"")).collect()
        }
        (TextPosition::Body(BodySyntax::Markup), _) => {
            let text = String::from_utf8_lossy(&spaced()).into_owned();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', "&quot;").replace('\'', "&#39;").into_bytes()
        }
        (TextPosition::Body(BodySyntax::Json), _) => {
            let text = String::from_utf8_lossy(&spaced()).into_owned();
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
            text.replace('\'', "\\u0027").replace('<', "\\u003c").into_bytes()
        }
        _ => spaced(),
    }
}

/// Percent-encoded, but for unreserved characters, escapes and what is kept.
fn encoded(text: &[u8], kept: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        let escape = text.get(at + 1..at + 3).unwrap_or_default();
        let is_escape =
            *byte == b'%' && escape.len() == 2 && escape.iter().all(u8::is_ascii_hexdigit);
        let is_kept = byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte);
        if is_kept || is_escape {
            out.push(*byte);
        } else {
            out.extend(format!("%{byte:02X}").bytes());
        }
    }
    out
}

fn check_fit(made: &[u8], position: TextPosition) {
    assert!(made.len() <= position.bytes_max());
    match position {
        TextPosition::RequestField | TextPosition::ResponseField => {
            assert!(field::is_value(made), "{}", made.escape_ascii());
            assert_eq!(made, made.trim_ascii());
        }
        TextPosition::Location => {
            assert!(made.iter().all(u8::is_ascii_graphic), "{}", made.escape_ascii());
            assert!(!made.starts_with(b"//") && !made.contains(&b'\\'));
        }
        TextPosition::Body(_) => {}
    }
}

/// Scheme and host of a reference, as a browser reads them; none if it has none.
fn host_of(location: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(location).replace('\\', "/");
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let rest = match text[..end].split_once(':') {
        Some((scheme, _)) => &text[scheme.len() + 1..],
        None => text.strip_prefix('/').filter(|rest| rest.starts_with('/'))?,
    };
    let rest = rest.trim_start_matches('/');
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    Some(authority.to_owned())
}

/// A page says its file, with what is put into it.
fn error_page(bytes: &[u8], id: &[u8]) {
    let Ok(page) = ErrorPage::new("page.txt", bytes.to_vec()) else { return };
    let mut out = Vec::new();
    page.append(503, id, &mut out);
    let mut expected = Vec::new();
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(b"{status}") {
            expected.extend(b"503");
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"{request_id}") {
            let position = TextPosition::Body(BodySyntax::Plain);
            expected.extend(written_variable(Variable::RequestId, position, id));
            rest = after;
        } else {
            expected.push(*byte);
            rest = &rest[1..];
        }
    }
    assert_eq!(out, expected);
}

#[cfg(test)]
mod tests {
    #[test]
    fn templates() {
        crate::corpus::replay("templates", 20_000, super::templates);
    }
}
