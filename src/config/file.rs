//! What is written in a configuration file: every value as text, with the place it stands at. What
//! it means is decided in the parent.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::cli;
use super::mistake::{Mistake, Place};

/// A larger file is no configuration.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The only version there is.
const VERSION: &str = "1";

/// A text, and where it stands.
pub type Said = Spanned<String>;

/// A configuration file.
#[derive(Debug)]
pub struct File {
    /// Its name, as it was given.
    pub path: Arc<str>,
    /// What flags could say as well, in order.
    pub settings: Vec<Setting>,
    /// The routes.
    pub routes: Vec<Spanned<RouteEntry>>,
    /// The upstreams that have a name.
    pub upstreams: Vec<Spanned<UpstreamEntry>>,
    /// Where connections are passed on as they are.
    pub relays: Vec<Spanned<RelayEntry>>,
}

/// What a flag could say as well.
#[derive(Debug)]
pub struct Setting {
    /// The flag, without its dashes.
    pub flag: String,
    /// What it says; a switch says true or false.
    pub values: Vec<Said>,
}

/// `routes:` which requests go where, and what is changed about them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteEntry {
    /// Where the path begins.
    #[serde(deserialize_with = "given")]
    pub prefix: Option<Said>,
    /// The host asked for; any if not said.
    #[serde(deserialize_with = "given")]
    pub host: Option<Said>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of one that needs no name.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// What Host says to endpoints.
    #[serde(deserialize_with = "given")]
    pub host_header: Option<Said>,
    /// Whether the prefix is taken off the target.
    pub strip_prefix: Option<bool>,
    /// As `--response-timeout`.
    #[serde(deserialize_with = "given")]
    pub response_timeout: Option<Said>,
    /// As `--idle-timeout`.
    #[serde(deserialize_with = "given")]
    pub idle_timeout: Option<Said>,
    /// As `--tunnel-timeout`.
    #[serde(deserialize_with = "given")]
    pub tunnel_timeout: Option<Said>,
}

/// `tcp:` where connections come in and go, as they are.
#[derive(Clone, Debug)]
pub enum RelayEntry {
    /// As behind `--tcp`.
    Text(String),
    /// In full.
    Full(RelayFields),
}

/// A relay in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayFields {
    /// Where connections come in.
    #[serde(deserialize_with = "given")]
    pub listen: Option<Said>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of one that needs no name.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
}

/// `upstreams:` endpoints that can stand in for each other, and how they are dealt with. What is not
/// said is as the flags say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamEntry {
    /// What routes call it.
    #[serde(deserialize_with = "given")]
    pub name: Option<Said>,
    /// Where it is.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// Which endpoint a request goes to.
    #[serde(deserialize_with = "given")]
    pub policy: Option<Said>,
    /// The header of the PROXY protocol that connections begin with.
    #[serde(deserialize_with = "given")]
    pub proxy: Option<Said>,
    /// As `--connect-timeout`.
    #[serde(deserialize_with = "given")]
    pub connect_timeout: Option<Said>,
    /// As `--response-timeout`.
    #[serde(deserialize_with = "given")]
    pub response_timeout: Option<Said>,
    /// As `--idle-timeout`.
    #[serde(deserialize_with = "given")]
    pub idle_timeout: Option<Said>,
    /// As `--tunnel-timeout`.
    #[serde(deserialize_with = "given")]
    pub tunnel_timeout: Option<Said>,
    /// As `--upstream-keepalive-timeout`.
    #[serde(deserialize_with = "given")]
    pub upstream_keepalive_timeout: Option<Said>,
    /// As `--max-idle`.
    #[serde(deserialize_with = "given")]
    pub max_idle: Option<Said>,
    /// As `--max-fails`.
    #[serde(deserialize_with = "given")]
    pub max_fails: Option<Said>,
    /// As `--fail-timeout`.
    #[serde(deserialize_with = "given")]
    pub fail_timeout: Option<Said>,
    /// As `--fail-on-5xx`.
    pub fail_on_5xx: Option<bool>,
    /// As `--check`.
    #[serde(deserialize_with = "given")]
    pub check: Option<Said>,
    /// As `--check-interval`.
    #[serde(deserialize_with = "given")]
    pub check_interval: Option<Said>,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub enum EndpointEntry {
    /// As behind `--route`: `ADDRESS[@WEIGHT]`.
    Text(String),
    /// In full.
    Full(EndpointFields),
}

/// An endpoint in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointFields {
    /// Where it is.
    #[serde(deserialize_with = "given")]
    pub address: Option<Said>,
    /// Its share.
    #[serde(deserialize_with = "given")]
    pub weight: Option<Said>,
    /// Whether it only stands in for others.
    pub backup: Option<bool>,
}

impl File {
    /// Reads a file's text; `path` is what it is called in messages.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Vec<Mistake>> {
        let path: Arc<str> = path.into();
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let (line, column) = position(&bytes[..error.valid_up_to()]);
            let place = Place::File { path: Arc::clone(&path), line, column };
            vec![Mistake { place, what: "is no UTF-8: save the file in that encoding".to_owned() }]
        })?;
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            reject_unsupported_tags: true,
        };
        let written: Written =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let place = place(&path, error.location().unwrap_or(Location::UNKNOWN));
                vec![Mistake { place, what: explain(&error) }]
            })?;
        let mistakes = written.mistakes.into_iter();
        let mistakes: Vec<_> =
            mistakes.map(|(at, what)| Mistake { place: place(&path, at), what }).collect();
        if mistakes.is_empty() { Ok(Self { path, ..written.file }) } else { Err(mistakes) }
    }

    /// Where in it that is.
    pub fn place(&self, at: Location) -> Place {
        place(&self.path, at)
    }
}

