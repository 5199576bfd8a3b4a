//! What an upstream is set to do, by the keys of the file: for what a reload changes of it.

use std::time::Duration;

use super::check;
use crate::proxy_protocol::Version;
use crate::upstream::budget::BudgetShare;
use crate::upstream::settings::{HashOn, ServerErrors};
use crate::upstream::sticky::Sticky;
use crate::upstream::{Traffic, Upstream};

/// What stands for a setting that does nothing.
const OFF: &str = "off";

/// Each key with its value, those that its traffic has. A description of the upstream says no more than these.
pub(super) fn keys(upstream: &Upstream) -> Vec<(&'static str, String)> {
    let (is_tcp, of_requests) = match upstream.traffic {
        Traffic::Tcp => (true, Vec::new()),
        Traffic::Http => (false, of_requests(upstream)),
    };
    let Upstream { policy, hash_on, slow_start, announces, thresholds, timeouts, .. } = upstream;
    let ceiling = upstream.ceiling.as_ref();
    let budget = match upstream.retry_budget {
        BudgetShare::Unlimited => OFF.to_owned(),
        BudgetShare::Percent(percent) => format!("{percent}%"),
    };
    let version = announces.map(|version| match version {
        Version::V1 => "v1",
        Version::V2 => "v2",
    });
    let all = vec![
        ("traffic", if is_tcp { "TCP" } else { "HTTP" }.to_owned()),
        ("policy", policy.name().to_owned()),
        ("hash_on", or_off(hash_on.as_ref().map(HashOn::to_string))),
        ("slow_start", or_off((!slow_start.is_zero()).then(|| time(*slow_start)))),
        ("proxy", or_off(version.map(str::to_owned))),
        ("check", check::described(&upstream.check, !is_tcp)),
        ("max_fails", or_off(thresholds.fails_max.map(|max| max.to_string()))),
        ("fail_timeout", time(thresholds.fail_timeout)),
        ("eject_max", format!("{}%", thresholds.eject_max.percent())),
        ("max_requests", or_off(ceiling.map(|ceiling| ceiling.requests_max.to_string()))),
        ("queue", or_off(ceiling.map(|ceiling| ceiling.queue_max.to_string()))),
        ("queue_timeout", or_off(ceiling.map(|ceiling| time(ceiling.queue_timeout)))),
        ("connect_timeout", time(timeouts.connect)),
        ("tunnel_timeout", time(timeouts.tunnel)),
        ("retries", upstream.retries.max.to_string()),
        ("retry_budget", budget),
    ];
    all.into_iter().chain(of_requests).collect()
}

fn of_requests(upstream: &Upstream) -> Vec<(&'static str, String)> {
    let Upstream { timeouts, keeping, retries, sticky, .. } = upstream;
    let fails_on_5xx = upstream.server_errors == ServerErrors::Failures;
    vec![
        ("host_header", upstream.host().unwrap_or("the client's").to_owned()),
        ("sticky", or_off(sticky.as_deref().map(cookie))),
        ("fail_on_5xx", fails_on_5xx.to_string()),
        ("response_timeout", time(timeouts.response)),
        ("idle_timeout", time(timeouts.idle)),
        ("max_idle", keeping.idle_max.to_string()),
        ("upstream_keepalive_timeout", time(keeping.idle_timeout)),
        // Without spaces, since one change follows the other with one.
        ("retry_on", retries.on().to_string().replace(", ", ",")),
        ("attempt_timeout", or_off(retries.attempt_timeout.map(time))),
    ]
}

fn cookie(sticky: &Sticky) -> String {
    let max_age = sticky.cookie.max_age.map(|age| format!(",max_age={}s", age.as_secs()));
    format!("{}{}", sticky.cookie.name, max_age.unwrap_or_default())
}

fn or_off(value: Option<String>) -> String {
    value.unwrap_or_else(|| OFF.to_owned())
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
