//! The entries of a file's lists, as they are written: every value a text, with its place.

use std::fmt;
use std::marker::PhantomData;

use super::spanned::Spanned;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A text with its place in the file.
pub type Said = Spanned<String>;

/// An entry of `certificates:`.
#[derive(Clone, Debug)]
pub enum CertificateEntry {
    /// A path alone, which is a mistake.
    Text(String),
    /// In full.
    Full(CertificateFields),
}

/// A certificate in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CertificateFields {
    /// The file of the chain.
    #[serde(deserialize_with = "given")]
    pub cert: Option<Said>,
    /// The file of the key, if it is another one.
    #[serde(deserialize_with = "given")]
    pub key: Option<Said>,
}

/// An entry of `tcp:`, which relays TCP connections.
#[derive(Clone, Debug)]
pub enum RelayEntry {
    /// In the syntax of `--tcp`.
    Text(String),
    /// In full.
    Full(RelayFields),
}

/// A relay in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RelayFields {
    /// Where to listen.
    #[serde(deserialize_with = "given")]
    pub listen: Option<Said>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of an unnamed upstream.
    #[serde(deserialize_with = "given_list")]
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// The upstreams of TLS connections, by the names they ask for.
    #[serde(deserialize_with = "given")]
    pub sni: Option<Box<Spanned<ServerNameEntries>>>,
}

/// Server names, each with the name of its upstream, in order.
#[derive(Clone, Debug)]
pub struct ServerNameEntries(pub Vec<(Said, Said)>);

/// An entry of `upstreams:`, a set of interchangeable endpoints with their settings. Absent settings
/// default to the flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpstreamEntry {
    /// The name that routes refer to.
    #[serde(deserialize_with = "given")]
    pub name: Option<Said>,
    /// Its endpoints.
    #[serde(deserialize_with = "given_list")]
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// The balancing policy.
    #[serde(deserialize_with = "given")]
    pub policy: Option<Said>,
    /// As `--hash-on`.
    #[serde(deserialize_with = "given")]
    pub hash_on: Option<Said>,
    /// As `--sticky`, or in full.
    #[serde(deserialize_with = "given")]
    pub sticky: Option<Box<Spanned<StickyEntry>>>,
    /// As `--slow-start`.
    #[serde(deserialize_with = "given")]
    pub slow_start: Option<Said>,
    /// The version of the PROXY protocol header that connections begin with.
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
    /// As `--eject-max`.
    #[serde(deserialize_with = "given")]
    pub eject_max: Option<Said>,
    /// As `--fail-on-5xx`.
    #[serde(deserialize_with = "given")]
    pub fail_on_5xx: Option<bool>,
    /// As `--check`, or in full.
    #[serde(deserialize_with = "given")]
    pub check: Option<Spanned<CheckEntry>>,
    /// As `--check-interval`.
    #[serde(deserialize_with = "given")]
    pub check_interval: Option<Said>,
    /// As `--max-requests`.
    #[serde(deserialize_with = "given")]
    pub max_requests: Option<Said>,
    /// What waits for room.
    #[serde(deserialize_with = "given")]
    pub queue: Option<Spanned<WrittenQueue>>,
    /// As `--retries`.
    #[serde(deserialize_with = "given")]
    pub retries: Option<Said>,
    /// As `--retry-on`.
    #[serde(deserialize_with = "given_list_with_place")]
    pub retry_on: Option<Spanned<Vec<Said>>>,
    /// As `--retry-budget`.
    #[serde(deserialize_with = "given")]
    pub retry_budget: Option<Said>,
    /// As `--attempt-timeout`.
    #[serde(deserialize_with = "given")]
    pub attempt_timeout: Option<Said>,
    /// As `--host-header`.
    #[serde(deserialize_with = "given")]
    pub host_header: Option<Said>,
    /// As `--upstream-sni`.
    #[serde(deserialize_with = "given")]
    pub sni: Option<Said>,
    /// As `--upstream-ca`.
    #[serde(deserialize_with = "given")]
    pub ca: Option<Said>,
    /// Whether the certificates of its endpoints are verified; as no `--upstream-insecure`.
    #[serde(deserialize_with = "given")]
    pub verify: Option<bool>,
    /// As `--upstream-cert`.
    #[serde(deserialize_with = "given")]
    pub client_cert: Option<Said>,
    /// As `--upstream-key`.
    #[serde(deserialize_with = "given")]
    pub client_key: Option<Said>,
}

/// Sticky sessions.
#[derive(Clone, Debug)]
pub enum StickyEntry {
    /// In the syntax of `--sticky`: `NAME[,max_age=TIME]`.
    Text(String),
    /// In full.
    Full(StickyFields),
}

/// Sticky sessions in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StickyFields {
    /// The name of the cookie.
    #[serde(deserialize_with = "given")]
    pub cookie: Option<Said>,
    /// How long clients keep it.
    #[serde(deserialize_with = "given")]
    pub max_age: Option<Said>,
}

/// What waits for room at the endpoints of an upstream.
#[derive(Clone, Debug)]
pub enum WrittenQueue {
    /// A number alone, as with `--queue`, which is a mistake.
    Text(String),
    /// In full.
    Full(QueueFields),
}

/// What waits for room, in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueueFields {
    /// As `--queue`.
    #[serde(deserialize_with = "given")]
    pub max: Option<Said>,
    /// As `--queue-timeout`.
    #[serde(deserialize_with = "given")]
    pub timeout: Option<Said>,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub enum EndpointEntry {
    /// In the syntax of `--route`: `ADDRESS[@WEIGHT]`.
    Text(String),
    /// In full.
    Full(EndpointFields),
}

