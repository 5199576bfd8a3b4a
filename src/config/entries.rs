//! The entries of a file's lists, as they are written: every value a text, with its place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// A text with its place in the file.
pub type Said = Spanned<String>;

/// An entry of `routes:`, which says where requests go and how they are changed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteEntry {
    /// The prefix of the path.
    #[serde(deserialize_with = "given")]
    pub prefix: Option<Said>,
    /// The requested host; any if absent.
    #[serde(deserialize_with = "given")]
    pub host: Option<Said>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of an unnamed upstream.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// What Host says to endpoints.
    #[serde(deserialize_with = "given")]
    pub host_header: Option<Said>,
    /// Whether the prefix is stripped from the target.
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
#[serde(deny_unknown_fields, default)]
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
#[serde(deny_unknown_fields, default)]
pub struct RelayFields {
    /// Where to listen.
    #[serde(deserialize_with = "given")]
    pub listen: Option<Said>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of an unnamed upstream.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// The upstreams of TLS connections, by the names they ask for.
    pub sni: Option<Box<Spanned<ServerNameEntries>>>,
}

/// Server names, each with the name of its upstream, in order.
#[derive(Clone, Debug)]
pub struct ServerNameEntries(pub Vec<(Said, Said)>);

/// An entry of `upstreams:`, a set of interchangeable endpoints with their settings. Absent settings
/// default to the flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamEntry {
    /// The name that routes refer to.
    #[serde(deserialize_with = "given")]
    pub name: Option<Said>,
    /// Its endpoints.
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// The balancing policy.
    #[serde(deserialize_with = "given")]
    pub policy: Option<Said>,
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
    /// As `--fail-on-5xx`.
    pub fail_on_5xx: Option<bool>,
    /// As `--check`.
    #[serde(deserialize_with = "given")]
    pub check: Option<Said>,
    /// As `--check-interval`.
    #[serde(deserialize_with = "given")]
    pub check_interval: Option<Said>,
    /// As `--upstream-sni`.
    #[serde(deserialize_with = "given")]
    pub sni: Option<Said>,
    /// As `--upstream-ca`.
    #[serde(deserialize_with = "given")]
    pub ca: Option<Said>,
    /// Whether the certificates of its endpoints are verified; as no `--upstream-insecure`.
    pub verify: Option<bool>,
    /// As `--upstream-cert`.
    #[serde(deserialize_with = "given")]
    pub client_cert: Option<Said>,
    /// As `--upstream-key`.
    #[serde(deserialize_with = "given")]
    pub client_key: Option<Said>,
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
#[serde(deny_unknown_fields, default)]
pub struct EndpointFields {
    /// Where it is.
    #[serde(deserialize_with = "given")]
    pub address: Option<Said>,
    /// Its weight.
    #[serde(deserialize_with = "given")]
    pub weight: Option<Said>,
    /// Whether it is used only while no other is available.
    pub backup: Option<bool>,
}

/// A value that is written. That of a key without one would be taken for that of a key left out: a
/// route of one host, say, for a route of all.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Said>, D::Error> {
    Said::deserialize(deserializer).map(Some)
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

text_or_fields!(EndpointEntry, EndpointFields, "ADDRESS[@WEIGHT], or address, weight and backup");
text_or_fields!(RelayEntry, RelayFields, "LISTEN=ENDPOINTS, or keys such as listen and upstream");
text_or_fields!(CertificateEntry, CertificateFields, "{cert: FILE, key: FILE}");
