//! Parses a configuration file: every value as text, with its place in the file. The parent module
//! parses the values.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entries::{
    BoxedCheckFields, CertificateEntry, CheckEntry, ListEntries, RelayEntry, Said, TextOrList,
    UpstreamEntry,
};
use super::environment::{self, Environment, OPEN, References, UsedVariable};
use super::mistake::{Mistake, Place};
use super::node_deserializer::NodeDeserializer;
use super::one_pass;
use super::route_entry::RouteEntry;
use super::rule_entries::{HeadEditsEntry, NamedTexts};
use super::setting::{Arity, Setting};
use super::shape::{self, Misshapes};
use super::spanned::{Location, Spanned};
use super::tree::{self, PlacedNode};
use super::wording::{VALUES_MAX, explain};

/// The most that is read, in bytes: of the file and all that it includes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The only version of the file format.
const VERSION: &str = "1";

/// What a file may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole<'a> {
    /// Everything.
    Main,
    /// Only routes, upstreams, relays and certificates.
    Included {
        /// The path of the main file, in whose `include` it is.
        by: &'a str,
    },
    /// Everything: it was made in code, and each of its lines says one of these items.
    Code(&'a Arc<[Arc<str>]>),
}

/// The keys of an included file.
const INCLUDED_KEYS: [&str; 4] = ["routes", "upstreams", "tcp", "certificates"];

/// A configuration file.
#[derive(Debug)]
pub struct File {
    /// Its path, as given.
    pub path: Arc<str>,
    /// The item of each of its lines, if it was made in code.
    items: Arc<[Arc<str>]>,
    /// The files that it includes, by name or pattern.
    pub include: Vec<Said>,
    /// What its values take from the environment.
    references: References,
    /// What is wrong with it and says nothing of the rest: keys that there are not.
    mistakes: Vec<Mistake>,
    /// The settings that are also flags, in order.
    pub settings: Vec<WrittenSetting>,
    /// The check of all upstreams, where it is written in full.
    pub check: Option<Spanned<BoxedCheckFields>>,
    /// What holds for all requests and answers.
    pub rules: WrittenRules,
    /// The routes.
    pub routes: Vec<Spanned<RouteEntry>>,
    /// Where the key of the routes is, if there is one.
    routes_at: Option<Location>,
    /// The named upstreams.
    pub upstreams: Vec<Spanned<UpstreamEntry>>,
    /// The TCP relays.
    pub relays: Vec<Spanned<RelayEntry>>,
    /// The certificates of TLS listeners.
    pub certificates: Vec<Spanned<CertificateEntry>>,
}

/// What holds for all requests and answers, and comes before what routes say.
#[derive(Debug, Default)]
pub struct WrittenRules {
    /// What is changed about the headers of requests.
    pub request_headers: Option<Spanned<HeadEditsEntry>>,
    /// What is changed about the headers of responses.
    pub response_headers: Option<Spanned<HeadEditsEntry>>,
    /// The files of what error answers say.
    pub error_pages: Option<Spanned<NamedTexts>>,
    /// How many bytes the body of a request may have.
    pub max_body: Option<Said>,
}

/// A setting that is also a flag.
#[derive(Debug)]
pub struct WrittenSetting {
    /// The flag, without its dashes.
    pub flag: String,
    /// Its values; for a switch, `true` or `false`: whether the flag is given.
    pub values: Vec<Said>,
}

