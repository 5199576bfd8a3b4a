//! How requests are shared out among endpoints: the policy, what it hashes, and sticky sessions.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::spanned::Spanned;

use super::entries::{StickyEntry, UpstreamEntry};
use super::hints;
use super::mistake::Mistakes;
use super::sources::{At, Sources};
use crate::http::message::field::is_token;
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::settings::{HashOn, Policy};
use crate::upstream::sticky::{Sticky, StickyCookie};
use crate::upstream::{Traffic, Upstream};

/// How long a cookie may last, in whole seconds: browsers cut what is longer.
const MAX_AGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(400 * 24 * 3600);

/// The longest name of a cookie, so that its header stays small.
const NAME_BYTES_MAX: usize = 64;

/// In place of a cookie: none.
const OFF: &str = "off";

/// What is said of how the requests of an upstream are shared out.
#[derive(Clone, Debug)]
pub(super) struct Balancing {
    pub(super) policy: Policy,
    /// What is hashed, where that is said; it only counts with the policy `hash`.
    hash_on: Option<HashOn>,
    sticky: Option<StickyCookie>,
}

impl Balancing {
    /// For all upstreams, from the flags.
    pub(super) fn of_flags(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let flags = &sources.flags;
        let policy = policy(&flags.policy);
        let policy = mistakes.note(&sources.place("policy"), policy, Policy::RoundRobin);
        let hash_on = flags.hash_on.as_deref().map(hash_on);
        let sticky = flags.sticky.as_deref().filter(|text| *text != OFF).map(sticky);
        Self {
            policy,
            hash_on: hash_on.and_then(|read| mistakes.take(&sources.place("hash-on"), read)),
            sticky: sticky.and_then(|read| mistakes.take(&sources.place("sticky"), read)),
        }
    }

    /// The same, overridden by an entry.
    pub(super) fn with(self, entry: &UpstreamEntry, at: &mut At<'_>) -> Self {
        let policy = at.over(entry.policy.as_ref(), policy, self.policy);
        if let Some(said) = entry.hash_on.as_ref().filter(|_| policy != Policy::Hash) {
            let what = "hash_on: has no effect without policy: hash";
            at.mistakes.add(&at.file.place(said.referenced), what);
        }
        let hash_on = |text: &str| hash_on(text).map(Some);
        Self {
            policy,
            hash_on: at.over(entry.hash_on.as_ref(), hash_on, self.hash_on),
            sticky: match &entry.sticky {
                Some(said) if is_off(&said.value) => None,
                _ => own_sticky(entry, at).or(self.sticky),
            },
        }
    }

    /// What is hashed of what is sent to an upstream: of connections that are relayed only the client is
    /// known.
    pub(super) fn hash_on(&self, traffic: Traffic) -> Option<HashOn> {
        let hash_on = || match traffic {
            Traffic::Http => self.hash_on.clone().unwrap_or(HashOn::Client),
            Traffic::Tcp => HashOn::Client,
        };
        (self.policy == Policy::Hash).then(hash_on)
    }

    /// The cookie of an upstream of this name, if its clients stick.
    pub(super) fn sticky(
        &self,
        (name, traffic): (&str, Traffic),
        endpoints: &EndpointSet,
    ) -> Option<Sticky> {
        let cookie = self.sticky.clone().filter(|_| traffic == Traffic::Http);
        cookie.map(|cookie| Sticky::new(name, cookie, endpoints))
    }
}

/// The upstream as one that connections are relayed to.
pub(super) fn relayed(upstream: &Upstream) -> Upstream {
    let hash_on = upstream.hash_on.as_ref().map(|_| HashOn::Client);
    Upstream { traffic: Traffic::Tcp, hash_on, sticky: None, ..upstream.clone() }
}

/// Reports flags that hold for none of the upstreams.
pub(super) fn refuse_idle_flags(
    sources: &Sources,
    upstreams: &[Arc<Upstream>],
    mistakes: &mut Mistakes,
) {
    let flags = &sources.flags;
    let is_http = |upstream: &Upstream| upstream.traffic == Traffic::Http;
    let is_of_client = flags.hash_on.as_deref() == Some("client");
    let hashes =
        |upstream: &Upstream| upstream.hash_on.is_some() && (is_of_client || is_http(upstream));
    if upstreams.is_empty() {
        return;
    }
    if flags.hash_on.as_deref().is_some_and(|text| hash_on(text).is_ok())
        && !upstreams.iter().any(|upstream| hashes(upstream))
    {
        let what = "has no effect: no upstream for HTTP has the policy hash: add policy: hash, or leave \
                    this out";
        mistakes.add(&sources.place("hash-on"), what);
    }
    let is_sticky = flags.sticky.as_deref().is_some_and(|text| text != OFF);
    if is_sticky && !upstreams.iter().any(|upstream| is_http(upstream)) {
        let what = "has no effect on TCP upstreams, and there are no others: write --policy hash";
        mistakes.add(&sources.place("sticky"), what);
    }
}

