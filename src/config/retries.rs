//! What flags and file say of retries.

use std::sync::Arc;
use std::time::Duration;

use super::spanned::Spanned;

use super::entries::{Said, UpstreamEntry};
use super::hints;
use super::mistake::{Mistakes, Place};
use super::route_entry::RouteEntry;
use super::sources::{At, Sources};
use super::value;
use crate::plan::Route;
use crate::upstream::budget::BudgetShare;
use crate::upstream::retries::{RETRIES_MAX, Retries, RetryOn, RetryReason};
use crate::upstream::{Traffic, Upstream};

/// The settings of an upstream that are about retries.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetrySettings {
    pub(super) retries: Retries,
    pub(super) budget: BudgetShare,
}

impl RetrySettings {
    /// Those of all upstreams, from the flags.
    pub(super) fn of_flags(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let flags = &sources.flags;
        let named = flags.retry_on.iter().enumerate();
        let named = named.map(|(nth, text)| (sources.nth_place("retry-on", nth), text.as_str()));
        let place = |flag| sources.place(flag);
        let attempt_timeout = flags.attempt_timeout.as_deref().map_or(Ok(None), attempt_timeout);
        Self {
            retries: Retries {
                max: mistakes.note(&place("retries"), retries(&flags.retries), 0),
                named: (!flags.retry_on.is_empty()).then(|| reasons(named, mistakes)),
                attempt_timeout: mistakes.note(&place("attempt-timeout"), attempt_timeout, None),
            },
            budget: mistakes.note(
                &place("retry-budget"),
                budget(&flags.retry_budget),
                BudgetShare::Unlimited,
            ),
        }
    }

    /// These settings, overridden by those of an entry.
    pub(super) fn with(self, entry: &UpstreamEntry, at: &mut At<'_>) -> Self {
        let UpstreamEntry { retries, retry_on, attempt_timeout, retry_budget, .. } = entry;
        Self {
            retries: narrowed(
                self.retries,
                (retries.as_ref(), attempt_timeout.as_ref()),
                retry_on.as_ref(),
                at,
            ),
            budget: at.over(retry_budget.as_ref(), budget, self.budget),
        }
    }
}

/// Those of a route, where those of its upstream are `usual`.
pub(super) fn of_route(usual: Retries, entry: &RouteEntry, at: &mut At<'_>) -> Retries {
    let RouteEntry { retries, retry_on, attempt_timeout, .. } = entry;
    narrowed(usual, (retries.as_deref(), attempt_timeout.as_deref()), retry_on.as_deref(), at)
}

fn narrowed(
    usual: Retries,
    (max, timeout): (Option<&Said>, Option<&Said>),
    named: Option<&Spanned<Vec<Said>>>,
    at: &mut At<'_>,
) -> Retries {
    let max = at.over(max, retries, usual.max);
    let attempt_timeout = at.over(timeout, attempt_timeout, usual.attempt_timeout);
    let Some(listed) = named else { return Retries { max, attempt_timeout, ..usual } };
    if listed.value.is_empty() {
        let what = "names no reason: write at least one, or retries: 0";
        at.mistakes.add(&at.file.place(listed.referenced), what);
    }
    let said = listed.value.iter();
    let said = said.map(|said| (at.file.place(said.referenced), said.value.as_str()));
    Retries { max, attempt_timeout, named: Some(reasons(said, at.mistakes)) }
}

fn retries(text: &str) -> Result<u8, String> {
    value::number(text, 0, RETRIES_MAX)
}

fn attempt_timeout(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" { Ok(None) } else { value::duration(text).map(Some) }
}

fn budget(text: &str) -> Result<BudgetShare, String> {
    if text == "off" {
        return Ok(BudgetShare::Unlimited);
    }
    let percent = text.strip_suffix('%').and_then(|number| value::number(number, 0, 100).ok());
    percent.map(BudgetShare::Percent).ok_or_else(|| {
        let hint = hints::percent(text);
        format!(
            "invalid value {text:?}: expected a share of the requests from 0% to 100%, or off{hint}"
        )
    })
}

/// Parses reasons, each with its place.
fn reasons<'a>(named: impl Iterator<Item = (Place, &'a str)>, mistakes: &mut Mistakes) -> RetryOn {
    let read = named.filter_map(|(place, text)| {
        let reason = RetryReason::ALL.into_iter().find(|reason| reason.name() == text);
        let reason = reason.ok_or_else(|| {
            let known = RetryReason::ALL.map(RetryReason::name);
            let others =
                [("error", "connect, reset"), ("500", "5xx"), ("http_502", "502"), ("all", "5xx")];
            let hint = hints::choice(text, &known, &others);
            format!("invalid value {text:?}: expected one of {}{hint}", known.join(", "))
        });
        mistakes.take(&place, reason)
    });
    read.collect()
}

/// What is no mistake, but may not be what was meant.
pub(super) fn warnings(upstreams: &[Arc<Upstream>], routes: &[Route]) -> Vec<String> {
    let http = upstreams.iter().filter(|upstream| upstream.traffic == Traffic::Http);
    let of_upstreams = http.map(|upstream| {
        (format!("upstream {}", upstream.name), upstream.retries, upstream.timeouts.response)
    });
    let goes =
        routes.iter().flat_map(|route| route.upstreams.iter().map(move |goes| (route, goes)));
    let own = goes.filter(|(_, goes)| {
        let usual = upstreams.get(goes.upstream.index());
        let usual = usual.map(|upstream| (upstream.retries, upstream.timeouts.response));
        usual != Some((goes.retries, goes.timeouts.response))
    });
    let of_routes = own.map(|(route, goes)| {
        (format!("route {}", route.name), goes.retries, goes.timeouts.response)
    });
    let told = |(subject, retries, response): (String, Retries, Duration)| {
        let waits = retries.on().has(RetryReason::Timeout);
        match retries.attempt_timeout {
            Some(limit) if limit >= response => Some(format!(
                "{subject}: attempt_timeout {} is not below response_timeout {}, so there is no time for another \
                 attempt: lower it",
                humantime::format_duration(limit),
                humantime::format_duration(response)
            )),
            Some(_) if !waits => Some(format!(
                "{subject}: attempt_timeout without timeout in retry_on: what takes longer is answered with 504"
            )),
            None if waits => Some(format!(
                "{subject}: timeout in retry_on without attempt_timeout: each attempt may take response_timeout"
            )),
            _ => None,
        }
    };
    of_upstreams.chain(of_routes).filter_map(told).collect()
}