impl File {
    /// Parses a file; `path` is its name in messages. References to environment variables are replaced.
    pub fn parse(
        path: &str,
        bytes: &[u8],
        role: FileRole<'_>,
        environment: Environment<'_>,
    ) -> Result<Self, Vec<Mistake>> {
        let path: Arc<str> = path.into();
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let (line, column) = position(&bytes[..error.valid_up_to()]);
            let place = Place::File { path: Arc::clone(&path), line, column };
            vec![Mistake {
                place,
                what: "is not valid UTF-8: save the file in that encoding".to_owned(),
            }]
        })?;
        let items = if let FileRole::Code(items) = role { Arc::clone(items) } else { [].into() };
        let told = |at, what| Mistake { place: place(&path, &items, at), what };
        let all = |mistakes: PlacedMistakes| -> Vec<Mistake> {
            mistakes.into_iter().map(|(at, what)| told(at, what)).collect()
        };
        let (root, unknown, references) = look(text, environment).map_err(all)?;
        let environment = may_refer(text).then_some(environment);
        let read = Written::deserialize(NodeDeserializer { node: root, environment });
        let mut written = read.map_err(|error| {
            let at = error.at.unwrap_or(Location::UNKNOWN);
            vec![told(at, environment::hide(&references.used, error.what.replace('`', "\"")))]
        })?;
        if let FileRole::Included { by } = role {
            written.refuse_others(by);
        }
        let mistakes = [all(written.mistakes), all(unknown)].concat();
        Ok(Self { path, items, references, mistakes, ..written.file })
    }

    /// Whether it was made in code.
    pub(super) fn is_code(&self) -> bool {
        !self.items.is_empty()
    }

    /// The text with names of environment variables instead of what they hold that may be a secret.
    pub(super) fn hide(&self, text: String) -> String {
        environment::hide(&self.references.used, text)
    }

    /// The environment variables that its values refer to.
    pub(super) fn variables(&self) -> &[UsedVariable] {
        &self.references.used
    }

    /// A text that may have variables of requests; braces from the environment are braces in it.
    pub(super) fn template<'a>(&'a self, said: &'a Said) -> &'a str {
        self.references.template(said)
    }

    /// What is wrong with it, and leaves it clear what the rest says.
    pub(super) fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// Where its routes are, or would be.
    pub(super) fn place_of_routes(&self) -> Place {
        self.place(self.routes_at.unwrap_or(Location::UNKNOWN))
    }

    /// The place of a location in this file.
    pub fn place(&self, at: Location) -> Place {
        place(&self.path, &self.items, at)
    }
}

/// What is wrong with a file, where it is.
type PlacedMistakes = Vec<(Location, String)>;

/// Reads a file, and looks at its shape and at its references to the environment. Returns what it says, its unknown keys,
/// which leave it clear what the others say, and what it takes from there. Whatever else is wrong is all that can be
/// said of it.
fn look<'a>(
    text: &'a str,
    environment: Environment<'_>,
) -> Result<(PlacedNode<'a>, PlacedMistakes, References), PlacedMistakes> {
    let read = one_pass::read(text, VALUES_MAX);
    let read = read.map_or_else(|| tree::read(text, options()), Ok);
    let root = read.map_err(|error| {
        let at = error.location().map_or(Location::UNKNOWN, Location::from);
        let what = if is_within_reference(text, at) {
            "in [] and {}, write \"${NAME}\" with quotes".to_owned()
        } else {
            explain(&error, text)
        };
        vec![(at, what)]
    })?;
    let Misshapes { values, keys } = shape::check(&root);
    let references = if may_refer(text) {
        environment::check(&root, environment)
    } else {
        Ok(References::default())
    };
    match references {
        Ok(references) if values.is_empty() => Ok((root, keys, references)),
        references => {
            let of_references = references.err().unwrap_or_default();
            let mut all = [values, keys, of_references].concat();
            all.sort_by_key(|(at, _)| (at.line(), at.column()));
            Err(all)
        }
    }
}

/// Whether any value may refer to the environment: an escape may stand for the sign.
fn may_refer(text: &str) -> bool {
    memchr::memchr2(b'$', b'\\', text.as_bytes()).is_some()
}

/// What the library is told.
pub(super) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! {
            max_nodes: VALUES_MAX,
            max_events: 3 * VALUES_MAX,
        },
    }
}

/// The line and column at which `text` ends, from 1.
fn position(text: &[u8]) -> (u64, u64) {
    let line = memchr::memchr_iter(b'\n', text).count();
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    (line as u64 + 1, String::from_utf8_lossy(last).chars().count() as u64 + 1)
}

/// Whether this is the brace of a `${`. In flow style it begins a mapping unless it is in quotes.
fn is_within_reference(text: &str, at: Location) -> bool {
    let (line, column) = (at.line().saturating_sub(1), at.column().saturating_sub(2));
    let line = usize::try_from(line).ok().and_then(|line| text.lines().nth(line));
    let before = usize::try_from(column).unwrap_or(usize::MAX);
    line.is_some_and(|line| line.chars().skip(before).take(OPEN.len()).eq(OPEN.chars()))
}

