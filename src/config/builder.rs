//! A configuration that is built in code.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Config;
use super::document::{Document, DocumentWriter, Keys};
use super::errors::ConfigErrors;
use super::mistake::{Mistake, Place};
use crate::upstream::custom_policy::{CustomPolicy, SharedPolicy};
use crate::upstream::custom_source::{CustomQuery, CustomSource};

/// Builds a [`Config`] in code: what a configuration file says, key by key.
///
/// There are methods for what is common, and `set` for every other key of the file. Nothing is checked before
/// [`ConfigBuilder::build`], which reports all mistakes at once.
///
/// ```
/// use evener::{Config, RouteBuilder, UpstreamBuilder};
///
/// let config = Config::builder()
///     .listen("127.0.0.1:8080")
///     .upstream(UpstreamBuilder::new("app").endpoint("10.0.0.1:80").endpoint("10.0.0.2:80@3"))
///     .route(RouteBuilder::prefix("/app").upstream("app").strip_prefix())
///     .set("header_timeout", "5s")
///     .build()?;
/// # Ok::<(), evener::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ConfigBuilder {
    keys: Keys,
    upstreams: Vec<UpstreamBuilder>,
    routes: Vec<RouteBuilder>,
    relays: Vec<RelayBuilder>,
    sources: Vec<CustomQuery>,
}

impl ConfigBuilder {
    /// Listens there for HTTP in plain text (`listen`). May be called again for more addresses.
    pub fn listen(mut self, address: &str) -> Self {
        self.keys.push("listen", address.into());
        self
    }

    /// Listens there for HTTP over TLS (`listen_tls`), which takes a [`ConfigBuilder::certificate`].
    pub fn listen_tls(mut self, address: &str) -> Self {
        self.keys.push("listen_tls", address.into());
        self
    }

    /// A certificate and its key, in PEM files (`certificates`).
    pub fn certificate(mut self, cert: &str, key: &str) -> Self {
        self.keys.push("certificates", json!({"cert": cert, "key": key}));
        self
    }

    /// The number of worker threads (`threads`); 0, the default, is one for each core.
    pub fn threads(self, threads: usize) -> Self {
        self.set("threads", threads)
    }

    /// How endpoints are checked unless their upstream says otherwise (`check`), such as `http:/health`.
    pub fn check(self, check: &str) -> Self {
        self.set("check", check)
    }

    /// A network whose proxies are believed about the client (`trusted`).
    pub fn trusted(mut self, network: &str) -> Self {
        self.keys.push("trusted", network.into());
        self
    }

    /// Where the admin listener is (`admin`).
    pub fn admin(self, address: &str) -> Self {
        self.set("admin", address)
    }

    /// One more upstream (`upstreams`).
    pub fn upstream(mut self, upstream: UpstreamBuilder) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// One more route (`routes`).
    pub fn route(mut self, route: RouteBuilder) -> Self {
        self.routes.push(route);
        self
    }

    /// One more relay of TCP connections (`tcp`).
    pub fn relay(mut self, relay: RelayBuilder) -> Self {
        self.relays.push(relay);
        self
    }

    /// Has endpoints found in code: wherever one may be written, `custom:NAME` stands for those of this source. A second
    /// source of the same name replaces the first. Configurations of one builder share it: a reload asks it no sooner.
    pub fn custom_source(mut self, name: &str, source: impl CustomSource) -> Self {
        self.sources.retain(|known| known.name() != name);
        self.sources.push(CustomQuery::new(name, source));
        self
    }

    /// Any other key of the file's top level, such as `max_connections`; [`json!`] writes lists and mappings.
    /// An earlier value of the key is replaced.
    pub fn set(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.keys.set(key, value.into());
        self
    }

    /// Validates all of it.
    pub fn build(&self) -> Result<Config, ConfigErrors> {
        let mut config = Config::of_document(&self.document())?;
        for UpstreamBuilder { keys, policy } in &self.upstreams {
            let found = policy.as_ref().zip(config.plan.upstream_named(keys.text("name")));
            if let Some((policy, id)) = found {
                config.plan = Arc::new(config.plan.with_policy(id, policy.clone()));
            }
        }
        self.bind(&mut config)?;
        Ok(config)
    }

    /// Gives sources in code to the upstreams that name them.
    fn bind(&self, config: &mut Config) -> Result<(), ConfigErrors> {
        let mut mistakes = Vec::new();
        let mut discovery = (*config.discovery).clone();
        for sourced in &mut discovery.upstreams {
            for name in sourced.bind(&self.sources) {
                let upstream = &config.plan.upstream(sourced.id).name;
                let place = Place::Item { name: format!("upstream {upstream}").into(), nth: 0 };
                let what = format!("custom:{name}: there is no such source: add a custom_source");
                mistakes.push(Mistake { place, what });
            }
        }
        config.discovery = Arc::new(discovery);
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes.into()) }
    }

    fn document(&self) -> Document {
        let upstreams = self.upstreams.iter().map(|UpstreamBuilder { keys, .. }| {
            let name = format!("upstream {}", keys.text("name"));
            (name, keys)
        });
        let routes = self.routes.iter().map(|RouteBuilder { keys }| {
            let path = ["path", "prefix"].map(|key| keys.text(key)).concat();
            let host = keys.text("host");
            let path = if host.is_empty() && path.is_empty() { "/" } else { &path };
            (format!("route {host}{path}"), keys)
        });
        let relays = self.relays.iter().map(|RelayBuilder { keys }| {
            let name = format!("relay {}", keys.text("listen"));
            (name, keys)
        });
        let lists = [
            ("upstreams", upstreams.collect()),
            ("routes", routes.collect()),
            ("tcp", relays.collect()),
        ];
        DocumentWriter::write(&self.keys, &lists)
    }
}

