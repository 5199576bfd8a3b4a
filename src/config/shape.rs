//! Whether a file has the shape that it should: only keys that there are, each with the kind of value that it takes.
//! All that is wrong is told at once, before it is asked what the values mean.

use super::spanned::Location;

use super::environment::OPEN;
use super::keys::{Level, TOP, Takes};
use super::setting::{Arity, Setting};
use super::tree::{KeyText, Node, PlacedNode};
use super::unknown::Advice;

/// What is wrong with the shape of a file.
#[derive(Debug, Default)]
pub(super) struct Misshapes {
    /// What leaves it unclear what was meant: nothing else can be said of the file.
    pub(super) values: Vec<(Location, String)>,
    /// Keys that there are not, and that change nothing about the others.
    pub(super) keys: Vec<(Location, String)>,
}

/// Looks at all keys of a file.
pub(super) fn check(root: &PlacedNode<'_>) -> Misshapes {
    let mut shape = Shape { found: Misshapes::default(), settings: Setting::all() };
    match &root.value {
        Node::Empty => {}
        Node::Keys(keys) => shape.top(keys),
        other => {
            let begins = if matches!(other, Node::List(_)) { "a list" } else { "a text" };
            let what = format!(
                "the file is {begins}: write keys such as listen, routes and upstreams, as in routes: {}",
                example_of("routes")
            );
            shape.found.values.push((root.referenced, what));
        }
    }
    shape.found
}

fn example_of(name: &str) -> &'static str {
    TOP.key(name).map_or("", |key| key.example)
}

struct Shape {
    found: Misshapes,
    settings: Vec<Setting>,
}

impl Shape {
    fn top(&mut self, keys: &[(KeyText<'_>, PlacedNode<'_>)]) {
        for (name, value) in keys {
            if let Some(known) = TOP.key(&name.value) {
                self.value(name, value, known.takes, known.example);
                continue;
            }
            let setting = self.settings.iter().find(|setting| setting.key() == name.value);
            let Some(setting) = setting.cloned() else {
                self.unknown(name, value, &TOP);
                continue;
            };
            let takes = match setting.arity {
                Arity::Switch | Arity::OffSwitch => Takes::Switch,
                Arity::One => Takes::Text,
                Arity::Many => Takes::TextOrList,
            };
            self.setting(name, value, takes, &setting.example);
        }
    }

    /// A flag's key. Two of them are easily taken for others, or for nothing.
    fn setting(&mut self, name: &KeyText<'_>, value: &PlacedNode<'_>, takes: Takes, example: &str) {
        let is_keys = |entry: &PlacedNode<'_>| matches!(entry.value, Node::Keys(_));
        let what = match (&*name.value, &value.value) {
            ("route", Node::Keys(_)) => {
                format!("route takes what --route does: write routes: {}", example_of("routes"))
            }
            ("route", Node::List(entries)) if entries.iter().any(is_keys) => {
                "route takes what --route does: write routes for entries with keys".to_owned()
            }
            ("listen", Node::List(entries)) if entries.is_empty() => {
                "listen: there are no addresses: write one, as in listen: [\":8080\"], or leave the key out to \
                 listen on 127.0.0.1:8080"
                    .to_owned()
            }
            _ => return self.value(name, value, takes, example),
        };
        self.found.values.push((name.referenced, what));
    }

    fn level(&mut self, keys: &[(KeyText<'_>, PlacedNode<'_>)], level: &'static Level) {
        for (name, value) in keys {
            match level.key(&name.value) {
                Some(known) => self.value(name, value, known.takes, known.example),
                None => self.unknown(name, value, level),
            }
        }
    }

    fn unknown(&mut self, name: &KeyText<'_>, value: &PlacedNode<'_>, level: &Level) {
        let advice = Advice { level, settings: &self.settings };
        let what = advice.on(&name.value, value.value.as_text());
        self.found.keys.push((name.referenced, what));
    }

