//! Values of a configuration file, each with its place.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// A place in a file. Small, since every value has two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    line: u32,
    column: u32,
}

impl Location {
    /// Nowhere in particular.
    pub const UNKNOWN: Self = Self { line: 0, column: 0 };

    /// On this line, in this column.
    pub(super) fn at(line: u32, column: u32) -> Self {
        Self { line, column }
    }

    /// The line, from 1; 0 if it is unknown.
    pub fn line(self) -> u64 {
        self.line.into()
    }

    /// The column in characters, from 1; 0 if it is unknown.
    pub fn column(self) -> u64 {
        self.column.into()
    }

    /// As one number, in which it is handed on while a file is deserialised.
    pub(super) fn packed(self) -> u64 {
        u64::from(self.line) << 32 | u64::from(self.column)
    }

    fn unpacked(packed: u64) -> Self {
        let [line, column] = [packed >> 32, packed & u64::from(u32::MAX)];
        let part = |part| u32::try_from(part).unwrap_or(u32::MAX);
        Self { line: part(line), column: part(column) }
    }
}

impl From<serde_saphyr::Location> for Location {
    fn from(at: serde_saphyr::Location) -> Self {
        let part = |part| u32::try_from(part).unwrap_or(u32::MAX);
        Self { line: part(at.line()), column: part(at.column()) }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is: for an alias, that of the alias.
    pub referenced: Location,
    /// Where it is written: for an alias, that of the anchor.
    pub defined: Location,
}

/// The newtype under which a value is asked for with its place; it is given as two packed locations, the one where it
/// is first, and the value.
pub(super) const SPANNED: &str = "evener::Spanned";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let part = |part: Option<u64>| {
                    part.map(Location::unpacked).ok_or_else(|| A::Error::invalid_length(0, &self))
                };
                let referenced = part(parts.next_element()?)?;
                let defined = part(parts.next_element()?)?;
                let value = parts.next_element()?;
                let value = value.ok_or_else(|| A::Error::invalid_length(2, &"a value"))?;
                Ok(Spanned { value, referenced, defined })
            }
        }
        deserializer.deserialize_newtype_struct(SPANNED, Parts(PhantomData))
    }
}