/// An endpoint in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointFields {
    /// Where it is.
    #[serde(deserialize_with = "given")]
    pub address: Option<Said>,
    /// Its weight.
    #[serde(deserialize_with = "given")]
    pub weight: Option<Said>,
    /// Whether it is used only while no other is available.
    #[serde(deserialize_with = "given")]
    pub backup: Option<bool>,
}

/// How the endpoints of an upstream are checked.
#[derive(Clone, Debug)]
pub enum CheckEntry {
    /// In the syntax of `--check`.
    Text(String),
    /// In full.
    Full(BoxedCheckFields),
}

/// Few entries have them.
pub type BoxedCheckFields = Box<CheckFields>;

impl CheckEntry {
    /// Whether a request is made, which takes an endpoint of HTTP.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Text(text) => ["http", "grpc"].iter().any(|kind| text.starts_with(kind)),
            Self::Full(fields) => {
                [&fields.http, &fields.https, &fields.grpc].iter().any(|said| said.is_some())
            }
        }
    }
}

/// A check in full: one question, and what belongs to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckFields {
    /// To accept a connection: `true`.
    #[serde(deserialize_with = "given")]
    pub tcp: Option<Spanned<bool>>,
    /// To answer a request for this path.
    #[serde(deserialize_with = "given")]
    pub http: Option<Said>,
    /// The same over TLS.
    #[serde(deserialize_with = "given")]
    pub https: Option<Said>,
    /// What the health service of gRPC says of this service; of the whole server, if it is empty.
    #[serde(deserialize_with = "given")]
    pub grpc: Option<Said>,
    /// What Host or `:authority` says.
    #[serde(deserialize_with = "given")]
    pub host: Option<Said>,
    /// The method.
    #[serde(deserialize_with = "given")]
    pub method: Option<Said>,
    /// The statuses that are healthy.
    #[serde(deserialize_with = "given")]
    pub status: Option<Spanned<StatusTexts>>,
    /// What the body contains.
    #[serde(deserialize_with = "given")]
    pub body: Option<Said>,
    /// Another port of the same address.
    #[serde(deserialize_with = "given")]
    pub port: Option<Said>,
    /// As `--check-interval`.
    #[serde(deserialize_with = "given")]
    pub interval: Option<Said>,
    /// How long a check may take.
    #[serde(deserialize_with = "given")]
    pub timeout: Option<Said>,
    /// Successes in a row that bring an endpoint back.
    #[serde(deserialize_with = "given")]
    pub rise: Option<Said>,
    /// Failures in a row that take it out.
    #[serde(deserialize_with = "given")]
    pub fall: Option<Said>,
}

/// Statuses, in one text or in a list.
#[derive(Clone, Debug)]
pub struct StatusTexts(pub Vec<String>);

impl<'de> Deserialize<'de> for StatusTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = StatusTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("statuses, as in 200-299,404 or [200-299, 404]")
            }

            fn visit_str<E>(self, text: &str) -> Result<StatusTexts, E> {
                Ok(StatusTexts(vec![text.to_owned()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<StatusTexts, E> {
                Ok(StatusTexts(vec![number.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<StatusTexts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    texts.push(text);
                }
                Ok(StatusTexts(texts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// A value that is written. That of a key without one would be taken for that of a key left out: a
/// route of one host, say, for a route of all.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same of a list.
pub(super) fn given_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    ListEntries::deserialize(deserializer).map(|list| Some(list.0))
}

/// The same of a list with its place in the file.
pub(super) fn given_list_with_place<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Spanned<Vec<T>>>, D::Error> {
    let list = Spanned::<ListEntries<T>>::deserialize(deserializer);
    list.map(|Spanned { value, referenced, defined }| {
        Some(Spanned { value: value.0, referenced, defined })
    })
}

/// A list with its place in the file, which few entries have.
pub type RareList = Box<Spanned<Vec<Said>>>;

/// The same of such a list.
pub(super) fn given_rare_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RareList>, D::Error> {
    given_list_with_place(deserializer).map(|list| list.map(Box::new))
}

/// A list. Of a key without a value, it is said that there is none, and not that it is no list.
pub struct ListEntries<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ListEntries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = ListEntries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, as in [one, another]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(list.size_hint().unwrap_or_default());
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(ListEntries(entries))
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug)]
pub enum TextOrList {
    /// A text.
    One(String),
    /// A list, with the place of each.
    Many(Vec<Said>),
}

impl<'de> Deserialize<'de> for TextOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = TextOrList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOrList, E> {
                Ok(TextOrList::One(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<TextOrList, E> {
                Ok(TextOrList::One(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextOrList, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(TextOrList::Many(texts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for ServerNameEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = ServerNameEntries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("server names with upstreams, as in {a.example.com: app}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(ServerNameEntries(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Deserialises a text as one variant and a mapping as the other.
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

pub(super) use text_or_fields;

text_or_fields!(EndpointEntry, EndpointFields, "ADDRESS[@WEIGHT], or address, weight and backup");
text_or_fields!(RelayEntry, RelayFields, "LISTEN=ENDPOINTS, or keys such as listen and upstream");
text_or_fields!(
    CheckEntry,
    BoxedCheckFields,
    "a check such as http:/health, {http: /health} or off"
);
text_or_fields!(
    StickyEntry,
    StickyFields,
    "the name of a cookie, {cookie: NAME, max_age: TIME} or off"
);
text_or_fields!(WrittenQueue, QueueFields, "{max: NUMBER, timeout: TIME}");
text_or_fields!(CertificateEntry, CertificateFields, "{cert: FILE, key: FILE}");
