//! The keys of a configuration file, level by level: what each takes, with an example. Those of the top level that
//! are flags too are [`Setting`](super::setting::Setting)s.

/// What is written after a key.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// A text or a number.
    Text,
    /// `true` or `false`.
    Switch,
    /// A list of texts.
    List,
    /// A text or a list of them.
    TextOrList,
    /// Names of the user's choice, each with a text.
    Names,
    /// Keys of a level.
    Keys(&'static Level),
    /// A list with an entry of a level in each of its places.
    Entries(&'static Level),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// That, as it could be written.
    pub example: &'static str,
}

/// Keys that stand together.
#[derive(Debug)]
pub struct Level {
    /// What they are keys of, such as `a route`.
    pub of: &'static str,
    /// They, in the order of the documentation.
    pub keys: &'static [ConfigKey],
    /// Whether a text may stand in their place, be it only to be told how it is written.
    pub or_text: bool,
}

impl Level {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static ConfigKey> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, takes: Takes, example: &'static str) -> ConfigKey {
    ConfigKey { name, takes, example }
}

const fn text(name: &'static str, example: &'static str) -> ConfigKey {
    key(name, Takes::Text, example)
}

/// Those of the top level that are no flags.
pub const TOP: Level = Level {
    of: "the file",
    or_text: false,
    keys: &[
        text("version", "1"),
        key("include", Takes::TextOrList, "[conf.d/*.yaml]"),
        key("routes", Takes::Entries(&ROUTE), "[{prefix: /api, endpoints: [127.0.0.1:3000]}]"),
        key("upstreams", Takes::Entries(&UPSTREAM), "[{name: app, endpoints: [127.0.0.1:3000]}]"),
        key("tcp", Takes::Entries(&RELAY), "[{listen: \":5432\", endpoints: [10.0.0.1:5432]}]"),
        key("certificates", Takes::Entries(&CERTIFICATE), "[{cert: FILE, key: FILE}]"),
        key("check", Takes::Keys(&CHECK), "http:/health"),
        key("request_headers", Takes::Keys(&HEAD_EDITS), HEAD_EDITS_EXAMPLE),
        key("response_headers", Takes::Keys(&HEAD_EDITS), "{remove: [Server]}"),
        key("error_pages", Takes::Names, "{503: maintenance.html}"),
        text("max_body", "10m"),
    ],
};

const HEAD_EDITS_EXAMPLE: &str = "{set: {X-Real-IP: \"{client}\"}}";

/// An entry of `routes`.
pub const ROUTE: Level = Level {
    of: "a route",
    or_text: false,
    keys: &[
        key("host", Takes::TextOrList, "\"*.example.com\""),
        text("prefix", "/api"),
        text("path", "/exact"),
        key("methods", Takes::List, "[GET, POST]"),
        key("headers", Takes::Names, "{X-Beta: \"1\"}"),
        key("query", Takes::Names, "{version: \"2\"}"),
        key("clients", Takes::List, "[10.0.0.0/8]"),
        text("upstream", "app"),
        key("endpoints", Takes::Entries(&ENDPOINT), "[127.0.0.1:3000]"),
        key("split", Takes::Names, "{app: 95, app-canary: 5}"),
        key("sticky", Takes::Keys(&STICKY), "{cookie: NAME}"),
        key("redirect", Takes::Keys(&REDIRECT), "{to: \"https://www.example.com{target}\"}"),
        key("respond", Takes::Keys(&RESPOND), "{status: 503, body: \"back at noon\"}"),
        key("mirror", Takes::Keys(&MIRROR), "{upstream: shadow, percent: 100}"),
        key("strip_prefix", Takes::Switch, "true"),
        text("replace_prefix", "/v2"),
        key("request_headers", Takes::Keys(&HEAD_EDITS), HEAD_EDITS_EXAMPLE),
        key("response_headers", Takes::Keys(&HEAD_EDITS), "{remove: [Server]}"),
        key("allow", Takes::List, "[10.0.0.0/8]"),
        key("deny", Takes::List, "[10.0.0.0/8]"),
        key("rate_limit", Takes::Keys(&RATE_LIMIT), "{rate: 100/s}"),
        text("max_requests", "50"),
        text("max_body", "10m"),
        key("error_pages", Takes::Names, "{503: maintenance.html}"),
        text("access_log", "off"),
        text("retries", "0"),
        key("retry_on", Takes::List, "[connect, stale]"),
        text("attempt_timeout", "2s"),
        text("response_timeout", "30s"),
        text("idle_timeout", "60s"),
        text("tunnel_timeout", "1h"),
        text("host_header", "app.internal"),
    ],
};

/// An entry of `upstreams`.
pub const UPSTREAM: Level = Level {
    of: "an upstream",
    or_text: false,
    keys: &[
        text("name", "app"),
        key("endpoints", Takes::Entries(&ENDPOINT), "[127.0.0.1:3000]"),
        text("policy", "least_requests"),
        text("hash_on", "client"),
        key("sticky", Takes::Keys(&STICKY), "{cookie: NAME, max_age: 1h}"),
        text("slow_start", "10s"),
        text("max_requests", "100"),
        key("queue", Takes::Keys(&QUEUE), "{max: 1000, timeout: 1s}"),
        text("retries", "7"),
        key("retry_on", Takes::List, "[connect, stale]"),
        text("retry_budget", "20%"),
        text("attempt_timeout", "2s"),
        text("max_fails", "3"),
        text("fail_timeout", "5s"),
        key("fail_on_5xx", Takes::Switch, "true"),
        text("eject_max", "50%"),
        key("check", Takes::Keys(&CHECK), "http:/health"),
        text("check_interval", "1s"),
        text("connect_timeout", "3s"),
        text("response_timeout", "30s"),
        text("idle_timeout", "60s"),
        text("tunnel_timeout", "1h"),
        text("upstream_keepalive_timeout", "50s"),
        text("max_idle", "512"),
        text("proxy", "v2"),
        text("sni", "app.example.com"),
        text("ca", "ca.pem"),
        key("verify", Takes::Switch, "true"),
        text("client_cert", "client.pem"),
        text("client_key", "client.key"),
        text("host_header", "app.internal"),
    ],
};

/// An entry of `tcp`.
pub const RELAY: Level = Level {
    of: "a relay",
    or_text: true,
    keys: &[
        text("listen", "\":5432\""),
        text("upstream", "db"),
        key("endpoints", Takes::Entries(&ENDPOINT), "[10.0.0.1:5432]"),
        key("sni", Takes::Names, "{a.example.com: app}"),
    ],
};

/// An entry of `certificates`.
pub const CERTIFICATE: Level = Level {
    of: "a certificate",
    or_text: true,
    keys: &[text("cert", "FILE"), text("key", "FILE")],
};

/// An entry of `endpoints` in full.
pub const ENDPOINT: Level = Level {
    of: "an endpoint",
    or_text: true,
    keys: &[
        text("address", "127.0.0.1:3000"),
        text("weight", "3"),
        key("backup", Takes::Switch, "true"),
    ],
};

/// A `check` in full.
pub const CHECK: Level = Level {
    of: "a check",
    or_text: true,
    keys: &[
        key("tcp", Takes::Switch, "true"),
        text("http", "/health"),
        text("https", "/health"),
        text("grpc", "SERVICE"),
        text("host", "app.internal"),
        text("method", "GET"),
        key("status", Takes::TextOrList, "\"200-399\""),
        text("body", "ok"),
        text("port", "8081"),
        text("interval", "1s"),
        text("timeout", "1s"),
        text("rise", "1"),
        text("fall", "2"),
    ],
};

/// `sticky` in full.
pub const STICKY: Level =
    Level { of: "sticky", or_text: true, keys: &[text("cookie", "NAME"), text("max_age", "1h")] };

/// A `queue`.
pub const QUEUE: Level =
    Level { of: "a queue", or_text: true, keys: &[text("max", "1000"), text("timeout", "1s")] };

/// A `redirect`.
pub const REDIRECT: Level = Level {
    of: "a redirect",
    or_text: true,
    keys: &[text("to", "\"https://www.example.com{target}\""), text("status", "308")],
};

/// `respond`.
pub const RESPOND: Level = Level {
    of: "respond",
    or_text: true,
    keys: &[
        text("status", "503"),
        text("body", "\"back at noon\""),
        text("content_type", "text/html"),
        key("headers", Takes::Names, "{Retry-After: \"3600\"}"),
    ],
};

/// A `rate_limit`.
pub const RATE_LIMIT: Level = Level {
    of: "a rate_limit",
    or_text: true,
    keys: &[text("rate", "100/s"), text("burst", "200"), text("by", "client")],
};

/// A `mirror`.
pub const MIRROR: Level = Level {
    of: "a mirror",
    or_text: true,
    keys: &[text("upstream", "shadow"), text("percent", "100")],
};

/// `request_headers` and `response_headers`.
pub const HEAD_EDITS: Level = Level {
    of: "changes of headers",
    or_text: true,
    keys: &[
        key("set", Takes::Names, "{NAME: value}"),
        key("add", Takes::Names, "{NAME: value}"),
        key("remove", Takes::List, "[NAME]"),
    ],
};

/// The levels at which a user may look for a key, each with where its keys are written.
pub const PLACES: [(&Level, &str); 4] = [
    (&TOP, "on the top level"),
    (&ROUTE, "in an entry of routes"),
    (&UPSTREAM, "in an entry of upstreams"),
    (&CHECK, "in check"),
];

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::value::Error;
    use serde::de::{Deserializer, Error as _, Visitor};

    use super::*;
    use crate::config::entries::{
        CertificateFields, CheckFields, EndpointFields, QueueFields, RelayFields, StickyFields,
        UpstreamEntry,
    };
    use crate::config::route_entry::RouteEntry;
    use crate::config::rule_entries::{
        HeadEditsFields, MirrorFields, RateLimitFields, RedirectFields, RespondFields,
    };

    /// Learns the fields that a type asks for.
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            Err(Error::custom("it is known now"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("no struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    /// Whether a level has the keys that a file is read by.
    fn check<'de, T: Deserialize<'de>>(level: &Level) {
        let mut read: &[&str] = &[];
        assert!(T::deserialize(Probe(&mut read)).is_err());
        let mut read = read.to_vec();
        let mut known: Vec<&str> = level.keys.iter().map(|key| key.name).collect();
        read.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, read, "keys of {}", level.of);
    }

    #[test]
    fn every_level_has_the_keys_that_are_read() {
        check::<RouteEntry>(&ROUTE);
        check::<UpstreamEntry>(&UPSTREAM);
        check::<RelayFields>(&RELAY);
        check::<CertificateFields>(&CERTIFICATE);
        check::<EndpointFields>(&ENDPOINT);
        check::<CheckFields>(&CHECK);
        check::<StickyFields>(&STICKY);
        check::<QueueFields>(&QUEUE);
        check::<RedirectFields>(&REDIRECT);
        check::<RespondFields>(&RESPOND);
        check::<RateLimitFields>(&RATE_LIMIT);
        check::<MirrorFields>(&MIRROR);
        check::<HeadEditsFields>(&HEAD_EDITS);
    }
}