    fn value(&mut self, name: &KeyText<'_>, value: &PlacedNode<'_>, takes: Takes, example: &str) {
        match (takes, &value.value) {
            (_, Node::Empty) => {
                let what =
                    format!("{}: there is no value: write one, or leave the key out", name.value);
                self.found.values.push((name.referenced, what));
            }
            (Takes::Keys(level), Node::Keys(keys)) => self.level(keys, level),
            (Takes::Entries(level), Node::List(entries)) => {
                for entry in entries {
                    self.entry(name, entry, level, example);
                }
            }
            (Takes::Names, Node::Keys(keys)) => {
                for (inner, value) in keys {
                    self.value(inner, value, Takes::Text, "value");
                }
            }
            (Takes::List | Takes::TextOrList, Node::List(entries)) => {
                let other = entries.iter().find(|entry| entry.value.as_text().is_none());
                if let Some(other) = other {
                    let what = format!(
                        "{}: expected a list of texts, not of {}: write {}: {example}",
                        name.value,
                        other.value.kind().trim_start_matches("a "),
                        name.value
                    );
                    self.found.values.push((other.referenced, what));
                }
            }
            (Takes::Text | Takes::TextOrList, node) if node.as_text().is_some() => {}
            (Takes::Keys(level), node) if level.or_text && node.as_text().is_some() => {}
            (Takes::Switch, Node::Switch(..)) => {}
            (Takes::Switch, Node::Text(text)) if text.contains(OPEN) => {}
            (Takes::Switch, _) => {
                let what = format!("{}: expected true or false", name.value);
                self.found.values.push((value.referenced, what));
            }
            (_, other) => {
                let what = format!(
                    "{}: expected {}, not {}: write {}: {}",
                    name.value,
                    expected(takes),
                    other.kind(),
                    name.value,
                    suggested(takes, other, example)
                );
                self.found.values.push((value.referenced, what));
            }
        }
    }

    fn entry(
        &mut self,
        name: &KeyText<'_>,
        entry: &PlacedNode<'_>,
        level: &'static Level,
        example: &str,
    ) {
        match &entry.value {
            Node::Keys(keys) => self.level(keys, level),
            node if level.or_text && node.as_text().is_some() => {}
            other => {
                let text = if level.or_text { " or a text" } else { "" };
                let what = format!(
                    "an entry of {} is written with keys{text}, and here is {}: write {}: {example}",
                    name.value,
                    other.kind(),
                    name.value
                );
                self.found.values.push((entry.referenced, what));
            }
        }
    }
}

fn expected(takes: Takes) -> &'static str {
    match takes {
        Takes::Text => "a text",
        Takes::Switch => "true or false",
        Takes::List | Takes::Entries(_) => "a list",
        Takes::TextOrList => "a text or a list",
        Takes::Names => "names with values",
        Takes::Keys(Level { or_text: true, .. }) => "a text or keys",
        Takes::Keys(_) => "keys",
    }
}

/// What is written, in the way it should be, if that can be told; or else an example.
fn suggested(takes: Takes, written: &Node<'_>, example: &str) -> String {
    match (takes, written) {
        (Takes::List, node) => node.as_text().map(|text| format!("[{}]", quoted(text))),
        // A text stands in the place of a certificate only to be told how one is written.
        (Takes::Entries(_), Node::Text(_)) if example.starts_with("[{") => None,
        (Takes::Text, Node::List(entries)) => match &entries[..] {
            [one] => one.value.as_text().map(quoted),
            _ => None,
        },
        (Takes::Entries(level), Node::Keys(keys)) if level.key("name").is_some() => {
            let named = keys.iter().find(|(_, value)| matches!(value.value, Node::Keys(_)));
            named.map(|(name, _)| format!("[{{name: {}, endpoints: […]}}]", quoted(&name.value)))
        }
        (Takes::Entries(Level { or_text: true, .. }), node) => {
            node.as_text().map(|text| format!("[{}]", quoted(text)))
        }
        _ => None,
    }
    .unwrap_or_else(|| example.to_owned())
}

/// A text as it is written in a list, in quotes if it needs them there.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%".contains(&byte);
    let begins_plain =
        text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'/');
    if begins_plain && text.bytes().all(is_plain) && !text.ends_with(':') {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}
