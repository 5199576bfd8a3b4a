//! What is wrong with a configuration.

use std::fmt;

use super::mistake::{Mistake, Place};
use super::sources::Unreadable;

/// All that is wrong with a configuration: a line for each mistake, which says where it is, what is wrong and what to
/// write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Mistake>);

impl ConfigErrors {
    /// A mistake alone.
    fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// The mistakes, at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// A line for each of them.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl From<Vec<Mistake>> for ConfigErrors {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes)
    }
}

impl From<Unreadable> for ConfigErrors {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Mistakes(mistakes) => Self(mistakes),
            // Whoever asked for help gets all of it.
            Unreadable::Words(error) => {
                let text = error.to_string();
                let is_help = error.exit_code() == 0;
                let what = if is_help { text } else { in_a_line(&text) };
                Self::one(Mistake { place: Place::Argument("command line"), what })
            }
        }
    }
}

/// What clap says in a paragraph: the error, and its tip if it has one.
pub fn in_a_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let error = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: ")).unwrap_or("see evener --help");
    format!("{error}; {tip}")
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}
