//! An entry of `routes:`, as it is written.

use std::fmt;

use super::spanned::Spanned;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::entries::{
    EndpointEntry, RareList, Said, StickyEntry, TextOrList, given, given_list,
    given_list_with_place, given_rare_list,
};
use super::rule_entries::{
    HeadEditsEntry, MirrorEntry, NamedTexts, RateLimitEntry, RedirectEntry, RespondEntry,
};

/// An entry of `routes:`, which says where requests go and how they are changed. What few of them say is apart: there
/// may be a hundred thousand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
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
    #[serde(deserialize_with = "given_rare_list")]
    pub clients: Option<RareList>,
    /// The name of an upstream.
    #[serde(deserialize_with = "given")]
    pub upstream: Option<Said>,
    /// Or the endpoints of an unnamed upstream.
    #[serde(deserialize_with = "given_list")]
    pub endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    /// Or several named upstreams, each with its weight.
    #[serde(deserialize_with = "given")]
    pub split: Option<Box<Spanned<NamedTexts>>>,
    /// The cookie that keeps a client with one of several upstreams.
    #[serde(deserialize_with = "given")]
    pub sticky: Option<Box<Spanned<StickyEntry>>>,
    /// Or where clients are sent.
    #[serde(deserialize_with = "given")]
    pub redirect: Option<Box<Spanned<RedirectEntry>>>,
    /// Or what they are answered.
    #[serde(deserialize_with = "given")]
    pub respond: Option<Box<Spanned<RespondEntry>>>,
    /// Who gets copies of the requests.
    #[serde(deserialize_with = "given")]
    pub mirror: Option<Box<Spanned<MirrorEntry>>>,
    /// What is changed about the headers of requests.
    #[serde(deserialize_with = "given")]
    pub request_headers: Option<Box<Spanned<HeadEditsEntry>>>,
    /// What is changed about the headers of responses.
    #[serde(deserialize_with = "given")]
    pub response_headers: Option<Box<Spanned<HeadEditsEntry>>>,
    /// The networks whose clients alone are served.
    #[serde(deserialize_with = "given_rare_list")]
    pub allow: Option<RareList>,
    /// The networks whose clients are not served.
    #[serde(deserialize_with = "given_rare_list")]
    pub deny: Option<RareList>,
    /// How many requests there may be in a time.
    #[serde(deserialize_with = "given")]
    pub rate_limit: Option<Box<Spanned<RateLimitEntry>>>,
    /// How many requests may be in flight.
    #[serde(deserialize_with = "given")]
    pub max_requests: Option<Box<Said>>,
    /// How many bytes the body of a request may have.
    #[serde(deserialize_with = "given")]
    pub max_body: Option<Said>,
    /// The files of what error answers say.
    #[serde(deserialize_with = "given")]
    pub error_pages: Option<Box<Spanned<NamedTexts>>>,
    /// What Host says to endpoints.
    #[serde(deserialize_with = "given")]
    pub host_header: Option<Box<Said>>,
    /// Whether its requests have lines in the access log.
    #[serde(deserialize_with = "given")]
    pub access_log: Option<Spanned<LoggedEntry>>,
    /// Whether the prefix is stripped from the target.
    #[serde(deserialize_with = "given")]
    pub strip_prefix: Option<bool>,
    /// What the prefix becomes in the target.
    #[serde(deserialize_with = "given")]
    pub replace_prefix: Option<Box<Said>>,
    /// As `--response-timeout`.
    #[serde(deserialize_with = "given")]
    pub response_timeout: Option<Box<Said>>,
    /// As `--attempt-timeout`.
    #[serde(deserialize_with = "given")]
    pub attempt_timeout: Option<Box<Said>>,
    /// As `--idle-timeout`.
    #[serde(deserialize_with = "given")]
    pub idle_timeout: Option<Box<Said>>,
    /// As `--tunnel-timeout`.
    #[serde(deserialize_with = "given")]
    pub tunnel_timeout: Option<Box<Said>>,
    /// As `--retries`.
    #[serde(deserialize_with = "given")]
    pub retries: Option<Box<Said>>,
    /// As `--retry-on`.
    #[serde(deserialize_with = "given_rare_list")]
    pub retry_on: Option<RareList>,
}

/// Whether requests have lines in the access log: a switch, or one of its words.
#[derive(Clone, Debug)]
pub enum LoggedEntry {
    /// `true` or `false`.
    Switch(bool),
    /// `on` or `off`.
    Text(String),
}

impl<'de> Deserialize<'de> for LoggedEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchOrText;
        impl Visitor<'_> for SwitchOrText {
            type Value = LoggedEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("on or off")
            }

            fn visit_bool<E>(self, is_on: bool) -> Result<LoggedEntry, E> {
                Ok(LoggedEntry::Switch(is_on))
            }

            fn visit_str<E>(self, text: &str) -> Result<LoggedEntry, E> {
                Ok(LoggedEntry::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(SwitchOrText)
    }
}
