//! The fuzz target of look-ups in heads; see CONTRIBUTING.md.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::h1::parse;
use super::h1::scan::Limits;
use super::message::head::Storage;
use super::message::lookup;

const LIMITS: Limits = Limits { head_bytes_max: 65_536, fields_max: 100 };

/// Takes a name on the first line, and then the head of a request. Each look-up of the name must find what is
/// found by taking the head apart in the simplest way there is.
pub fn lookup(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(name) = std::str::from_utf8(&data[..end]) else { return };
    let mut storage = Storage::new();
    let Ok(head) = parse::request(&data[end + 1..], &LIMITS, &mut storage) else { return };
    let named = |wanted: &str| -> Vec<&[u8]> {
        let wanted = wanted.to_ascii_lowercase().into_bytes();
        let fields = head.fields.iter().map(|(_, name, value)| (name.to_ascii_lowercase(), value));
        fields.filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect()
    };
    if name.is_ascii() {
        assert_eq!(lookup::headers(&head.fields, name).collect::<Vec<_>>(), named(name));
    }
    // RFC 9113 §8.2.3: several count as one.
    let cookies = named("cookie").join(&b"; "[..]);
    let expected: Vec<&[u8]> =
        pairs(&cookies, b';').filter(|(key, _)| *key == name.as_bytes()).map(|(_, v)| v).collect();
    let is_cookie = !name.is_empty() && !name.contains([';', '=']) && name.trim() == name;
    if is_cookie {
        assert_eq!(lookup::cookies(&head.fields, name).collect::<Vec<_>>(), expected);
    }
    let query = head.query().as_bytes();
    let expected: Vec<_> = query
        .strip_prefix(b"?")
        .unwrap_or(query)
        .split(|byte| *byte == b'&')
        .map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            (decode(parts.next().unwrap_or_default()), decode(parts.next().unwrap_or_default()))
        })
        .filter(|(key, _)| key == name.as_bytes())
        .map(|(_, value)| value)
        .collect();
    let found = lookup::parameters(head.query(), name);
    assert_eq!(found.map(std::borrow::Cow::into_owned).collect::<Vec<_>>(), expected);
}

/// What stands before and after the first equals sign of each part that has one.
fn pairs(text: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    let parts = text.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii);
    parts.filter_map(|part| {
        let at = part.iter().position(|byte| *byte == b'=')?;
        Some((&part[..at], &part[at + 1..]))
    })
}

/// By hex digits of the standard library.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let escape = text.get(at..at + 3).and_then(|escape| std::str::from_utf8(escape).ok());
        let digits = escape.and_then(|escape| escape.strip_prefix('%'));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()), text[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 3;
            }
            (None, byte) => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn lookup() {
        crate::corpus::replay("lookup", 20_000, super::lookup);
    }
}