/// A value that is written. That of a key without one would be taken for that of a key left out: a
/// route of one host, say, for a route of all.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Said>, D::Error> {
    Said::deserialize(deserializer).map(Some)
}

/// Where text ends, from 1.
fn position(text: &[u8]) -> (u64, u64) {
    let line = memchr::memchr_iter(b'\n', text).count();
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    (line as u64 + 1, String::from_utf8_lossy(last).chars().count() as u64 + 1)
}

fn place(path: &Arc<str>, at: Location) -> Place {
    Place::File { path: Arc::clone(path), line: at.line().max(1), column: at.column().max(1) }
}

/// The library's word for what is wrong, without the place, which is told apart, and without the
/// names of its options, which nobody can set.
fn explain(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let text = [" (defined at line ", " at line "]
        .iter()
        .fold(&*text, |text, end| text.split_once(end).map_or(text, |(what, _)| what));
    if text.contains("into string") && text.contains("null") {
        return "there is no value: write one, or leave the key out".to_owned();
    }
    if text.starts_with("multiple YAML documents") {
        return "there is more than one document: write one, without ---".to_owned();
    }
    if text.starts_with("budget breached") {
        return "the file is too large to be a configuration".to_owned();
    }
    let text = text.split(", set ").next().unwrap_or(text);
    text.replace("unknown field", "unknown key")
        .replace("mapping key:", "key")
        .replace('`', "\"")
        .replace("expected string scalar", "expected a text")
        .replace("expected mapping start", "expected keys")
        .replace("expected sequence start", "expected a list")
}

/// A file while it is read.
struct Written {
    file: File,
    mistakes: Vec<(Location, String)>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopLevel)
    }
}

struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys such as listen, routes and upstreams")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        let (settings, routes) = (Vec::new(), Vec::new());
        let file =
            File { path: "".into(), settings, routes, upstreams: Vec::new(), relays: Vec::new() };
        Ok(Written { file, mistakes: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut written = self.visit_unit::<A::Error>()?;
        while let Some(key) = map.next_key::<Said>()? {
            let file = &mut written.file;
            match key.value.as_str() {
                "version" => {
                    let version = map.next_value::<Said>()?;
                    if version.value != VERSION {
                        let what = format!("version {:?} is unknown: write 1", version.value);
                        written.mistakes.push((version.referenced, what));
                    }
                }
                "routes" => file.routes = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "upstreams" => file.upstreams = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "tcp" => file.relays = map.next_value::<Option<_>>()?.unwrap_or_default(),
                name => {
                    if let Some(setting) = cli::Setting::of_key(name) {
                        file.settings.push(read_setting(&setting, &mut map)?);
                    } else {
                        let _: IgnoredAny = map.next_value()?;
                        written.mistakes.push((key.referenced, unknown(name)));
                    }
                }
            }
        }
        Ok(written)
    }
}

fn read_setting<'de, A: MapAccess<'de>>(
    setting: &cli::Setting,
    map: &mut A,
) -> Result<Setting, A::Error> {
    let values = match setting.arity {
        cli::Arity::One => map.next_value::<Option<Said>>()?.into_iter().collect(),
        cli::Arity::Switch => {
            let on = map.next_value::<Spanned<bool>>()?;
            vec![Said {
                value: on.value.to_string(),
                referenced: on.referenced,
                defined: on.defined,
            }]
        }
        cli::Arity::Many => match map.next_value::<Spanned<Texts>>()? {
            Spanned { value: Texts::None, .. } => Vec::new(),
            Spanned { value: Texts::One(value), referenced, defined } => {
                vec![Said { value, referenced, defined }]
            }
            Spanned { value: Texts::Many(values), .. } => values,
        },
    };
    Ok(Setting { flag: setting.flag.clone(), values })
}

fn unknown(key: &str) -> String {
    let known = cli::Setting::all().into_iter().map(|setting| setting.key());
    let keys =
        ["version", "routes", "upstreams", "tcp"].map(str::to_owned).into_iter().chain(known);
    let near = keys.min_by_key(|known| distance(key, known));
    let near = near.filter(|known| distance(key, known) <= 1 + key.len() / 3);
    match near {
        Some(near) => format!("unknown key {key:?}: did you mean {near}?"),
        None => format!("unknown key {key:?}: see the flags in evener --help, written with _"),
    }
}

/// How many letters are to be changed, added or taken away (Levenshtein) to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let kept = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// A text, or a list of texts.
enum Texts {
    None,
    One(String),
    Many(Vec<Said>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts::None)
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts::One(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Reads a text as one variant and keys as the other.
macro_rules! text_or_fields {
    ($entry:ident, $fields:ident, $what:literal) => {
        impl<'de> Deserialize<'de> for $entry {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct TextOrFields;
                impl<'de> Visitor<'de> for TextOrFields {
                    type Value = $entry;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E>(self, text: &str) -> Result<$entry, E> {
                        Ok($entry::Text(text.to_owned()))
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$entry, A::Error> {
                        let map = serde::de::value::MapAccessDeserializer::new(map);
                        $fields::deserialize(map).map($entry::Full)
                    }
                }
                deserializer.deserialize_any(TextOrFields)
            }
        }
    };
}

text_or_fields!(EndpointEntry, EndpointFields, "ADDRESS[@WEIGHT], or address, weight and backup");
text_or_fields!(RelayEntry, RelayFields, "LISTEN=ENDPOINTS, or listen and endpoints or upstream");