fn place(path: &Arc<str>, items: &[Arc<str>], at: Location) -> Place {
    let line = at.line().max(1);
    let index = usize::try_from(line - 1).unwrap_or(usize::MAX);
    match items.get(index).or(items.last()) {
        Some(name) => Place::Item { name: Arc::clone(name), nth: line },
        None => Place::File { path: Arc::clone(path), line, column: at.column().max(1) },
    }
}

/// A file while it is parsed.
struct Written {
    file: File,
    /// Its known keys.
    keys: Vec<Said>,
    mistakes: Vec<(Location, String)>,
}

impl Written {
    /// Notes what belongs in the main file.
    fn refuse_others(&mut self, main: &str) {
        for key in self.keys.iter().filter(|key| !INCLUDED_KEYS.contains(&key.value.as_str())) {
            let what = if key.value == "include" {
                format!("include: an included file includes no others: name them in {main}")
            } else {
                format!(
                    "{}: belongs in {main}: an included file has only {}",
                    key.value,
                    INCLUDED_KEYS.join(", ")
                )
            };
            self.mistakes.push((key.referenced, what));
        }
    }
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
        let file = File {
            path: "".into(),
            items: [].into(),
            include: Vec::new(),
            references: References::default(),
            mistakes: Vec::new(),
            routes_at: None,
            settings: Vec::new(),
            check: None,
            rules: WrittenRules::default(),
            routes: Vec::new(),
            upstreams: Vec::new(),
            relays: Vec::new(),
            certificates: Vec::new(),
        };
        Ok(Written { file, keys: Vec::new(), mistakes: Vec::new() })
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
                "include" => file.include = map.next_value().map(texts)?,
                "routes" => {
                    file.routes_at = Some(key.referenced);
                    file.routes = map.next_value::<ListEntries<_>>()?.0;
                }
                "upstreams" => file.upstreams = map.next_value::<ListEntries<_>>()?.0,
                "tcp" => file.relays = map.next_value::<ListEntries<_>>()?.0,
                "request_headers" => file.rules.request_headers = Some(map.next_value()?),
                "response_headers" => file.rules.response_headers = Some(map.next_value()?),
                "error_pages" => file.rules.error_pages = Some(map.next_value()?),
                "max_body" => file.rules.max_body = Some(map.next_value()?),
                "check" => match map.next_value()? {
                    Spanned { value: CheckEntry::Text(value), referenced, defined } => {
                        let values = vec![Said { value, referenced, defined }];
                        file.settings.push(WrittenSetting { flag: key.value.clone(), values });
                    }
                    Spanned { value: CheckEntry::Full(value), referenced, defined } => {
                        file.check = Some(Spanned { value, referenced, defined });
                    }
                },
                "certificates" => {
                    file.certificates = map.next_value::<CertificateEntries>()?.0;
                }
                name => {
                    if let Some(setting) = Setting::of_key(name) {
                        file.settings.push(read_setting(&setting, &mut map)?);
                    } else {
                        // It has been told already.
                        let _: IgnoredAny = map.next_value()?;
                        continue;
                    }
                }
            }
            written.keys.push(key);
        }
        Ok(written)
    }
}

fn read_setting<'de, A: MapAccess<'de>>(
    setting: &Setting,
    map: &mut A,
) -> Result<WrittenSetting, A::Error> {
    let values = match setting.arity {
        Arity::One => vec![map.next_value()?],
        Arity::Switch | Arity::OffSwitch => {
            let on = map.next_value::<Spanned<bool>>()?;
            let is_given = on.value == (setting.arity == Arity::Switch);
            vec![Said {
                value: is_given.to_string(),
                referenced: on.referenced,
                defined: on.defined,
            }]
        }
        Arity::Many => map.next_value().map(texts)?,
    };
    Ok(WrittenSetting { flag: setting.flag.clone(), values })
}

fn texts(Spanned { value, referenced, defined }: Spanned<TextOrList>) -> Vec<Said> {
    match value {
        TextOrList::One(value) => vec![Said { value, referenced, defined }],
        TextOrList::Many(values) => values,
    }
}

/// A list of certificates; one that is none is refused with an example.
struct CertificateEntries(Vec<Spanned<CertificateEntry>>);

impl<'de> Deserialize<'de> for CertificateEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = CertificateEntries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list: certificates: [{cert: FILE, key: FILE}]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(CertificateEntries(entries))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}
