//! Fields of HTTP/2: those of a section become the fields of a head, under the rules that HTTP/2 adds.

use super::section::FieldSection;
use crate::http::message::field::{Name, is_token_byte, is_value};
use crate::http::message::head::{FIELDS_CEILING, Fields, Storage};
use crate::reject::Reject;

/// Reads a section: hands its pseudo-header fields, which come first, to `pseudo`, and keeps the fields
/// after them in `storage`. None of those concerns a connection: HTTP/2 has no fields for that (RFC 9113
/// §8.2.2), and what is written in HTTP/1.1 elsewhere must not have any.
pub(super) fn read<'h, 'b>(
    section: &'b FieldSection,
    fields_max: usize,
    storage: &'h mut Storage<'b>,
    mut pseudo: impl FnMut(&'b [u8], &'b [u8]) -> Result<(), Reject>,
) -> Result<Fields<'h, 'b>, Reject> {
    storage.listed.clear();
    for (name, value) in section.iter() {
        if name.starts_with(b":") {
            if !storage.listed.is_empty() {
                return Err(Reject::PseudoHeader);
            }
            pseudo(name, value)?;
            continue;
        }
        if !is_name(name) {
            return Err(Reject::FieldName);
        }
        if !is_field_value(value) {
            return Err(Reject::FieldValue);
        }
        storage.add(name, value)?;
    }
    if storage.listed.len() > fields_max.min(FIELDS_CEILING) {
        return Err(Reject::TooManyFields);
    }
    let fields = Fields::new(storage, b"");
    refuse_connection_fields(&fields)?;
    Ok(fields)
}

/// Whether HTTP/2 may carry a field of that name: a token without upper case (RFC 9113 §8.2.1).
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_lower = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_uppercase();
    !name.is_empty() && name.iter().all(is_lower)
}

/// Whether HTTP/2 may carry that value: one that HTTP/1.1 may carry, without white space around it
/// (RFC 9113 §8.2.1).
pub(super) fn is_field_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_value(value) && !is_blank(value.first()) && !is_blank(value.last())
}

fn refuse_connection_fields(fields: &Fields<'_, '_>) -> Result<(), Reject> {
    let is_refused = fields.iter().any(|(known, _, value)| match known {
        Name::Connection | Name::HopByHop | Name::TransferEncoding | Name::Upgrade => true,
        Name::Te => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    });
    if is_refused { Err(Reject::ConnectionField) } else { Ok(()) }
}
