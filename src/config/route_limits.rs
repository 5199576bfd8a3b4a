//! Which clients a route serves, and how much of it they may have.

use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::spanned::Spanned;
use ipnet::IpNet;

use super::entries::Said;
use super::hints;
use super::route_entry::RouteEntry;
use super::rule_entries::{RateLimitEntry, RateLimitFields};
use super::sources::At;
use super::{trusted, value};
use crate::http::message::field::is_token;
use crate::http::rules::RouteRules;
use crate::http::rules::access::Access;
use crate::http::rules::rate_limit::{
    BURST_MAX, LimitKey, RATE_MAX, REFILL_MAX, Rate, RateLimit, RateLimiter, RatePeriod,
};
use crate::http::rules::request_limit::RequestLimit;

/// The most requests that may be in flight on a route.
const REQUESTS_MAX: u32 = 1 << 20;

/// Whether a route says any of this.
pub(super) fn are_said(entry: &RouteEntry) -> bool {
    let RouteEntry { allow, deny, rate_limit, max_requests, max_body, .. } = entry;
    let is_said = [rate_limit.is_some(), max_requests.is_some(), max_body.is_some()];
    allow.is_some() || deny.is_some() || is_said.contains(&true)
}

/// Adds what a route says of it to its rules. Returns what is no mistake, but may not be what was meant.
pub(super) fn read(entry: &RouteEntry, rules: &mut RouteRules, at: &mut At<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if entry.allow.is_some() || entry.deny.is_some() {
        let denied = entry.deny.as_ref().map(|said| networks(said, at)).unwrap_or_default();
        let allowed = entry.allow.as_ref().map(|said| networks(said, at)).unwrap_or_default();
        let is_denied = |network: &IpNet| denied.iter().any(|denied| denied.contains(network));
        if let (Some(said), Some(network)) = (&entry.allow, allowed.iter().find(|of| is_denied(of)))
        {
            let place = at.file.place(said.referenced);
            warnings.push(format!("{place}: {network}: has no effect: deny has it too, and wins"));
        }
        rules.access = Some(Access::new(allowed, denied));
    }
    if let Some(said) = &entry.rate_limit {
        let limit = rate_limit(said, at);
        let limiter = |limit| RateLimiter::new(limit, RandomState::new(), Instant::now());
        rules.rate_limit = limit.map(limiter).map(Arc::new);
    }
    let requests = at.over(entry.max_requests.as_deref(), |text| requests(text).map(Some), None);
    rules.max_requests = requests.map(RequestLimit::new);
    rules.body_max = at.over(entry.max_body.as_ref(), body_max, rules.body_max);
    warnings
}

/// The networks of a list.
fn networks(said: &Spanned<Vec<Said>>, at: &mut At<'_>) -> Vec<IpNet> {
    if said.value.is_empty() {
        let what = "there are no networks: write at least one, or leave the key out";
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
    let mut found = Vec::new();
    for said in &said.value {
        let network = trusted::network(&said.value).ok_or_else(|| {
            format!("invalid value {:?}: expected a network such as 10.0.0.0/8", said.value)
        });
        found.extend(at.mistakes.take(&at.file.place(said.referenced), network));
    }
    found
}

fn rate_limit(said: &Spanned<RateLimitEntry>, at: &mut At<'_>) -> Option<RateLimit> {
    let place = at.file.place(said.referenced);
    let RateLimitFields { rate, burst, by } = match &said.value {
        RateLimitEntry::Full(fields) => &**fields,
        RateLimitEntry::Text(text) => {
            let rate = if rate(text).is_ok() { text } else { "100/s" };
            let what = format!("{text:?}: write {{rate: {rate}}}, with burst and by where wanted");
            at.mistakes.add(&place, what);
            return None;
        }
    };
    let Some(said) = rate else {
        at.mistakes.add(&place, "a rate_limit needs a rate, such as 100/s");
        return None;
    };
    let by = at.over(by.as_ref(), limit_key, LimitKey::Client);
    let rate = at.mistakes.take(&at.file.place(said.referenced), self::rate(&said.value));
    let mut burst_or = |otherwise| at.over(burst.as_ref(), self::burst, otherwise);
    let Some(rate) = rate else {
        burst_or(NonZeroU32::MIN);
        return None;
    };
    let burst = burst_or(rate.per_second());
    if rate.time_for(burst) > REFILL_MAX {
        let days = REFILL_MAX.as_secs() / (24 * 3600);
        let what = format!("a burst of {burst} would take more than {days} days to come back");
        at.mistakes.add(&place, format!("{what}: write a smaller burst, or a higher rate"));
    }
    Some(RateLimit { rate, burst, by })
}

/// Parses a rate: `100/s`, `100/m` or `100/h`.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || {
        let hint = hints::rate(text);
        format!("invalid value {text:?}: expected a rate such as 100/s, 100/m or 100/h{hint}")
    };
    let (number, period) = text.split_once('/').ok_or_else(wrong)?;
    let periods = [RatePeriod::Second, RatePeriod::Minute, RatePeriod::Hour];
    let is_meant = |known: &RatePeriod| period.chars().eq([known.letter()]);
    let period = periods.into_iter().find(is_meant).ok_or_else(wrong)?;
    if number == "0" {
        return Err(format!("{text:?} lets nobody in: write deny or respond for that"));
    }
    let max = NonZeroU32::new(RATE_MAX).unwrap_or(NonZeroU32::MAX);
    if number.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(wrong());
    }
    Ok(Rate { requests: value::number(number, NonZeroU32::MIN, max)?, period })
}

fn burst(text: &str) -> Result<NonZeroU32, String> {
    value::number(text, NonZeroU32::MIN, NonZeroU32::new(BURST_MAX).unwrap_or(NonZeroU32::MAX))
}

/// Parses `client`, `header:NAME` or `route`.
fn limit_key(text: &str) -> Result<LimitKey, String> {
    match text.split_once(':') {
        None if text == "client" => Ok(LimitKey::Client),
        None if text == "route" => Ok(LimitKey::Route),
        Some(("header", name)) if is_token(name.as_bytes()) => {
            Ok(LimitKey::Header(name.to_ascii_lowercase().into()))
        }
        None if is_token(text.as_bytes()) => Err(format!(
            "invalid value {text:?}: expected client, header:NAME or route: write header:{text}"
        )),
        _ => Err(format!("invalid value {text:?}: expected client, header:NAME or route")),
    }
}

fn requests(text: &str) -> Result<NonZeroU32, String> {
    let max = NonZeroU32::new(REQUESTS_MAX).unwrap_or(NonZeroU32::MAX);
    value::number(text, NonZeroU32::MIN, max)
}

/// Parses the most bytes of a body; `off` is any number.
pub(super) fn body_max(text: &str) -> Result<Option<u64>, String> {
    match text {
        "off" => Ok(None),
        "0" => Err("\"0\" could mean none or any number: write 1, or off for any".to_owned()),
        _ => {
            let wrong = |_| {
                let hint = hints::size(text);
                format!("invalid value {text:?}: expected a size such as 10m, or off{hint}")
            };
            value::size(text).map(|bytes| Some(bytes as u64)).map_err(wrong)
        }
    }
}
