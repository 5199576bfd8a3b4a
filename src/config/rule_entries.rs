//! What a file says of requests and answers, as it is written.

use std::fmt;

use super::spanned::Spanned;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::entries::{Said, given, given_list_with_place, text_or_fields};

/// Names, each with its text, in order.
#[derive(Clone, Debug)]
pub struct NamedTexts(pub Vec<(Said, Said)>);

impl<'de> Deserialize<'de> for NamedTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = NamedTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with values, as in {NAME: value}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(NamedTexts(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// What is changed about a head.
#[derive(Clone, Debug)]
pub enum HeadEditsEntry {
    /// A text alone, which is a mistake.
    Text(String),
    /// In full.
    Full(BoxedHeadEdits),
}

/// Few routes have them.
pub type BoxedHeadEdits = Box<HeadEditsFields>;

/// What is changed about a head, in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeadEditsFields {
    /// What fields say instead of what they said.
    #[serde(deserialize_with = "given")]
    pub set: Option<Spanned<NamedTexts>>,
    /// What further fields say.
    #[serde(deserialize_with = "given")]
    pub add: Option<Spanned<NamedTexts>>,
    /// The names of fields that are removed.
    #[serde(deserialize_with = "given_list_with_place")]
    pub remove: Option<Spanned<Vec<Said>>>,
}

/// Where clients are sent.
#[derive(Clone, Debug)]
pub enum RedirectEntry {
    /// A text alone, which is a mistake.
    Text(String),
    /// In full.
    Full(RedirectFields),
}

/// A redirect in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedirectFields {
    /// What Location says.
    #[serde(deserialize_with = "given")]
    pub to: Option<Said>,
    /// The status.
    #[serde(deserialize_with = "given")]
    pub status: Option<Said>,
}

/// What clients are answered.
#[derive(Clone, Debug)]
pub enum RespondEntry {
    /// A text alone, which is a mistake.
    Text(String),
    /// In full.
    Full(BoxedRespond),
}

/// Few routes have one.
pub type BoxedRespond = Box<RespondFields>;

/// An answer in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RespondFields {
    /// The status.
    #[serde(deserialize_with = "given")]
    pub status: Option<Said>,
    /// The body.
    #[serde(deserialize_with = "given")]
    pub body: Option<Said>,
    /// Its media type.
    #[serde(deserialize_with = "given")]
    pub content_type: Option<Said>,
    /// Further headers.
    #[serde(deserialize_with = "given")]
    pub headers: Option<Spanned<NamedTexts>>,
}

/// How many requests there may be in a time.
#[derive(Clone, Debug)]
pub enum RateLimitEntry {
    /// A text alone, which is a mistake.
    Text(String),
    /// In full.
    Full(BoxedRateLimit),
}

/// Few routes have one.
pub type BoxedRateLimit = Box<RateLimitFields>;

/// A rate limit in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RateLimitFields {
    /// How many requests in a second, minute or hour.
    #[serde(deserialize_with = "given")]
    pub rate: Option<Said>,
    /// How many at once.
    #[serde(deserialize_with = "given")]
    pub burst: Option<Said>,
    /// Whose requests are counted together.
    #[serde(deserialize_with = "given")]
    pub by: Option<Said>,
}

/// Who gets copies of requests.
#[derive(Clone, Debug)]
pub enum MirrorEntry {
    /// A text alone, which is a mistake.
    Text(String),
    /// In full.
    Full(MirrorFields),
}

/// A mirror in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorFields {
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// How many of the requests are copied, in percent.
    #[serde(deserialize_with = "given")]
    pub percent: Option<Said>,
}

text_or_fields!(
    HeadEditsEntry,
    BoxedHeadEdits,
    "{set: {NAME: value}, add: {NAME: value}, remove: [NAME]}"
);
text_or_fields!(RedirectEntry, RedirectFields, "{to: LOCATION, status: 308}");
text_or_fields!(RespondEntry, BoxedRespond, "{status: 503, body: text}");
text_or_fields!(MirrorEntry, MirrorFields, "{upstream: NAME, percent: 100}");
text_or_fields!(RateLimitEntry, BoxedRateLimit, "{rate: 100/s, burst: 200, by: client}");
