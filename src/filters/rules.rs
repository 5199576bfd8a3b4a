//! The rules of a configuration, as filters: they use nothing that the trait has not.

use std::sync::Arc;

use super::calls::{ClientRequest, ClientResponse, ReplyTo, RouteChoice};
use super::limits;
use super::reply::LocalReply;
use super::values::{KeptValues, RequestValues, ResponseValues};
use super::{Filters, Verdict};
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::hop::ClientScheme;
use crate::http::message::lookup;
use crate::http::rules::RouteRules;
use crate::http::rules::outcome::{Redirect, Respond, RouteOutcome};
use crate::http::rules::request_limit::RoutePermit;
use crate::http::rules::template::TooLong;
use crate::plan::Route;
use crate::plan::context::WorkerContext;

/// What the routes of the configuration in force say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules;

/// What rules keep of a request for its answer; boxed, since few requests have any.
#[derive(Debug, Default)]
pub struct RuleContext(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    values: KeptValues,
    /// What Set-Cookie says, so that the client stays on its side of a split.
    set_cookie: Option<String>,
    /// The request's identifier, if it had to be made.
    request_id: Vec<u8>,
    /// Lets it be in flight, where its route has a limit for that.
    permit: Option<RoutePermit>,
    /// Whether the answer is the one that its route has written down.
    responds: bool,
}

impl Filters for Rules {
    type Context = RuleContext;

    #[inline]
    fn route<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        choice: &mut RouteChoice<'a>,
        edits: &mut Edits<'a>,
        context: &mut RuleContext,
    ) -> Verdict {
        match request.route() {
            Some(route) if route.rules.is_some() || route.upstreams.len() > 1 => {
                decide(route, request, choice, edits, &mut context.0)
            }
            _ => Verdict::Continue,
        }
    }

    fn unrouted<'a>(&'a self, request: &ClientRequest<'a>, RuleContext(kept): &mut RuleContext) {
        let Some(rules) = rules_of(request.route(), request.plan().rules.as_ref()) else { return };
        if rules.captures.is_empty() {
            return;
        }
        let lacks_id = request.request_id.is_none() && rules.wants_id;
        let made = lacks_id.then(|| new_id(request.context));
        let request_id = request.request_id.or(made.as_deref()).unwrap_or_default();
        let values = RequestValues { request, upstream: "", request_id };
        kept.get_or_insert_default().values = KeptValues::keep(rules.captures, &values);
        keep(kept, made, |kept, id| kept.request_id = id);
    }

    #[inline]
    fn response_out<'a>(
        &'a self,
        response: &ClientResponse<'a>,
        edits: &mut Edits<'a>,
        RuleContext(kept): &'a RuleContext,
    ) {
        let rules = rules_of(response.route(), response.plan().rules.as_ref());
        if rules.is_some() || kept.is_some() {
            edit_response(rules, response, edits, kept.as_deref());
        }
    }

    fn reply(&self, reply: &mut LocalReply, to: &ReplyTo<'_>, RuleContext(kept): &mut RuleContext) {
        let Some(rules) = rules_of(to.route(), to.plan().rules.as_ref()) else { return };
        if reply.has_body() {
            return;
        }
        let Some(page) = rules.error_pages.find(reply.status()) else { return };
        let text = page.as_text().cloned().unwrap_or_else(|| {
            let made = kept.as_ref().map(|kept| &*kept.request_id).filter(|id| !id.is_empty());
            let mut text = Vec::new();
            let id = to.request_id.or(made).map_or_else(|| new_id(to.context), <[u8]>::to_vec);
            page.append(reply.status(), &id, &mut text);
            text.into()
        });
        reply.set_body(page.content_type(), text);
    }
}

/// The rules of a route; what holds everywhere, for an answer that no route gives.
fn rules_of<'a>(
    route: Option<&'a Route>,
    everywhere: Option<&'a Arc<RouteRules>>,
) -> Option<&'a RouteRules> {
    route.map_or(everywhere, |route| route.rules.as_ref()).map(|rules| &**rules)
}

