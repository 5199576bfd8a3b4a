//! Deserialises what has been read of a file, with references to environment variables in its texts replaced.

use std::borrow::Cow;
use std::fmt;
use std::vec::IntoIter;

use serde::de::value::{CowStrDeserializer, U64Deserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::environment::{Environment, OPEN, substitute};
use super::spanned::{Location, SPANNED};
use super::tree::{KeyText, Node, PlacedNode};

/// Why a value is not what was expected of it, and where it is.
#[derive(Debug)]
pub(super) struct NodeError {
    pub(super) at: Option<Location>,
    pub(super) what: String,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NodeError {}

impl Error for NodeError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { at: None, what: what.to_string() }
    }
}

/// A text that has been allocated is handed on as it is.
fn visit_cow<'de, V: Visitor<'de>>(text: Cow<'_, str>, visitor: V) -> Result<V::Value, NodeError> {
    match text {
        Cow::Borrowed(text) => visitor.visit_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

/// Deserialises a value.
pub(super) struct NodeDeserializer<'a> {
    pub(super) node: PlacedNode<'a>,
    /// What its texts may refer to, if any does.
    pub(super) environment: Option<Environment<'a>>,
}

impl NodeDeserializer<'_> {
    /// A text with its references replaced.
    fn replaced<'t>(&self, text: Cow<'t, str>) -> Result<Cow<'t, str>, NodeError> {
        let Some(environment) = self.environment.filter(|_| text.contains(OPEN)) else {
            return Ok(text);
        };
        let replaced = substitute(&text, environment, &mut Vec::new());
        replaced.map(Cow::Owned).map_err(NodeError::custom)
    }

    fn visit<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, NodeError> {
        let environment = self.environment;
        match std::mem::replace(&mut self.node.value, Node::Empty) {
            Node::Empty => visitor.visit_unit(),
            Node::Switch(on, _) => visitor.visit_bool(on),
            // Not every text may be a number: a cookie that is called 7 was meant as something else.
            Node::Number(bare) => match (bare.text.parse(), bare.text.parse()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_f64(number),
                _ => visit_cow(bare.text, visitor),
            },
            Node::Text(text) => visit_cow(self.replaced(text)?, visitor),
            Node::List(entries) => {
                visitor.visit_seq(Entries { entries: entries.into_iter(), environment })
            }
            Node::Keys(keys) => {
                let keys = keys.into_iter();
                visitor.visit_map(Keys { left: keys, value: None, environment })
            }
        }
    }

    fn visit_switch<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let Node::Text(text) = &self.node.value else { return self.visit(visitor) };
        match &*self.replaced(text.clone())? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(NodeError::custom("expected true or false")),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, NodeError> {
        if let Node::Switch(_, bare) | Node::Number(bare) = &mut self.node.value {
            return visit_cow(std::mem::take(&mut bare.text), visitor);
        }
        self.visit(visitor)
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let at = self.node.referenced;
        self.visit(visitor).map_err(|error| error.at(at))
    }

    /// A text may be one once its references are replaced.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let at = self.node.referenced;
        self.visit_switch(visitor).map_err(|error| error.at(at))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let at = self.node.referenced;
        self.visit_text(visitor).map_err(|error| error.at(at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        if name == SPANNED {
            let places = [self.node.referenced, self.node.defined].into_iter();
            return visitor.visit_seq(Parts { places, value: Some(self) });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

impl NodeError {
    /// The same, there if it is not known where.
    fn at(self, at: Location) -> Self {
        Self { at: self.at.or(Some(at)), ..self }
    }
}

/// The entries of a list.
struct Entries<'a> {
    entries: IntoIter<PlacedNode<'a>>,
    environment: Option<Environment<'a>>,
}

impl<'de> SeqAccess<'de> for Entries<'_> {
    type Error = NodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, NodeError> {
        let Some(node) = self.entries.next() else { return Ok(None) };
        seed.deserialize(NodeDeserializer { node, environment: self.environment }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Keys with their values.
struct Keys<'a> {
    left: IntoIter<(KeyText<'a>, PlacedNode<'a>)>,
    /// That of the key that came last.
    value: Option<PlacedNode<'a>>,
    environment: Option<Environment<'a>>,
}

impl<'de> MapAccess<'de> for Keys<'_> {
    type Error = NodeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, NodeError> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(KeyDeserializer(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, NodeError> {
        let node = self.value.take().ok_or_else(|| NodeError::custom("a value without a key"))?;
        seed.deserialize(NodeDeserializer { node, environment: self.environment })
    }
}

/// A key, which is left as it is.
struct KeyDeserializer<'a>(KeyText<'a>);

impl<'de> Deserializer<'de> for KeyDeserializer<'_> {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visit_cow(self.0.value, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        if name == SPANNED {
            let places = [self.0.referenced, self.0.defined].into_iter();
            let value: CowStrDeserializer<'_, NodeError> = self.0.value.into_deserializer();
            return visitor.visit_seq(Parts { places, value: Some(value) });
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The parts of a value with its place.
struct Parts<P, D> {
    places: P,
    value: Option<D>,
}

impl<'de, P, D> SeqAccess<'de> for Parts<P, D>
where
    P: Iterator<Item = Location>,
    D: Deserializer<'de, Error = NodeError>,
{
    type Error = NodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, NodeError> {
        if let Some(place) = self.places.next() {
            return seed.deserialize(U64Deserializer::new(place.packed())).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}
