//! What may not be meant in texts with variables: the signs of other programs, which are sent as they are.

use super::entries::Said;
use super::sources::At;
use crate::http::rules::template::TemplateError;
use crate::http::rules::variable::Variable;

/// The variables of other programs, with ours.
const OTHERWISE: [(&str, Variable); 8] = [
    ("remote_addr", Variable::Client),
    ("remote_port", Variable::ClientPort),
    ("request_uri", Variable::Target),
    ("uri", Variable::Path),
    ("args", Variable::Query),
    ("query_string", Variable::Query),
    ("request_method", Variable::Method),
    ("http_host", Variable::Host),
];

/// How much of a line is shown, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// Warns of what the value of a header, or a location, may not be meant to say.
pub(super) fn look(said: &Said, template: &str, at: &mut At<'_>) {
    let found = dollar(&said.value, |_| true).or_else(|| closing(template));
    if let Some(what) = found {
        at.mistakes.warn(&at.file.place(said.referenced), &what);
    }
}

/// The same of a body, which may be a script with variables of its own.
pub(super) fn look_at_body(said: &Said, template: &str, at: &mut At<'_>) {
    let found = dollar(&said.value, |name| variable(name).is_some()).or_else(|| closing(template));
    if let Some(what) = found {
        at.mistakes.warn(&at.file.place(said.referenced), &what);
    }
}

/// The variable of ours that is meant by a name.
fn variable(name: &str) -> Option<Variable> {
    let other =
        || OTHERWISE.iter().find(|(other, _)| *other == name).map(|(_, variable)| *variable);
    Variable::of(name).or_else(other)
}

/// The name of a variable after a dollar, if this holds for it.
fn dollar(text: &str, holds: impl Fn(&str) -> bool) -> Option<String> {
    let names = text.split('$').skip(1).map(|after| {
        let end = after.find(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        &after[..end.unwrap_or(after.len())]
    });
    let is_name =
        |name: &&str| name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let name = names.filter(is_name).find(|name| holds(name))?;
    Some(match variable(name) {
        Some(variable) => {
            format!("${name} is sent as it is written: write {variable} for that of the request")
        }
        None if name.bytes().all(|byte| !byte.is_ascii_lowercase()) => {
            format!(
                "${name} is sent as it is written: write ${{{name}}} for an environment variable"
            )
        }
        None => format!("${name} is sent as it is written: variables are written as {{client}}"),
    })
}

/// Two closing braces, of which there are too many to be those of a text in braces.
fn closing(template: &str) -> Option<String> {
    let opened = template.matches('{').count() - template.matches("{{").count();
    let closed = template.matches('}').count();
    (template.contains("}}") && closed > opened)
        .then(|| "}} is sent as two braces: only { is doubled, so write }".to_owned())
}

/// The variable that begins with a slash and follows another one, after a host.
pub(super) fn doubled_slash(location: &str) -> Option<Variable> {
    let (_, after) = location.split_once("://")?;
    [Variable::Target, Variable::Path]
        .into_iter()
        .find(|variable| after.contains(&format!("/{variable}")))
}

/// What is wrong with a text that may have several lines: with the line that it is in.
pub(super) fn told(text: &str, error: &TemplateError) -> String {
    let begins = match error {
        TemplateError::Unknown(name) => format!("{{{name}"),
        TemplateError::Unclosed(rest) => format!("{{{}", rest.lines().next().unwrap_or_default()),
        _ => return error.to_string(),
    };
    let line = (1..).zip(text.lines()).find(|(_, line)| line.contains(&begins));
    match line {
        Some((number, line)) if text.lines().nth(1).is_some() => {
            let shown: String = line.trim().chars().take(SHOWN_CHARS_MAX).collect();
            format!("line {number} of the text, {shown:?}: {error}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_a_dollar_are_told_from_other_dollars() {
        let rows = [
            ("$host", Some("write {host} for")),
            ("a $remote_addr", Some("write {client} for")),
            ("$API_KEY", Some("write ${API_KEY} for")),
            ("$x1y", Some("are written as {client}")),
            ("$5, $, $$ and ${x}", None),
        ];
        for (text, expected) in rows {
            let told = dollar(text, |_| true);
            assert_eq!(told.is_some(), expected.is_some(), "{text}: {told:?}");
            assert!(told.is_none_or(|told| expected.is_some_and(|text| told.contains(text))));
        }
        assert_eq!(dollar("const $el = 1", |name| variable(name).is_some()), None);
    }

    #[test]
    fn braces_of_a_text_in_braces_are_meant() {
        for text in ["{{\"a\": {{\"b\": 1}}", "a}b", "{host}", "{{a}", "}"] {
            assert_eq!(closing(text), None, "{text}");
        }
        for text in ["{{x}}", "a}}", "{{client}} {{host}}"] {
            assert!(closing(text).is_some(), "{text}");
        }
    }
}
