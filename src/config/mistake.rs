//! What is wrong with a configuration, and where that was said.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By a flag, without its dashes.
    Flag(Cow<'static, str>),
    /// In an argument that is no flag, by its name in the help.
    Argument(&'static str),
    /// In a file.
    File {
        /// The file, as it was named.
        path: Arc<str>,
        /// From 1.
        line: u64,
        /// From 1, in characters.
        column: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Argument(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
        }
    }
}

/// Something that makes no sense, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Mistake {
    /// One in a flag.
    pub fn in_flag(flag: &'static str, what: String) -> Self {
        Self { place: Place::Flag(flag.into()), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Collects mistakes, so that all of them are told at once.
#[derive(Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The value, or a note of the mistake and a stand-in that is never used.
    pub(super) fn note<T>(&mut self, place: &Place, value: Result<T, String>, stand_in: T) -> T {
        value.unwrap_or_else(|what| {
            self.add(place, what);
            stand_in
        })
    }

    /// The value, or a note of the mistake.
    pub(super) fn take<T>(&mut self, place: &Place, value: Result<T, String>) -> Option<T> {
        value.map_err(|what| self.add(place, what)).ok()
    }

    pub(super) fn add(&mut self, place: &Place, what: impl Into<String>) {
        self.0.push(Mistake { place: place.clone(), what: what.into() });
    }

    /// What was built while they were collected, if there are none.
    pub(super) fn none<T>(mut self, built: T) -> Result<T, Vec<Mistake>> {
        self.0.sort_by_key(|mistake| match mistake.place {
            Place::Flag(_) | Place::Argument(_) => (0, 0),
            Place::File { line, column, .. } => (line, column),
        });
        if self.0.is_empty() { Ok(built) } else { Err(self.0) }
    }
}