/// An upstream of a [`ConfigBuilder`]: a named set of endpoints.
#[derive(Clone, Debug)]
#[must_use]
pub struct UpstreamBuilder {
    keys: Keys,
    policy: Option<SharedPolicy>,
}

impl UpstreamBuilder {
    /// With this name, by which routes refer to it.
    pub fn new(name: &str) -> Self {
        Self { keys: Keys::default(), policy: None }.set("name", name)
    }

    /// One more endpoint: `[SCHEME://]ADDRESS[@WEIGHT]` (`endpoints`).
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.keys.push("endpoints", endpoint.into());
        self
    }

    /// One that is used only while no other is available.
    pub fn backup(mut self, endpoint: &str) -> Self {
        self.keys.push("endpoints", json!({"address": endpoint, "backup": true}));
        self
    }

    /// How an endpoint is chosen (`policy`), such as `least_requests`.
    pub fn policy(self, policy: &str) -> Self {
        self.set("policy", policy)
    }

    /// Has endpoints chosen in code, instead of by a policy of the configuration. It belongs to this configuration: one
    /// that is followed later has those of its own.
    pub fn custom_policy(mut self, policy: Arc<dyn CustomPolicy>) -> Self {
        self.policy = Some(SharedPolicy(policy));
        self
    }

    /// What the policy `hash` goes by (`hash_on`), such as `header:X-User`.
    pub fn hash_on(self, key: &str) -> Self {
        self.set("hash_on", key)
    }

    /// Keeps clients at their endpoint, by a cookie of this name (`sticky`).
    pub fn sticky(self, cookie: &str) -> Self {
        self.set("sticky", cookie)
    }

    /// How its endpoints are checked (`check`), such as `http:/health`, `tcp` or `off`.
    pub fn check(self, check: &str) -> Self {
        self.set("check", check)
    }

    /// How many further attempts there may be (`retries`), 0 to 7.
    pub fn retries(self, retries: u8) -> Self {
        self.set("retries", retries)
    }

    /// How many requests may be in flight at an endpoint (`max_requests`).
    pub fn max_requests(self, requests: u32) -> Self {
        self.set("max_requests", requests)
    }

    /// The name that endpoints with TLS have to show a certificate for (`sni`).
    pub fn sni(self, name: &str) -> Self {
        self.set("sni", name)
    }

    /// Any other key of an upstream; an earlier value is replaced.
    pub fn set(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.keys.set(key, value.into());
        self
    }
}

/// A route of a [`ConfigBuilder`]: which requests it takes, and what becomes of them.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RouteBuilder {
    keys: Keys,
}

impl RouteBuilder {
    /// Takes requests whose path begins with this, segment by segment (`prefix`).
    pub fn prefix(prefix: &str) -> Self {
        Self::default().set("prefix", prefix)
    }

    /// Takes requests for this path alone (`path`).
    pub fn path(path: &str) -> Self {
        Self::default().set("path", path)
    }

    /// Takes requests for this host alone (`host`).
    pub fn host(self, host: &str) -> Self {
        self.set("host", host)
    }

    /// Takes requests with this method (`methods`); GET takes HEAD too. May be called again for more.
    pub fn method(mut self, method: &str) -> Self {
        self.keys.push("methods", method.into());
        self
    }

    /// Takes requests from this network (`clients`). May be called again for more.
    pub fn client(mut self, network: &str) -> Self {
        self.keys.push("clients", network.into());
        self
    }

    /// Takes requests whose header has this value, or any for `*` (`headers`).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.keys.insert("headers", name, value.into());
        self
    }

    /// Sends them to this upstream (`upstream`).
    pub fn upstream(self, name: &str) -> Self {
        self.set("upstream", name)
    }

    /// Sends them to this endpoint, of an upstream without a name (`endpoints`). May be called again.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.keys.push("endpoints", endpoint.into());
        self
    }

    /// Endpoints see the path without the prefix (`strip_prefix`).
    pub fn strip_prefix(self) -> Self {
        self.set("strip_prefix", true)
    }

    /// What Host says to endpoints (`host_header`).
    pub fn host_header(self, host: &str) -> Self {
        self.set("host_header", host)
    }

    /// Any other key of a route; an earlier value is replaced.
    pub fn set(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.keys.set(key, value.into());
        self
    }
}

/// A relay of a [`ConfigBuilder`], which passes on TCP connections as they are.
#[derive(Clone, Debug)]
#[must_use]
pub struct RelayBuilder {
    keys: Keys,
}

impl RelayBuilder {
    /// Listens there (`listen`).
    pub fn new(listen: &str) -> Self {
        Self { keys: Keys::default() }.set("listen", listen)
    }

    /// Relays to this upstream (`upstream`).
    pub fn upstream(self, name: &str) -> Self {
        self.set("upstream", name)
    }

    /// Relays connections that ask for this name in TLS to this upstream (`sni`).
    pub fn sni(mut self, name: &str, upstream: &str) -> Self {
        self.keys.insert("sni", name, upstream.into());
        self
    }

    /// Any other key of a relay; an earlier value is replaced.
    pub fn set(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.keys.set(key, value.into());
        self
    }
}
