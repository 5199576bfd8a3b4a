//! Rules that every message obeys, whichever protocol brought it.

use super::authority::is_authority;
use super::field::{self, Name};
use super::head::Fields;
use crate::reject::Reject;

/// The Host field, if there is one: one at most, and `host[:port]` (RFC 9112 §3.2).
pub(in crate::http) fn host<'b>(fields: &Fields<'_, 'b>) -> Result<Option<&'b [u8]>, Reject> {
    let mut values = fields.values(Name::Host);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Reject::DuplicateHost),
        (Some(host), None) if !is_authority(host) => Err(Reject::InvalidHost),
        (host, None) => Ok(host),
    }
}

/// Refuses whatever is expected but one `100-continue` (RFC 9110 §10.1.1).
pub(in crate::http) fn refuse_odd_expectation(fields: &Fields<'_, '_>) -> Result<(), Reject> {
    let mut values = fields.values(Name::Expect);
    match (values.next(), values.next()) {
        (None, _) => Ok(()),
        (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Reject::Expectation),
    }
}

/// Whether a target holds nothing but visible ASCII, and no fragment.
pub(in crate::http) fn is_clean_target(target: &str) -> bool {
    target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Whether a clean target needs no host besides: it is in origin-form, or in asterisk-form, which is
/// for OPTIONS only (RFC 9112 §3.2.1, §3.2.4).
pub(in crate::http) fn is_in_origin_form(target: &str, method: &str) -> bool {
    target.starts_with('/') || (target == "*" && method == "OPTIONS")
}

/// The length that Content-Length gives, if there is one: given once, and one number of decimal digits
/// that fits 63 bits (RFC 9112 §6.3).
pub(in crate::http) fn content_length(fields: &Fields<'_, '_>) -> Result<Option<u64>, Reject> {
    let mut lengths = fields.values(Name::ContentLength);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Reject::DuplicateContentLength),
        (Some(length), None) => field::decimal(length).map(Some).ok_or(Reject::ContentLength),
    }
}
