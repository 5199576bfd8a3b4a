//! What the head of a call says (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): that it is
//! one, and how long its client waits.

use std::time::Duration;

/// The content type of a call, and of the answer to one.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// The digits that a timeout may have.
const DIGITS_MAX: usize = 8;

/// What matters to a proxy about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How long its client waits from its beginning; without a limit if `None`.
    pub timeout: Option<Duration>,
}

impl Call {
    /// What the fields of a request say, names and values; `None` if it is no call.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let (mut is_call, mut time) = (false, None);
        for (name, value) in fields {
            match name {
                b"content-type" => is_call |= is_grpc(value),
                b"grpc-timeout" => time = time.or_else(|| timeout(value)),
                _ => {}
            }
        }
        is_call.then_some(Self { timeout: time })
    }
}

/// Whether a content type is that of gRPC: with a format (`+proto`) or parameters, but not another protocol
/// whose name begins like it (`application/grpc-web`).
pub fn is_grpc(content_type: &[u8]) -> bool {
    let Some((start, rest)) = content_type.split_at_checked(CONTENT_TYPE.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(CONTENT_TYPE)
        && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
}

/// What `grpc-timeout` says: up to eight digits, and a unit.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    if digits.is_empty() || digits.len() > DIGITS_MAX || !is_number {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| 10 * number + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(3600 * number)),
        b'M' => Some(Duration::from_secs(60 * number)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_a_unit() {
        let rows = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("00000001S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(359_999_996_400))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            (" 1S", None),
            ("1 S", None),
        ];
        for (text, expected) in rows {
            assert_eq!(timeout(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_call_says_so_by_its_content_type() {
        let rows = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("application/grp", false),
        ];
        for (content_type, is_call) in rows {
            let field = (&b"content-type"[..], content_type.as_bytes());
            assert_eq!(Call::of([field].into_iter()).is_some(), is_call, "{content_type}");
        }
    }

    #[test]
    fn a_malformed_timeout_is_none() {
        let with = |timeout: &'static [u8]| {
            let fields = [(&b"grpc-timeout"[..], timeout), (b"content-type", CONTENT_TYPE)];
            Call::of(fields.into_iter()).unwrap().timeout
        };
        assert_eq!((with(b"1S"), with(b"soon")), (Some(Duration::from_secs(1)), None));
        assert_eq!(Call::of([(&b"grpc-timeout"[..], &b"1S"[..])].into_iter()), None);
    }
}
