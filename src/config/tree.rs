//! A configuration file as YAML alone: its values and their places, before anything is known of what they mean.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::entries::Said;

/// A value with its place.
pub(super) type PlacedNode = Spanned<Node>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// None.
    Empty,
    /// `true` or `false`.
    Switch(bool),
    /// A number, as a text.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<PlacedNode>),
    /// Keys with values, in order.
    Keys(Vec<(Said, PlacedNode)>),
}

impl Node {
    /// What it is, in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Switch(_) | Self::Number(_) | Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Keys(_) => "keys",
        }
    }

    /// A text or a number.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Switch(on) => Some(on.to_string()),
            Self::Empty | Self::List(_) | Self::Keys(_) => None,
        }
    }
}

/// The texts in a value for which this holds, each with the place where it is written.
pub(super) fn texts(node: &PlacedNode, holds: &dyn Fn(&str) -> bool) -> Vec<(Location, String)> {
    match &node.value {
        Node::Text(text) if holds(text) => vec![(node.defined, text.clone())],
        Node::List(entries) => entries.iter().flat_map(|entry| texts(entry, holds)).collect(),
        Node::Keys(keys) => keys.iter().flat_map(|(_, value)| texts(value, holds)).collect(),
        Node::Empty | Node::Switch(_) | Node::Number(_) | Node::Text(_) => Vec::new(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

/// Takes numbers as texts.
macro_rules! visit_numbers {
    ($($method:ident: $number:ty),*) => {
        $(fn $method<E>(self, number: $number) -> Result<Node, E> {
            Ok(Node::Number(number.to_string()))
        })*
    };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    visit_numbers! {
        visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, on: bool) -> Result<Node, E> {
        Ok(Node::Switch(on))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut keys = Vec::new();
        while let Some(entry) = map.next_entry()? {
            keys.push(entry);
        }
        Ok(Node::Keys(keys))
    }
}