/// What becomes of a request whose route has rules, or several upstreams.
#[inline(never)]
fn decide<'a>(
    route: &'a Route,
    request: &ClientRequest<'a>,
    choice: &mut RouteChoice<'a>,
    edits: &mut Edits<'a>,
    kept: &mut Option<Box<Kept>>,
) -> Verdict {
    let mut set_cookie = None;
    if route.upstreams.len() > 1 {
        set_cookie = split(route, request, choice);
    }
    let Some(rules) = &route.rules else {
        keep(kept, set_cookie, |kept, cookie| kept.set_cookie = Some(cookie));
        return Verdict::Continue;
    };
    let lacks_id = request.request_id.is_none() && rules.wants_id;
    let made = lacks_id.then(|| new_id(request.context));
    let values = RequestValues {
        request,
        upstream: choice.upstream().map_or("", |upstream| &*upstream.name),
        request_id: request.request_id.or(made.as_deref()).unwrap_or_default(),
    };
    if !rules.captures.is_empty() {
        kept.get_or_insert_default().values = KeptValues::keep(rules.captures, &values);
    }
    if let Some(made) = &made {
        // Endpoints and clients are told the same.
        edits.set_made(EditName::X_REQUEST_ID, |out| out.extend_from_slice(made));
    }
    let mut permit = None;
    if let Err(reply) = limits::check(rules, request, &mut permit) {
        keep(kept, made, |kept, id| kept.request_id = id);
        return Verdict::Reply(reply);
    }
    keep(kept, permit, |kept, permit| kept.permit = Some(permit));
    keep(kept, set_cookie, |kept, cookie| kept.set_cookie = Some(cookie));
    choice.body_max = rules.body_max;
    if let Some(mirror) = rules.mirror {
        let is_taken = mirror.share.takes(request.context.random());
        choice.mirror = Some(mirror.upstream).filter(|_| is_taken);
    }
    let verdict = match &rules.outcome {
        RouteOutcome::Forward if rules.request.apply(edits, &values).is_ok() => Verdict::Continue,
        RouteOutcome::Forward => {
            let reply = LocalReply::new(431, "a header that its route sets is too long");
            Verdict::Reply(Box::new(reply))
        }
        RouteOutcome::Redirect(redirect) => Verdict::Reply(Box::new(redirected(redirect, &values))),
        RouteOutcome::Respond(respond) => {
            kept.get_or_insert_default().responds = true;
            Verdict::Reply(Box::new(responded(respond, &values)))
        }
    };
    keep(kept, made, |kept, id| kept.request_id = id);
    verdict
}

/// Keeps something for the answer, if there is something.
fn keep<T>(kept: &mut Option<Box<Kept>>, value: Option<T>, put: impl FnOnce(&mut Kept, T)) {
    if let Some(value) = value {
        put(kept.get_or_insert_default(), value);
    }
}

/// An identifier for a request that has none: as long as those of the access log.
fn new_id(context: &WorkerContext) -> Vec<u8> {
    format!("{:016x}{:016x}", context.random(), context.random()).into()
}

/// Chooses one of several upstreams: the one that the client's cookie names, or else by chance. Returns what the
/// client is to be told by Set-Cookie, if anything.
fn split<'a>(
    route: &'a Route,
    request: &ClientRequest<'a>,
    choice: &mut RouteChoice<'a>,
) -> Option<String> {
    let cookie = route.split_cookie.as_ref();
    let known = cookie.and_then(|cookie| {
        let mut values = lookup::cookies(&request.head.fields, &cookie.cookie.name);
        let place = values.find_map(|value| cookie.find(value));
        // A side that has lost its share keeps nobody.
        place.filter(|place| route.upstreams.get(*place).is_some_and(|goes| goes.weight > 0))
    });
    let place = known.unwrap_or_else(|| route.share(request.context.random()));
    choice.upstream = route.upstreams.get(place).map(|goes| goes.upstream);
    let new = cookie.filter(|_| known.is_none())?;
    Some(new.set_cookie(place, request.scheme == ClientScheme::Https))
}

fn redirected(redirect: &Redirect, values: &RequestValues<'_, '_>) -> LocalReply {
    let mut location = Vec::new();
    let written = redirect.append_location(values, &mut location);
    match (written, String::from_utf8(location)) {
        (Ok(()), Ok(location)) => {
            let reply = LocalReply::new(redirect.status(), "it is elsewhere");
            reply.with_target(location.into()).with_rule("redirect")
        }
        _ => LocalReply::new(414, "it is too long to be redirected"),
    }
}

fn responded(respond: &Respond, values: &RequestValues<'_, '_>) -> LocalReply {
    let reply = LocalReply::new(respond.status(), "as its route says").with_rule("respond");
    let content_type = || respond.content_type().to_owned();
    if let Some(text) = respond.body().as_text() {
        return reply.with_body(content_type(), text);
    }
    let mut body = Vec::new();
    match respond.body().append(values, &mut body) {
        Ok(()) => reply.with_body(content_type(), body),
        Err(TooLong) => LocalReply::new(500, "the answer of its route is too long"),
    }
}

/// Edits the head of an answer.
#[inline(never)]
fn edit_response<'a>(
    rules: Option<&'a RouteRules>,
    response: &ClientResponse<'a>,
    edits: &mut Edits<'a>,
    kept: Option<&'a Kept>,
) {
    let values = ResponseValues { kept: kept.map(|kept| &kept.values), response };
    if let Some(cookie) = kept.and_then(|kept| kept.set_cookie.as_ref()) {
        edits.add(EditName::SET_COOKIE, Value::checked(cookie.as_bytes()));
    }
    let Some(rules) = rules else { return };
    let mut applied = Ok(());
    if let (RouteOutcome::Respond(respond), true) =
        (&rules.outcome, kept.is_some_and(|kept| kept.responds))
    {
        applied = respond.headers().apply(edits, &values);
    }
    applied = applied.and(rules.response.apply(edits, &values));
    if applied.is_err() {
        response.context.metrics.rule_values_dropped.add(1);
    }
}
