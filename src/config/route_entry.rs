//! An entry of `routes:`, as it is written.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

use super::entries::{EndpointEntry, Said, TextOrList, given, given_list, given_list_with_place};

/// An entry of `routes:`, which says where requests go and how they are changed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteEntry {
    /// The prefix of the path; `/` if there is no path either.
    #[serde(deserialize_with = "given")]
    pub prefix: Option<Said>,
    /// Or the path, exactly.
    #[serde(deserialize_with = "given")]
    pub path: Option<Said>,
    /// The requested host, or several; any if absent.
    #[serde(deserialize_with = "given")]
    pub host: Option<Spanned<TextOrList>>,
    /// The methods.
    #[serde(deserialize_with = "given_list_with_place")]
    pub methods: Option<Spanned<Vec<Said>>>,
    /// What headers say.
    #[serde(deserialize_with = "given")]
    pub headers: Option<Box<Spanned<NamedTexts>>>,
    /// What parameters of the query say.
    #[serde(deserialize_with = "given")]
    pub query: Option<Box<Spanned<NamedTexts>>>,
    /// Networks that clients are in.
    #[serde(deserialize_with = "given_list_with_place")]
    pub clients: Option<Spanned<Vec<Said>>>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of an unnamed upstream.
    #[serde(deserialize_with = "given_list")]
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// What Host says to endpoints.
    #[serde(deserialize_with = "given")]
    pub host_header: Option<Said>,
    /// Whether the prefix is stripped from the target.
    #[serde(deserialize_with = "given")]
    pub strip_prefix: Option<bool>,
    /// As `--response-timeout`.
    #[serde(deserialize_with = "given")]
    pub response_timeout: Option<Said>,
    /// As `--attempt-timeout`.
    #[serde(deserialize_with = "given")]
    pub attempt_timeout: Option<Said>,
    /// As `--idle-timeout`.
    #[serde(deserialize_with = "given")]
    pub idle_timeout: Option<Said>,
    /// As `--tunnel-timeout`.
    #[serde(deserialize_with = "given")]
    pub tunnel_timeout: Option<Said>,
    /// As `--retries`.
    #[serde(deserialize_with = "given")]
    pub retries: Option<Said>,
    /// As `--retry-on`.
    #[serde(deserialize_with = "given_list_with_place")]
    pub retry_on: Option<Spanned<Vec<Said>>>,
}

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
