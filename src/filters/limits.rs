//! Holds requests to the limits of their route.

use super::calls::ClientRequest;
use super::reply::LocalReply;
use crate::http::message::field::Name;
use crate::http::message::lookup;
use crate::http::rules::RouteRules;
use crate::http::rules::rate_limit::{LimitKey, RateExceeded, RateLimiter};
use crate::http::rules::refusal::RefusingRule;
use crate::http::rules::request_limit::RoutePermit;

/// Seconds a client is asked to wait when too many requests are in flight.
const RETRY_AFTER: u32 = 1;

/// Holds a request to all of them, in their order. The permit it gets, if it needs one, is kept in `permit`.
pub(super) fn check(
    rules: &RouteRules,
    request: &ClientRequest<'_>,
    permit: &mut Option<RoutePermit>,
) -> Result<(), Box<LocalReply>> {
    let refused = |rule, reply: LocalReply| {
        if let Some(route) = request.route {
            request.context.route_counts(route).refuse(rule);
        }
        Box::new(reply.with_rule(rule.name()))
    };
    if let Some(access) = &rules.access
        && !access.admits(request.client)
    {
        let is_denied = access.denies(request.client);
        let rule = if is_denied { RefusingRule::Deny } else { RefusingRule::Allow };
        return Err(refused(rule, LocalReply::new(403, "clients of this network are not served")));
    }
    if let Some(limiter) = &rules.rate_limit
        && let Err(RateExceeded { retry_after }) = admit(limiter, request)
    {
        let seconds = u32::try_from(retry_after).unwrap_or(u32::MAX);
        let reply = LocalReply::new(429, "there have been too many requests");
        return Err(refused(RefusingRule::RateLimit, reply.with_retry_after(seconds)));
    }
    if let Some(limit) = &rules.max_requests {
        *permit = limit.take();
        if permit.is_none() {
            let reply = LocalReply::new(503, "too many requests are in flight on this route");
            return Err(refused(RefusingRule::MaxRequests, reply.with_retry_after(RETRY_AFTER)));
        }
    }
    if rules.body_max.is_some_and(|max| length(request).is_some_and(|length| length > max)) {
        return Err(refused(RefusingRule::MaxBody, LocalReply::too_long()));
    }
    Ok(())
}

fn admit(limiter: &RateLimiter, request: &ClientRequest<'_>) -> Result<(), RateExceeded> {
    let now = request.arrived.into_std();
    match &limiter.limit().by {
        LimitKey::Client => limiter.admit_client(request.client, now),
        LimitKey::Header(name) => {
            let value = lookup::headers(&request.head.fields, name).next();
            limiter.admit_value(value, now)
        }
        LimitKey::Route => limiter.admit_any(now),
    }
}

/// How long the body is, if its request says so. That this is a number has been checked.
fn length(request: &ClientRequest<'_>) -> Option<u64> {
    let said = request.head.fields.values(Name::ContentLength).next()?;
    std::str::from_utf8(said).ok()?.trim().parse().ok()
}
