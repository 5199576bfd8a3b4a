//! Environment variables in the values of a configuration file: `${NAME}` and `${NAME:-default}`; `$${` is a plain
//! `${`. They are replaced in values that have been parsed, so that what a variable holds is always text inside
//! its value and never adds to the structure of the file. Keys are left alone.

use std::env::VarError;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Options, Spanned};

use crate::http::rules::escape::written_in_uri;

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
            (Err(VarError::NotPresent), None) => {
                return Err(format!(
                    "the environment variable {name} is not set: set it, write ${{{name}:-default}}, or $${{ for a \
                     plain ${{"
                ));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A name as shells have them (POSIX.1-2017, Base Definitions 8.1).
fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_word) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The variables that the values of a file refer to, or everything that is wrong with its references. A file that
/// is no YAML has none.
pub(super) fn check(
    text: &str,
    options: Options,
    environment: Environment<'_>,
) -> Result<Vec<UsedVariable>, Vec<(Location, String)>> {
    let read = serde_saphyr::from_str_with_options::<Spanned<Found>>(text, options);
    let mut found = Vec::new();
    if let Ok(Spanned { value, defined, .. }) = read {
        value.gather(defined, &mut found);
    }
    // A value with an anchor is there once for each of its aliases.
    let order = |place: &Location| (place.line(), place.column());
    found.sort_by_key(|(place, _)| order(place));
    found.dedup_by_key(|(place, _)| order(place));
    let (mut used, mut mistakes) = (Vec::new(), Vec::new());
    for (place, text) in found {
        if let Err(what) = substitute(&text, environment, &mut used) {
            mistakes.push((place, what));
        }
    }
    // Of two that begin alike, no part of the longer one is to be left over.
    used.sort_by(|a, b| (b.value.len(), &a.name).cmp(&(a.value.len(), &b.name)));
    used.dedup();
    if mistakes.is_empty() { Ok(used) } else { Err(mistakes) }
}

/// The texts with references in any value.
enum Found {
    /// It is such a text itself.
    Text(String),
    /// Those in its entries, with their places.
    Inside(Vec<(Location, String)>),
}

impl Found {
    fn gather(self, place: Location, into: &mut Vec<(Location, String)>) {
        match self {
            Self::Text(text) => into.push((place, text)),
            Self::Inside(mut texts) => into.append(&mut texts),
        }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Found;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Found, E> {
                let refers = text.contains(OPEN);
                Ok(if refers { Found::Text(text.to_owned()) } else { Found::Inside(Vec::new()) })
            }

            fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_i128<E>(self, _: i128) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_u128<E>(self, _: u128) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_unit<E>(self) -> Result<Found, E> {
                Ok(Found::Inside(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
                let mut texts = Vec::new();
                while let Some(Spanned { value, defined, .. }) =
                    list.next_element::<Spanned<Found>>()?
                {
                    value.gather(defined, &mut texts);
                }
                Ok(Found::Inside(texts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
                let mut texts = Vec::new();
                while let Some((_, Spanned { value, defined, .. })) =
                    map.next_entry::<IgnoredAny, Spanned<Found>>()?
                {
                    value.gather(defined, &mut texts);
                }
                Ok(Found::Inside(texts))
            }
        }
        deserializer.deserialize_any(Any)
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
        let used = check("['${A}', '${B}', '${A}']", Options::default(), &environment).unwrap();
        assert_eq!(hide(&used, "s3cr3t-12, s3cr3t-1".to_owned()), "${B}, ${A}");
    }

    #[test]
    fn all_that_is_wrong_in_a_file_is_found_with_its_place() {
        let text = "a: ['${X}', {b: \"${A} ${Y\"}]\n${KEY}: # ${Z}\n  - &v ${A}\n  - *v\nc: &w ${Z}\nd: *w\n";
        let found = check(text, Options::default(), &environment).unwrap_err();
        let places: Vec<_> = found.iter().map(|(at, _)| (at.line(), at.column())).collect();
        assert_eq!(places, [(1, 5), (1, 17), (5, 7)]);
        let used = |text| check(text, Options::default(), &environment).map(|used| used.len());
        assert_eq!(used("['${A}', 1, -1, true, ~, 1.5, 99999999999999999999]"), Ok(1));
        assert_eq!(used("['${X}'"), Ok(0));
    }
}
