//! Max-Forwards: how far a request of OPTIONS or TRACE may go (RFC 9110 §7.6.2).

use super::field::Name;
use super::head::RequestHead;
use crate::reject::Reject;

/// The most hops that a request is allowed after this one, whatever its client claims: the field is
/// there to end loops.
pub const FORWARDS_MAX: u64 = 255;

/// How far a request may go from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// As far as it likes: other methods do not heed the field.
    Anywhere,
    /// Over so many hops after the next one.
    Hops(u64),
    /// No further: it is answered here, with this status.
    Here(u16),
}

/// Reads the field, if the method heeds it.
#[inline]
pub fn reach(head: &RequestHead<'_, '_>) -> Result<Reach, Reject> {
    let mut values = head.fields.values(Name::MaxForwards);
    let Some(value) = values.next() else { return Ok(Reach::Anywhere) };
    // Reflecting a request shows what is in it to scripts that must not see it.
    let here = match head.method {
        "OPTIONS" => 200,
        "TRACE" => 405,
        _ => return Ok(Reach::Anywhere),
    };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reject::MaxForwards);
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    let count = digits.fold(0_u64, |count, digit| count.saturating_mul(10).saturating_add(digit));
    Ok(count.checked_sub(1).map_or(Reach::Here(here), |left| Reach::Hops(left.min(FORWARDS_MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;

    fn reach_of(method: &str, fields: &str) -> Result<Reach, Reject> {
        let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let limits = Limits { head_bytes_max: 4096, fields_max: 32 };
        reach(&parse::request(bytes.as_bytes(), &limits, &mut Storage::new())?)
    }

    #[test]
    fn a_count_is_one_less_at_most_255_and_at_0_the_end() {
        let rows = [
            ("1", Ok(Reach::Hops(0))),
            ("007", Ok(Reach::Hops(6))),
            ("256", Ok(Reach::Hops(255))),
            ("99999999999999999999999", Ok(Reach::Hops(255))),
            ("0", Ok(Reach::Here(200))),
            ("000", Ok(Reach::Here(200))),
            ("-1", Err(Reject::MaxForwards)),
            ("+1", Err(Reject::MaxForwards)),
            ("1, 1", Err(Reject::MaxForwards)),
            ("1.5", Err(Reject::MaxForwards)),
            ("", Err(Reject::MaxForwards)),
        ];
        for (value, reach) in rows {
            let fields = format!("Max-Forwards: {value}\r\n");
            assert_eq!(reach_of("OPTIONS", &fields), reach, "{value:?}");
        }
        let twice = "Max-Forwards: 1\r\nmax-forwards: 1\r\n";
        assert_eq!(reach_of("TRACE", twice), Err(Reject::MaxForwards));
    }

    #[test]
    fn other_methods_do_not_heed_it() {
        assert_eq!(reach_of("TRACE", "Max-Forwards: 0\r\n"), Ok(Reach::Here(405)));
        for method in ["GET", "HEAD", "POST", "options"] {
            assert_eq!(reach_of(method, "Max-Forwards: 0\r\n"), Ok(Reach::Anywhere));
        }
        assert_eq!(reach_of("OPTIONS", ""), Ok(Reach::Anywhere));
    }
}
