//! Mistakes in a configuration, and where they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where something is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A flag, without its dashes.
    Flag(Cow<'static, str>),
    /// A positional argument, by its name in the help.
    Argument(&'static str),
    /// A place in a file.
    File {
        /// The path of the file, as given.
        path: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// The column in characters, from 1.
        column: u64,
    },
    /// Something that is configured in code.
    Item {
        /// What it is, such as `upstream app: policy`.
        name: Arc<str>,
        /// The how many-th thing to be configured it is, from 1.
        nth: u64,
    },
}

impl Place {
    /// What a setting is called where this is: `--listen-tls` on a command line, `listen_tls` elsewhere.
    pub fn setting(&self, flag: &str) -> String {
        match self {
            Self::Flag(_) | Self::Argument(_) => format!("--{flag}"),
            Self::File { .. } | Self::Item { .. } => flag.replace('-', "_"),
        }
    }

    /// The path of a file that is named here: of one named in a file, a relative path begins where that is.
    pub fn relative(&self, text: &str) -> PathBuf {
        match self {
            Self::File { path, .. } => {
                Path::new(&**path).parent().unwrap_or(Path::new("")).join(text)
            }
            Self::Flag(_) | Self::Argument(_) | Self::Item { .. } => text.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{}", flag.escape_debug()),
            Self::Argument(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Item { name, .. } => f.write_str(name),
        }
    }
}

/// A mistake, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Mistake {
    /// A mistake in a flag.
    pub fn in_flag(flag: &'static str, what: String) -> Self {
        Self { place: Place::Flag(flag.into()), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Collects mistakes, so that all of them are reported at once.
#[derive(Default)]
pub(super) struct Mistakes {
    found: Vec<Mistake>,
    /// Those that may only follow from another one: told if there is none.
    following: Vec<Mistake>,
    /// What is no mistake, but may not be what was meant.
    warnings: Vec<String>,
}

impl Mistakes {
    /// Returns the value, or records the mistake and returns a placeholder that is never used.
    pub(super) fn note<T>(&mut self, place: &Place, value: Result<T, String>, stand_in: T) -> T {
        value.unwrap_or_else(|what| {
            self.add(place, what);
            stand_in
        })
    }

    /// Returns the value, or records the mistake.
    pub(super) fn take<T>(&mut self, place: &Place, value: Result<T, String>) -> Option<T> {
        value.map_err(|what| self.add(place, what)).ok()
    }

    pub(super) fn add(&mut self, place: &Place, what: impl Into<String>) {
        self.found.push(Mistake { place: place.clone(), what: what.into() });
    }

    /// Records what may only be wrong because something else is: an upstream is not used if the name of it is
    /// mistyped in a route. It is told once nothing else is wrong.
    pub(super) fn follow(&mut self, place: &Place, what: impl Into<String>) {
        self.following.push(Mistake { place: place.clone(), what: what.into() });
    }

    /// Records what is no mistake, but may not be what was meant.
    pub(super) fn warn(&mut self, place: &Place, what: &str) {
        self.warnings.push(format!("{place}: {what}"));
    }

    /// What has been recorded of that.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Records mistakes that have been found before.
    pub(super) fn extend(&mut self, found: &[Mistake]) {
        self.found.extend_from_slice(found);
    }

    /// What is wrong first of all, if anything is.
    pub(super) fn first(self) -> Option<String> {
        self.found.into_iter().next().map(|mistake| mistake.what)
    }

    /// Returns what was built if there are no mistakes; otherwise the mistakes in order of their places, those of
    /// files in the order of these paths.
    pub(super) fn none<T>(mut self, built: T, files: &[&str]) -> Result<T, Vec<Mistake>> {
        let order: HashMap<_, _> = (1..).zip(files).map(|(nth, path)| (*path, nth)).collect();
        if self.found.is_empty() {
            self.found = self.following;
        }
        self.found.sort_by_key(|mistake| match &mistake.place {
            Place::Flag(_) | Place::Argument(_) => (0, 0, 0),
            Place::Item { nth, .. } => (0, *nth, 0),
            Place::File { path, line, column } => {
                (order.get(&**path).copied().unwrap_or_default(), *line, *column)
            }
        });
        if self.found.is_empty() { Ok(built) } else { Err(self.found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mistakes: Mistakes) -> Vec<String> {
        mistakes.none((), &[]).unwrap_err().into_iter().map(|mistake| mistake.what).collect()
    }

    #[test]
    fn what_follows_from_a_mistake_is_told_once_that_is_mended() {
        let place = Place::Flag("route".into());
        let mut mistakes = Mistakes::default();
        mistakes.follow(&place, "follows");
        assert_eq!(told(mistakes), ["follows"]);
        let mut mistakes = Mistakes::default();
        mistakes.follow(&place, "follows");
        mistakes.add(&place, "mistyped");
        assert_eq!(told(mistakes), ["mistyped"]);
    }
}
