//! What a request says under a name: in a header, a cookie or a parameter of its query. Names may be
//! repeated: each look-up finds every value, in order.

use std::borrow::Cow;

use super::field::{Name, step};
use super::head::Fields;

/// The values of the fields of this name, in any case.
pub fn headers<'b>(fields: &Fields<'_, 'b>, name: &str) -> impl Iterator<Item = &'b [u8]> {
    let known = Name::of(name.as_bytes());
    // One bit tells of most fields that there are none.
    let fields = fields.has(known).then(|| fields.iter()).into_iter().flatten();
    let is_named = move |(found, written, _): &(Name, &[u8], _)| {
        *found == known && (known.is_one_name() || written.eq_ignore_ascii_case(name.as_bytes()))
    };
    fields.filter(is_named).map(|(.., value)| value)
}

/// The values of the cookies of this name (RFC 6265 §5.4), quotes included where a value has some. Names
/// of cookies have a case. Several Cookie fields count as one, as in HTTP/2 (RFC 9113 §8.2.3).
pub fn cookies<'b>(fields: &Fields<'_, 'b>, name: &str) -> impl Iterator<Item = &'b [u8]> {
    let separates = |byte: &u8| {
        step();
        *byte == b';'
    };
    let pairs = headers(fields, "cookie").flat_map(move |value| value.split(separates));
    let value_of = move |pair: &'b [u8]| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    pairs.filter_map(move |pair| value_of(pair.trim_ascii()))
}

/// The values of the parameters of this name in a query, which may begin with its question mark. Names and
/// values are decoded as browsers encode forms: `+` and `%20` are a space. An escape that is none stays as
/// it is, and a parameter without `=` has an empty value.
pub fn parameters<'b>(query: &'b str, name: &str) -> impl Iterator<Item = Cow<'b, [u8]>> {
    let query = query.strip_prefix('?').unwrap_or(query).as_bytes();
    let parameters = query.split(|byte| {
        step();
        *byte == b'&'
    });
    parameters.filter_map(move |parameter| {
        let end = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
        let (written, value) = parameter.split_at(end);
        let is_named = decoded(written).eq(name.bytes());
        is_named.then(|| decode(value.strip_prefix(b"=").unwrap_or(value)))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = memchr::memchr2(b'+', b'%', text).is_none();
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(decoded(text).collect()) }
}

fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        step();
        let (byte, rest) = match text {
            [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (b'%', &text[1..]),
            },
            [b'+', rest @ ..] => (b' ', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        text = rest;
        Some(byte)
    })
}

fn digit(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::field::STEPS;
    use crate::http::message::head::Storage;

    fn of_fields<T>(lines: &str, then: impl FnOnce(&Fields<'_, '_>) -> T) -> T {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let limits = Limits { head_bytes_max: 65_536, fields_max: 32 };
        let mut storage = Storage::new();
        then(&parse::request(bytes.as_bytes(), &limits, &mut storage).unwrap().fields)
    }

    fn text<'b>(values: impl Iterator<Item = &'b [u8]>) -> Vec<String> {
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn a_header_is_found_in_any_case_and_each_time() {
        let lines =
            "X-User: a\r\nx-user:b \r\nX-Users: c\r\nX-Real-IP: d\r\nX-Forwarded-Port: e\r\n";
        let found = |name: &str| of_fields(lines, |fields| text(headers(fields, name)));
        assert_eq!(found("x-USER"), ["a", "b"]);
        assert_eq!((found("x-real-ip"), found("host")), (vec!["d".into()], vec!["a".into()]));
        assert_eq!(found("X-Other"), [""; 0]);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name_in_its_case() {
        let rows: [(&str, &[&str]); 9] = [
            ("a=1", &["1"]),
            ("b=2; a=1; c=3", &["1"]),
            ("b=2;a=1;", &["1"]),
            ("a=1; a=2", &["1", "2"]),
            ("a=b=c; xa=1; ab=1; A=1; a; =a", &["b=c"]),
            ("a=\"1\"", &["\"1\""]),
            ("a=", &[""]),
            ("b=2\r\nX: a=3\r\nCookie: a=1", &["1"]),
            (" ;; a=1 ,a=2", &["1 ,a=2"]),
        ];
        for (cookie, expected) in rows {
            let lines = format!("Cookie: {cookie}\r\n");
            let found = of_fields(&lines, |fields| text(cookies(fields, "a")));
            assert_eq!(found, expected, "{cookie:?}");
        }
    }

    #[test]
    fn parameters_are_decoded_before_they_are_compared() {
        let rows: [(&str, &[&str]); 10] = [
            ("?a=1", &["1"]),
            ("a=1&a=2", &["1", "2"]),
            ("?b=2&a=1&", &["1"]),
            ("?%61=%31", &["1"]),
            ("?a=x+y%20z", &["x y z"]),
            ("?a", &[""]),
            ("?a=b=c", &["b=c"]),
            ("?A=1&ab=1&b=a", &[]),
            ("?a=%zz%4", &["%zz%4"]),
            ("", &[]),
        ];
        for (query, expected) in rows {
            let found: Vec<_> = parameters(query, "a").collect();
            assert_eq!(text(found.iter().map(|value| &**value)), expected, "{query:?}");
        }
        assert_eq!(parameters("?a+b=1", "a b").count(), 1);
    }

    #[test]
    fn a_lookup_takes_no_more_steps_than_there_are_bytes() {
        let count = |bytes: usize| {
            let steps = |look: &dyn Fn() -> usize| {
                STEPS.set(0);
                look();
                STEPS.get()
            };
            let query = "a&=%".repeat(bytes / 4);
            let lines = format!("Cookie: {}\r\n", "a=;;".repeat(bytes / 4));
            of_fields(&lines, |fields| {
                steps(&|| cookies(fields, "a").count()) + steps(&|| parameters(&query, "a").count())
            })
        };
        let (few, many) = (count(1000), count(8000));
        assert!(many <= 9 * few, "{few} {many}");
    }
}