/// Reports what an entry says that holds for requests only, of an upstream that connections are relayed to.
pub(super) fn refuse_of_requests(entry: &UpstreamEntry, at: &mut At<'_>) {
    if let Some(said) = entry.hash_on.as_ref().filter(|said| said.value != "client") {
        let what = "hash_on: has no effect on a TCP upstream: only the client is known there";
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
    if let Some(said) = entry.sticky.as_ref().filter(|said| !is_off(&said.value)) {
        let what = "sticky: has no effect on a TCP upstream: write policy: hash";
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
}

/// Reads what is hashed.
fn hash_on(text: &str) -> Result<HashOn, String> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let token = |what: &str| {
        let read = is_token(name.as_bytes()).then(|| name.into());
        read.ok_or_else(|| {
            format!("invalid value {text:?}: {name:?} cannot be the name of a {what}")
        })
    };
    match (kind, text.len() == kind.len()) {
        ("client", true) => Ok(HashOn::Client),
        ("path", true) => Ok(HashOn::Path),
        ("target", true) => Ok(HashOn::Target),
        ("host", true) => Ok(HashOn::Host),
        ("header", false) if name.eq_ignore_ascii_case("host") => {
            Err(format!("invalid value {text:?}: write host, which HTTP/2 has no header for"))
        }
        ("header", false) => token("header").map(HashOn::Header),
        ("cookie", false) => token("cookie").map(HashOn::Cookie),
        ("query", false) if !name.is_empty() => Ok(HashOn::Query(name.into())),
        _ => Err(format!(
            "invalid value {text:?}: expected client, path, target, host, header:NAME, cookie:NAME or \
             query:NAME"
        )),
    }
}

/// Reads `NAME[,max_age=TIME]`.
fn sticky(text: &str) -> Result<StickyCookie, String> {
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let name = cookie_name(name)?;
    let max_age = match rest.split_once('=') {
        Some(("max_age", time)) => Some(max_age(time)?),
        None if text.len() == name.len() => None,
        _ => return Err(format!("invalid value {text:?}: expected NAME or NAME,max_age=TIME")),
    };
    Ok(StickyCookie { name, max_age })
}

fn is_off(entry: &StickyEntry) -> bool {
    matches!(entry, StickyEntry::Text(text) if text == OFF)
}

fn own_sticky(entry: &UpstreamEntry, at: &mut At<'_>) -> Option<StickyCookie> {
    cookie(entry.sticky.as_ref()?, at)
}

/// Reads a cookie as it is written.
pub(super) fn cookie(said: &Spanned<StickyEntry>, at: &mut At<'_>) -> Option<StickyCookie> {
    let place = at.file.place(said.referenced);
    let fields = match &said.value {
        StickyEntry::Text(text) => return at.mistakes.take(&place, sticky(text)),
        StickyEntry::Full(fields) => fields,
    };
    let Some(cookie) = &fields.cookie else {
        at.mistakes.add(&place, "sticky sessions need the name of a cookie: add cookie: NAME");
        return None;
    };
    let place = at.file.place(cookie.referenced);
    let name = at.mistakes.take(&place, cookie_name(&cookie.value))?;
    let max_age = at.over(fields.max_age.as_ref(), |text| max_age(text).map(Some), None);
    Some(StickyCookie { name, max_age })
}

/// A token (RFC 6265 §4.1.1).
fn cookie_name(name: &str) -> Result<Box<str>, String> {
    if !is_token(name.as_bytes()) || name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "invalid name of a cookie {name:?}: expected at most {NAME_BYTES_MAX} letters, digits and \
             !#$%&'*+-.^_`|~"
        ));
    }
    Ok(name.into())
}

fn max_age(text: &str) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).map_err(|_| {
        format!(
            "invalid value {text:?}: expected a duration with a unit, such as 30m, 1h or 30days"
        )
    })?;
    if !MAX_AGE.contains(&read) || read.subsec_nanos() != 0 {
        return Err(format!("invalid value {text:?}: expected whole seconds, 1s to 400days"));
    }
    Ok(read)
}

/// Parses the name of a policy.
fn policy(text: &str) -> Result<Policy, String> {
    let known = Policy::ALL.into_iter().find(|policy| policy.name() == text);
    known.ok_or_else(|| {
        let names = Policy::ALL.map(Policy::name);
        let others = [
            ("leastconn", "least_requests"),
            ("least_conn", "least_requests"),
            ("least_connections", "least_requests"),
            ("least_request", "least_requests"),
            ("rr", "round_robin"),
            ("p2c", "two_choices"),
            ("ip_hash", "hash"),
            ("source", "hash"),
            ("consistent_hash", "hash"),
            ("maglev", "hash"),
            ("ring_hash", "hash"),
            ("ewma", "least_time"),
        ];
        let hint = hints::choice(text, &names, &others);
        format!("invalid value {text:?}: expected one of {}{hint}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_read_as_it_is_shown() {
        for text in [
            "client",
            "path",
            "target",
            "host",
            "header:X-User",
            "cookie:sid",
            "query:id",
            "query:a b",
        ] {
            assert_eq!(hash_on(text).map(|hash_on| hash_on.to_string()), Ok(text.into()));
        }
        for text in [
            "",
            "Client",
            "client:",
            "uri",
            "header",
            "header:",
            "header:a b",
            "header:HOST",
            "cookie:",
            "cookie:a=b",
            "query",
            "query:",
            "path:x",
        ] {
            assert!(hash_on(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_cookie_has_a_token_for_its_name_and_a_bounded_age() {
        let read = |text| sticky(text).map(|cookie| (cookie.name.into_string(), cookie.max_age));
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(read("evener_app"), Ok(("evener_app".into(), None)));
        assert_eq!(read("a,max_age=1h"), Ok(("a".into(), hour)));
        assert_eq!(read("a,max_age=400days").map(|_| ()), Ok(()));
        for text in [
            "",
            ",max_age=1h",
            "a b",
            "a=b",
            "a;b",
            "\u{e9}",
            "a,",
            "a,1h",
            "a,max_age=",
            "a,max_age=0s",
            "a,max_age=500ms",
            "a,max_age=401days",
            "a,max_age=1",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&"a".repeat(65)).is_err());
    }
}
