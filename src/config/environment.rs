//! Environment variables in the values of a configuration file: `${NAME}` and `${NAME:-default}`; `$${` is a plain
//! `${`. They are replaced in values that have been parsed, so that what a variable holds is always text inside
//! its value and never adds to the structure of the file. Keys are left alone.

use std::collections::HashMap;
use std::env::VarError;
use std::fmt;

use super::spanned::Location;

use super::entries::Said;
use super::tree::{PlacedNode, texts};
use crate::http::rules::escape::written_in_uri;
use crate::http::rules::variable::Variable;

/// Looks up an environment variable, like `std::env::var`.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

/// What a reference begins with.
pub(super) const OPEN: &str = "${";

/// The length in bytes from which a variable may hold a secret, which messages do not show. Shorter values are
/// shown: a port or a time that is wrong is found sooner if it is seen.
const SECRET_BYTES_MIN: usize = 8;

/// A variable that a file refers to.
#[derive(Clone, PartialEq, Eq)]
pub struct UsedVariable {
    name: String,
    value: String,
}

/// Its name alone.
impl fmt::Debug for UsedVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl UsedVariable {
    /// The text with the variable's name instead of what it holds, if that may be a secret.
    fn hide(&self, text: String) -> String {
        let Self { name, value } = self;
        if value.len() < SECRET_BYTES_MIN {
            return text;
        }
        let shown = format!("${{{name}}}");
        // Messages quote values in the way of `{:?}`, and show where a redirect leads.
        let escaped = format!("{value:?}");
        let all = [value, &escaped[1..escaped.len() - 1], &written_in_uri(value)];
        all.iter().fold(text, |text, value| text.replace(*value, &shown))
    }
}

/// The text with the names of these variables instead of what they hold that may be a secret.
pub(super) fn hide(variables: &[UsedVariable], text: String) -> String {
    variables.iter().fold(text, |text, variable| variable.hide(text))
}

/// The text with its references replaced. Adds the variables that are set to `used`.
pub(super) fn substitute(
    text: &str,
    environment: Environment<'_>,
    used: &mut Vec<UsedVariable>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('$') {
            out.extend([before, OPEN]);
            rest = after;
            continue;
        }
        out.push_str(before);
        let malformed = || {
            let end = after.find('}').map_or(after.len(), |at| at + 1);
            let what = "write ${NAME}, ${NAME:-default}, or $${ for a plain ${";
            format!("{:?}: {what}", format!("{OPEN}{}", &after[..end]))
        };
        let (reference, after) = after.split_once('}').ok_or_else(malformed)?;
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) || default.is_some_and(|default| default.contains(OPEN)) {
            return Err(malformed());
        }
        match (environment(name), default) {
            (Err(VarError::NotUnicode(_)), _) => {
                return Err(format!("the environment variable {name} is not valid UTF-8"));
            }
            (Ok(value), None) => {
                out.push_str(&value);
                used.push(UsedVariable { name: name.to_owned(), value });
            }
            (Ok(value), Some(_)) if !value.is_empty() => {
                out.push_str(&value);
                used.push(UsedVariable { name: name.to_owned(), value });
            }
            (_, Some(default)) => out.push_str(default),
            (Err(VarError::NotPresent), None) => return Err(not_set(name)),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn not_set(name: &str) -> String {
    match Variable::of(name) {
        Some(variable) => format!(
            "the environment variable {name} is not set: for that of each request, write {variable} without $"
        ),
        None => format!(
            "the environment variable {name} is not set: set it, write ${{{name}:-default}}, or $${{ for a plain ${{"
        ),
    }
}

/// A name as shells have them (POSIX.1-2017, Base Definitions 8.1).
fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_word) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The variables that the values of a file refer to, and what its texts with references come to; or everything that is
/// wrong with its references.
pub(super) fn check(
    root: &PlacedNode<'_>,
    environment: Environment<'_>,
) -> Result<References, Vec<(Location, String)>> {
    let mut found = texts(root, &|text| text.contains(OPEN));
    // A value with an anchor is there once for each of its aliases.
    found.sort_by_key(|(place, _)| position(*place));
    found.dedup_by_key(|(place, _)| position(*place));
    let (mut used, mut mistakes, mut templates) = (Vec::new(), Vec::new(), HashMap::new());
    for (place, text) in found {
        match substitute(text, environment, &mut used) {
            Ok(_) => {
                let braced = |name: &str| environment(name).map(|value| value.replace('{', "{{"));
                let template = substitute(text, &braced, &mut Vec::new());
                templates.extend(template.ok().map(|template| (position(place), template)));
            }
            Err(what) => mistakes.push((place, what)),
        }
    }
    // Of two that begin alike, no part of the longer one is to be left over.
    used.sort_by(|a, b| (b.value.len(), &a.name).cmp(&(a.value.len(), &b.name)));
    used.dedup();
    if mistakes.is_empty() { Ok(References { used, templates }) } else { Err(mistakes) }
}

