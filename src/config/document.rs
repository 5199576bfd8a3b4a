//! What is configured in code, written as the document that a file would be: one language and one validation serve
//! both. Every line says one thing, so that a mistake names that thing and not a line that nobody wrote.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;

/// Keys with their values, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<(String, Json)>);

impl Keys {
    /// Gives a key this value, instead of an earlier one.
    pub(super) fn set(&mut self, key: &str, value: Json) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Adds one more to the list of a key.
    pub(super) fn push(&mut self, key: &str, value: Json) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, Json::Array(list))) => list.push(value),
            _ => self.set(key, Json::Array(vec![value])),
        }
    }

    /// Gives an entry of a key's mapping this value.
    pub(super) fn insert(&mut self, key: &str, entry: &str, value: Json) {
        if !matches!(self.get(key), Some(Json::Object(_))) {
            self.set(key, Json::Object(serde_json::Map::new()));
        }
        if let Some((_, Json::Object(map))) = self.0.iter_mut().find(|(known, _)| known == key) {
            map.insert(entry.to_owned(), value);
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The text of a key's value.
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Json::as_str).unwrap_or_default()
    }
}

/// A document, and what each of its lines says.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) text: String,
    /// The item of each line.
    pub(super) items: Arc<[Arc<str>]>,
}

/// Writes a document line by line.
#[derive(Default)]
pub(super) struct DocumentWriter {
    text: String,
    items: Vec<Arc<str>>,
}

impl DocumentWriter {
    /// Writes a document of these keys, and of lists whose entries have names.
    pub(super) fn write(keys: &Keys, lists: &[(&str, Vec<(String, &Keys)>)]) -> Document {
        let mut writer = Self::default();
        writer.line("configuration", "{");
        writer.keys("", keys);
        for (key, entries) in lists.iter().filter(|(_, entries)| !entries.is_empty()) {
            writer.line(key, &format!("{}: [", quoted(&Json::from(*key))));
            for (name, entry) in entries {
                writer.line(name, "{");
                writer.keys(&format!("{name}: "), entry);
                writer.line(name, "},");
            }
            writer.line(key, "],");
        }
        writer.line("configuration", "}");
        Document { text: writer.text, items: writer.items.into() }
    }

    fn keys(&mut self, within: &str, keys: &Keys) {
        for (key, value) in &keys.0 {
            let line = format!("{}: {},", quoted(&Json::from(&**key)), quoted(value));
            self.line(&format!("{within}{key}"), &line);
        }
    }

    fn line(&mut self, item: &str, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.items.push(item.into());
    }
}

/// JSON, which is YAML but for what may stand in a text as it is.
fn quoted(value: &Json) -> String {
    let mut out = String::new();
    for char in value.to_string().chars() {
        match char {
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out
}
