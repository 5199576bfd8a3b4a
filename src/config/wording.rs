//! What to say of a configuration file that cannot be read, in the words of its users.

use serde_saphyr::{Error, Location};

/// The most values of one file, keys included: those of 100 000 routes, several times.
pub(super) const VALUES_MAX: usize = 2_000_000;

/// The library's error message without the place, which is reported separately, and without the names
/// of library options, which users cannot set.
pub(super) fn explain(error: &Error, file: &str) -> String {
    let text = error.to_string();
    let text = [" (defined at line ", " at line "]
        .iter()
        .fold(&*text, |text, end| text.split_once(end).map_or(text, |(what, _)| what));
    let is_none = text.contains("into string") && text.contains("null");
    if is_none || text.starts_with("invalid type: unit value") {
        return "there is no value: write one, or leave the key out".to_owned();
    }
    if text.starts_with("multiple YAML documents") {
        return "there is more than one document: write one, without ---".to_owned();
    }
    let is_deep = text.starts_with("budget breached") && text.to_lowercase().contains("depth");
    if is_deep || text.starts_with("recursion limit") {
        return "lists and keys are nested too deeply: no key takes that".to_owned();
    }
    if text.starts_with("budget breached") {
        return format!(
            "the file is too large: it may have {VALUES_MAX} values: write parts of it in files of their own, and \
             name them in include"
        );
    }
    let text = text.split(", set ").next().unwrap_or(text);
    if let Some(key) = text.strip_prefix("duplicate mapping key: ") {
        return format!("{key} is given twice: leave one out");
    }
    if let Some(found) = error.location().and_then(|at| Syntax { file, at }.explain(text)) {
        return found;
    }
    text.replace("invalid boolean (strict mode expects true/false)", "expected true or false")
        .replace("mapping key:", "key")
        .replace('`', "\"")
        .replace("expected string scalar", "expected a text")
        .replace("expected mapping start", "expected keys, as in {key: value}")
}

/// A place at which a file is no YAML.
struct Syntax<'a> {
    file: &'a str,
    at: Location,
}

impl Syntax<'_> {
    /// What was probably meant there.
    fn explain(&self, text: &str) -> Option<String> {
        let (line, rest) = self.line()?;
        if let Some(mark @ ('*' | '&' | '%' | '@' | '`')) = rest.chars().next() {
            let end = |char: char| char.is_whitespace() || ",]}".contains(char);
            let word = rest.split(end).next().unwrap_or(rest);
            return Some(format!("in YAML a {mark} needs quotes: write \"{word}\""));
        }
        if text.contains("tabs disallowed") || line.starts_with('\t') {
            return Some("a tab cannot indent a line in YAML: write spaces".to_owned());
        }
        let open = self.open();
        if let Some(Open { mark: mark @ ('"' | '\''), line, column, .. }) = open {
            return Some(format!(
                "the text that begins with {mark} at {line}:{column} does not end: write {mark} at its end too"
            ));
        }
        if let Some(Open { mark: mark @ ('[' | '{'), line, column, .. }) = open
            && line < self.at.line()
        {
            let close = if mark == '[' { ']' } else { '}' };
            return Some(format!("the {mark} at {line}:{column} is not closed: write {close}"));
        }
        if open.is_some() && rest.starts_with(':') {
            return Some(self.colon(line));
        }
        let is_misplaced = [
            "did not find expected '-'",
            "did not find expected key",
            "block mapping",
            "indentation",
        ]
        .iter()
        .any(|known| text.contains(known));
        if rest.starts_with(':') || text.contains("mapping values are not allowed") {
            return Some(
                "a colon and a space end a key: write the text before it, or all of the value, in quotes".to_owned(),
            );
        }
        is_misplaced.then(|| {
            format!(
                "the line begins in column {}, where none above it does: keys of one entry begin in the same column",
                self.at.column()
            )
        })
    }

    /// The line it is on, and what of that follows it.
    fn line(&self) -> Option<(&str, &str)> {
        let line = self.file.lines().nth(usize::try_from(self.at.line()).ok()?.checked_sub(1)?)?;
        let before = usize::try_from(self.at.column()).ok()?.saturating_sub(1);
        let at = line.char_indices().nth(before).map_or(line.len(), |(at, _)| at);
        Some((line, &line[at..]))
    }

    /// A value with a colon in it, in braces.
    fn colon(&self, line: &str) -> String {
        let before = usize::try_from(self.at.column()).unwrap_or_default().saturating_sub(1);
        let ends = |char: char| ",{[]}".contains(char);
        let start: String = line.chars().take(before).collect();
        let entry = start.rsplit(ends).next().unwrap_or(&start).trim();
        let rest: String = line.chars().skip(before).take_while(|char| !ends(*char)).collect();
        match entry.split_once(": ") {
            // The word before the colon may be the key that follows.
            Some((key, value)) if value.contains(' ') && rest.starts_with(": ") => {
                let (value, next) = value.rsplit_once(' ').unwrap_or((value, ""));
                format!("a comma is missing: write {key}: {value}, {next}{}", rest.trim_end())
            }
            Some((key, value)) => {
                let value = format!("{value}{}", rest.replacen(": ", ":", 1));
                format!("a value with a colon needs quotes here: write {key}: {:?}", value.trim())
            }
            None => "a value with a colon needs quotes in [] and {}".to_owned(),
        }
    }

    /// What is open at that place: the innermost bracket, or a text in quotes.
    fn open(&self) -> Option<Open> {
        let mut open: Vec<Open> = Vec::new();
        for (line, text) in (1..).zip(self.file.lines()) {
            let mut before = ' ';
            for (column, char) in (1..).zip(text.chars()) {
                if line > self.at.line() || line == self.at.line() && column >= self.at.column() {
                    return open.pop();
                }
                let quote = open.last().map(|open| open.mark).filter(|mark| "\"'".contains(*mark));
                let follows = |marks: &str| before.is_whitespace() || marks.contains(before);
                let opens = match char {
                    '"' | '\'' => follows("[{,:("),
                    '[' | '{' => follows("[{,:"),
                    _ => false,
                };
                let closes = match quote {
                    Some(mark) => mark == char && !(mark == '"' && before == '\\'),
                    None => matches!(char, ']' | '}'),
                };
                if quote.is_none() && char == '#' && before.is_whitespace() {
                    break;
                } else if closes {
                    open.pop();
                } else if quote.is_none() && opens {
                    open.push(Open { mark: char, line, column });
                }
                before = char;
            }
        }
        open.pop()
    }
}

/// Something that is open, and where it was opened.
#[derive(Clone, Copy)]
struct Open {
    mark: char,
    line: u64,
    column: u64,
}
