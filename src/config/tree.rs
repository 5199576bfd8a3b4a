//! A configuration file as YAML alone: its values and their places, before anything is known of what they mean.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Options;

use super::spanned::{Location, Spanned};

/// A value with its place.
pub(super) type PlacedNode<'a> = Spanned<Node<'a>>;

/// A key with its place.
pub(super) type KeyText<'a> = Spanned<Cow<'a, str>>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    /// None.
    Empty,
    /// `true` or `false`.
    Switch(bool, Bare<'a>),
    /// A number.
    Number(Bare<'a>),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<PlacedNode<'a>>),
    /// Keys with values, in order.
    Keys(Vec<(KeyText<'a>, PlacedNode<'a>)>),
}

/// A number or a switch, which is a text where one is expected: then as it is written, `1.50` and not `1.5`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bare<'a> {
    /// What is written.
    pub(super) text: Cow<'a, str>,
    /// Where that is, in bytes.
    pub(super) bytes: Range<usize>,
}

impl Node<'_> {
    /// What it is, in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Switch(..) | Self::Number(_) | Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Keys(_) => "keys",
        }
    }

    /// A text, or what is one where a text is expected.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(bare) | Self::Switch(_, bare) => Some(&bare.text),
            Self::Empty | Self::List(_) | Self::Keys(_) => None,
        }
    }
}

/// Reads any YAML. Everything that is in it is looked at and deserialised from what is returned: it is read once.
pub(super) fn read(text: &str, options: Options) -> Result<PlacedNode<'_>, serde_saphyr::Error> {
    let read: serde_saphyr::Spanned<Node<'_>> = serde_saphyr::from_str_with_options(text, options)?;
    let mut root = placed(read);
    restore(&mut root, text);
    Ok(root)
}

/// A value that has been read, in less room.
fn placed(read: serde_saphyr::Spanned<Node<'_>>) -> PlacedNode<'_> {
    let mut value = read.value;
    if let Node::Number(bare) | Node::Switch(_, bare) = &mut value {
        let span = read.defined.span();
        let of = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
        if let (Some(start), Some(length)) = (of(span.byte_offset()), of(span.byte_len())) {
            bare.bytes = start..start.saturating_add(length);
        }
    }
    Spanned { value, referenced: read.referenced.into(), defined: read.defined.into() }
}

/// Has numbers and switches say what is written.
fn restore<'a>(node: &mut PlacedNode<'a>, file: &'a str) {
    match &mut node.value {
        Node::Number(bare) | Node::Switch(_, bare) => {
            if let Some(written) = file.get(bare.bytes.clone()).filter(|text| !text.is_empty()) {
                bare.text = Cow::Borrowed(written);
            }
        }
        Node::List(entries) => entries.iter_mut().for_each(|entry| restore(entry, file)),
        Node::Keys(keys) => keys.iter_mut().for_each(|(_, value)| restore(value, file)),
        Node::Empty | Node::Text(_) => {}
    }
}

/// The texts in a value for which this holds, each with the place where it is written.
pub(super) fn texts<'a>(
    node: &'a PlacedNode<'_>,
    holds: &dyn Fn(&str) -> bool,
) -> Vec<(Location, &'a str)> {
    match &node.value {
        Node::Text(text) if holds(text) => vec![(node.defined, text)],
        Node::List(entries) => entries.iter().flat_map(|entry| texts(entry, holds)).collect(),
        Node::Keys(keys) => keys.iter().flat_map(|(_, value)| texts(value, holds)).collect(),
        Node::Empty | Node::Switch(..) | Node::Number(_) | Node::Text(_) => Vec::new(),
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

/// Takes numbers as they come, until it is known how they are written.
macro_rules! visit_numbers {
    ($($method:ident: $number:ty),*) => {
        $(fn $method<E>(self, number: $number) -> Result<Node<'de>, E> {
            Ok(Node::Number(Bare { text: number.to_string().into(), bytes: 0..0 }))
        })*
    };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    visit_numbers! {
        visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(text.to_owned().into()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node<'de>, E> {
        Ok(Node::Text(text.into()))
    }

    fn visit_bool<E>(self, on: bool) -> Result<Node<'de>, E> {
        Ok(Node::Switch(on, Bare { text: on.to_string().into(), bytes: 0..0 }))
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(placed(entry));
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<serde_saphyr::Spanned<String>>()? {
            let (referenced, defined) = (key.referenced.into(), key.defined.into());
            let key = Spanned { value: key.value.into(), referenced, defined };
            keys.push((key, placed(map.next_value()?)));
        }
        Ok(Node::Keys(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_value_is_a_text_as_it_is_written() {
        for written in [
            "1.50",
            "007",
            "0x1F",
            "1e3",
            "-0.0",
            "true",
            "True",
            "\u{e4} 1",
            "99999999999999999999",
        ] {
            let file = format!("\u{e4}: [{written}, &a {written}, *a]\n");
            let Node::Keys(keys) = read(&file, Options::default()).unwrap().value else { panic!() };
            let Node::List(entries) = &keys[0].1.value else { panic!() };
            for entry in entries {
                assert_eq!(entry.value.as_text(), Some(written));
            }
        }
    }
}