/// The line and the column of a place.
fn position(place: Location) -> (u64, u64) {
    (place.line(), place.column())
}

/// What a file takes from the environment.
#[derive(Default)]
pub(super) struct References {
    /// The variables, those with the longest values first.
    pub(super) used: Vec<UsedVariable>,
    /// Texts with references, by where they are written, with each brace of a variable's value doubled: in a text
    /// with variables of requests, it is a brace, whatever follows it.
    templates: HashMap<(u64, u64), String>,
}

/// The names of the variables alone.
impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.used.fmt(f)
    }
}

impl References {
    /// A text that may have variables of requests.
    pub(super) fn template<'a>(&'a self, said: &'a Said) -> &'a str {
        self.templates.get(&position(said.defined)).unwrap_or(&said.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Result<String, VarError> {
        match name {
            "A" => Ok("one".to_owned()),
            "B_2" => Ok("${A}: [x".to_owned()),
            "EMPTY" => Ok(String::new()),
            "BYTES" => Err(VarError::NotUnicode("".into())),
            _ => Err(VarError::NotPresent),
        }
    }

    fn read_tree(text: &str) -> PlacedNode<'_> {
        super::super::tree::read(text, serde_saphyr::Options::default()).unwrap()
    }

    fn read(text: &str) -> Result<String, String> {
        substitute(text, &environment, &mut Vec::new())
    }

    #[test]
    fn references_are_replaced_once() {
        let rows = [
            ("", ""),
            ("a$b{c}$", "a$b{c}$"),
            ("${A}", "one"),
            ("-${A}${A}-", "-oneone-"),
            ("${B_2}", "${A}: [x"),
            ("${EMPTY}", ""),
            ("${EMPTY:-two}", "two"),
            ("${NONE:-two}", "two"),
            ("${NONE:-}", ""),
            ("${NONE:-:-{}", ":-{"),
            ("${A:-two}", "one"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$${${A}", "${one"),
            ("{client}$${", "{client}${"),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        let rows = [
            ("${NONE}", "the environment variable NONE is not set: set it, write ${NONE:-default}"),
            ("${BYTES}", "the environment variable BYTES is not valid UTF-8"),
            ("${BYTES:-x}", "the environment variable BYTES is not valid UTF-8"),
            ("a ${A", "\"${A\": write ${NAME}"),
            ("${}", "\"${}\": write ${NAME}"),
            ("${2A}", "\"${2A}\": write ${NAME}"),
            ("${A-b}", "\"${A-b}\": write ${NAME}"),
            ("${ A }", "\"${ A }\": write ${NAME}"),
            ("${A:-${B_2}}", "\"${A:-${B_2}\": write ${NAME}"),
        ];
        for (text, expected) in rows {
            let told = read(text).unwrap_err();
            assert!(told.starts_with(expected), "{text}: {told}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_hidden_by_its_name() {
        let hidden = |value: &str, text: &str| {
            let value = value.to_owned();
            UsedVariable { name: "A".to_owned(), value }.hide(text.to_owned())
        };
        assert_eq!(hidden("s3cr3t-s", "\"x s3cr3t-s\": bad"), "\"x ${A}\": bad");
        assert_eq!(hidden("s3cr3t\"\n", "\"x s3cr3t\\\"\\n\": bad"), "\"x ${A}\": bad");
        assert_eq!(hidden("s3cr3t t", "to /a?b=s3cr3t%20t"), "to /a?b=${A}");
        assert_eq!(hidden("1", "from 1 to 10"), "from 1 to 10");
        let environment =
            |name: &str| Ok(format!("s3cr3t-{}", if name == "A" { "1" } else { "12" }));
        let root = read_tree("['${A}', '${B}', '${A}']");
        let used = check(&root, &environment).unwrap().used;
        assert_eq!(hide(&used, "s3cr3t-12, s3cr3t-1".to_owned()), "${B}, ${A}");
    }

    #[test]
    fn all_that_is_wrong_in_a_file_is_found_with_its_place() {
        let text = "a: ['${X}', {b: \"${A} ${Y\"}]\n${KEY}: # ${Z}\n  - &v ${A}\n  - *v\nc: &w ${Z}\nd: *w\n";
        let found = check(&read_tree(text), &environment).unwrap_err();
        let places: Vec<_> = found.iter().map(|(at, _)| (at.line(), at.column())).collect();
        assert_eq!(places, [(1, 5), (1, 17), (5, 7)]);
        let text = "['${A}', 1, -1, true, ~, 1.5, 99999999999999999999]";
        let found = check(&read_tree(text), &environment).unwrap();
        assert_eq!(found.used.len(), 1);
    }
}
