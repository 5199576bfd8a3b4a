//! The lines of a configuration's description.

use std::fmt;

/// One line of a configuration's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is about; unique among the items.
    pub subject: String,
    /// Its settings.
    pub predicate: String,
    /// The same by keys, if they are so many that a change is told by those that differ.
    pub keys: Vec<(&'static str, String)>,
}

/// A line without keys.
pub(super) fn item(subject: impl Into<String>, predicate: impl fmt::Display) -> Item {
    Item { subject: subject.into(), predicate: predicate.to_string(), keys: Vec::new() }
}
