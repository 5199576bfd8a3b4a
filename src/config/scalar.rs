//! What a text in YAML is, where it has nothing odd about it: what the library takes it for.

use std::borrow::Cow;
use std::ops::Range;

use super::spanned::{Location, Spanned};
use super::tree::{Bare, KeyText, Node, PlacedNode};

/// The longest key, in bytes; the library takes longer ones.
const KEY_BYTES_MAX: usize = 256;

/// A text as it is written.
pub(super) struct ScalarText<'a> {
    /// What is written, without quotes.
    pub(super) text: Cow<'a, str>,
    /// Whether it has no quotes.
    pub(super) is_plain: bool,
    pub(super) at: Location,
    /// Where it is, in bytes.
    pub(super) bytes: Range<usize>,
}

impl<'a> ScalarText<'a> {
    /// As a key. What the library reads as a number or the like may be the same as a key that is written in another way.
    pub(super) fn key(self) -> Option<KeyText<'a>> {
        let Self { text, is_plain, at, bytes } = self;
        let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let is_text = !is_plain || is_decimal || matches!(meant(&text)?, Meant::Text);
        let is_usual = is_text && bytes.len() <= KEY_BYTES_MAX && text != "<<";
        is_usual.then_some(Spanned { value: text, referenced: at, defined: at })
    }

    /// As a value.
    pub(super) fn value(self) -> Option<PlacedNode<'a>> {
        let Self { text, is_plain, at, bytes } = self;
        let meant = if is_plain { meant(&text)? } else { Meant::Text };
        let value = match meant {
            Meant::Text => Node::Text(text),
            Meant::Number => Node::Number(Bare { text, bytes }),
            Meant::Switch(on) => Node::Switch(on, Bare { text, bytes }),
        };
        Some(Spanned { value, referenced: at, defined: at })
    }
}

/// What a text without quotes is.
enum Meant {
    Text,
    Number,
    Switch(bool),
}

fn meant(text: &str) -> Option<Meant> {
    match text {
        "true" | "True" | "TRUE" => return Some(Meant::Switch(true)),
        "false" | "False" | "FALSE" => return Some(Meant::Switch(false)),
        "null" | "Null" | "NULL" => return None,
        _ if !text.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            return Some(Meant::Text);
        }
        _ => {}
    }
    let begins = |odd: &str| text.get(..odd.len()).is_some_and(|it| it.eq_ignore_ascii_case(odd));
    // Infinity and what is no number, other bases, and digits in groups.
    let is_odd = [".inf", ".nan", "0x", "0o", "0b"].into_iter().any(begins)
        || text.contains('_') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if is_odd {
        return None;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Some(Meant::Number),
        Ok(_) => None,
        Err(_) => Some(Meant::Text),
    }
}
