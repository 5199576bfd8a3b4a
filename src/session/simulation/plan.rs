//! What the sessions of a simulation work with.

use std::sync::Arc;

use crate::http::h1::scan::Limits;
use crate::http::rules::table::{RouteMatch, RouteTable};
use crate::id::UpstreamId;
use crate::plan::trusted::Trusted;
use crate::plan::{ClientTimeouts, Plan, Route, WeightedUpstream};
use crate::upstream::Upstream;

/// One route, which takes every path to `upstream`. HTTP/2 is off, and nobody is trusted.
pub(super) fn plan(upstream: Upstream, timeouts: ClientTimeouts) -> Plan {
    let (timeouts_of, retries) = (upstream.timeouts, upstream.retries);
    let goes = WeightedUpstream {
        upstream: UpstreamId::new(0),
        weight: 1,
        timeouts: timeouts_of,
        retries,
    };
    let patterns = vec!["/".parse().expect("a pattern")];
    let everywhere = RouteMatch { patterns, conditions: None };
    let route = Route {
        name: "/".into(),
        counts: Route::counts(1),
        upstreams: [goes].into(),
        host_header: None,
        prefix: None,
        split_cookie: None,
        rules: None,
        is_logged: true,
    };
    Plan {
        copies_max: 512,
        rules: None,
        route_table: Arc::new(RouteTable::new(vec![everywhere]).0),
        routes: [route].into(),
        upstreams: vec![Arc::new(upstream)],
        sni_tables: [].into(),
        timeouts,
        via: None,
        limits: Limits { head_bytes_max: 2048, fields_max: 24 },
        http2: None,
        trusted: Trusted { networks: vec![], unix: false },
        tls: None,
        redirect_https: None,
        log_layout: Arc::default(),
        tracing: None,
    }
}
