//! What is wrong with a configuration.

use std::fmt;

use super::mistake::{Mistake, Place};
use super::sources::Unreadable;

/// The most mistakes that are told at once.
const LINES_MAX: usize = 20;

/// The longest line of a mistake, in bytes: what quotes a value of a kilobyte is still whole.
const LINE_BYTES_MAX: usize = 4096;

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

    /// A line for each of them; of many, for the first twenty, and how many there are besides.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.0.iter().take(LINES_MAX).map(|mistake| cut(mistake.to_string())).collect();
        let more = self.0.len().saturating_sub(LINES_MAX);
        if more > 0 {
            lines.push(format!("and {more} more: mend these first"));
        }
        lines
    }
}

/// What is shown of a message: a value in it may be as long as the file.
fn cut(mut line: String) -> String {
    if line.len() > LINE_BYTES_MAX {
        let end = (0..=LINE_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or_default());
        line.push('…');
    }
    line
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
                let what = error.to_string();
                Self::one(Mistake { place: Place::Argument("command line"), what })
            }
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_twenty_are_told_and_the_rest_are_counted() {
        let many = |number| {
            ConfigErrors::from(vec![Mistake::in_flag("threads", "x".to_owned()); number]).lines()
        };
        assert_eq!(many(20), vec!["--threads: x"; 20]);
        let told = many(23);
        assert_eq!(told.len(), 21);
        assert_eq!(told[20], "and 3 more: mend these first");
    }
}
