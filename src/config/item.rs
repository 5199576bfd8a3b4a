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
    /// What a log may say instead, if its settings are values that may hold a secret.
    pub logged: Option<String>,
}

impl Item {
    /// What a log may say of its settings.
    pub(super) fn logged(&self) -> &str {
        self.logged.as_ref().unwrap_or(&self.predicate)
    }
}

/// A line without keys.
pub(super) fn item(subject: impl Into<String>, predicate: impl fmt::Display) -> Item {
    let (subject, predicate) = (subject.into(), predicate.to_string());
    Item { subject, predicate, keys: Vec::new(), logged: None }
}
