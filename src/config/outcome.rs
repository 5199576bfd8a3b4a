//! What becomes of the requests of a route: exactly one of several things.

use super::spanned::Spanned;

use super::balancing;
use super::entries::{Said, StickyEntry};
use super::head_edits::each;
use super::hints;
use super::mistake::Place;
use super::route_entry::RouteEntry;
use super::rule_entries::{NamedTexts, RedirectEntry, RespondEntry};
use super::templates;
use super::upstreams::{At, Upstreams};
use super::value;
use crate::http::message::edits::Value;
use crate::http::message::field::is_token;
use crate::http::rules::head_edits::{EditedHead, FieldEditError, HeadEdits};
use crate::http::rules::location::HostNaming;
use crate::http::rules::outcome::{
    REDIRECT_STATUS, Redirect, RedirectError, Respond, RespondError, RouteOutcome,
};
use crate::id::UpstreamId;
use crate::upstream::split_cookie::SplitCookie;
use crate::upstream::sticky::StickyCookie;
use crate::upstream::{Traffic, Upstream};

/// The largest share of an upstream in a split.
const SHARE_MAX: u16 = 1000;

/// The media type of bodies that name none.
const CONTENT_TYPE: &str = "text/plain";

/// What one may choose from.
const CHOICES: &str = "upstream: NAME, endpoints: [ADDRESS], split: {NAME: WEIGHT}, redirect: {to: LOCATION} or \
                       respond: {status: NUMBER}";

/// Where the requests of a route go.
#[derive(Debug)]
pub(super) struct RouteTarget {
    /// To these upstreams, with their shares; to none, if they are answered here.
    pub(super) shares: Vec<(UpstreamId, u16)>,
    /// The cookie that keeps a client with one of several.
    pub(super) split_cookie: Option<SplitCookie>,
    /// What becomes of them.
    pub(super) outcome: RouteOutcome,
}

impl RouteTarget {
    fn to(shares: Vec<(UpstreamId, u16)>) -> Self {
        Self { shares, split_cookie: None, outcome: RouteOutcome::Forward }
    }

    fn here(outcome: RouteOutcome) -> Self {
        Self { shares: Vec::new(), split_cookie: None, outcome }
    }
}

/// Reads where the requests of a route of this name go, which is at `place` and names its hosts like this.
pub(super) fn of_route(
    entry: &RouteEntry,
    (name, place): (&str, &Place),
    hosts: HostNaming,
    upstreams: &mut Upstreams<'_>,
    at: &mut At<'_>,
) -> Option<RouteTarget> {
    let RouteEntry { upstream, endpoints, split, redirect, respond, .. } = entry;
    let given = [
        ("upstream", upstream.is_some()),
        ("endpoints", endpoints.is_some()),
        ("split", split.is_some()),
        ("redirect", redirect.is_some()),
        ("respond", respond.is_some()),
    ];
    let given: Vec<_> = given.into_iter().filter(|(_, is_given)| *is_given).collect();
    match &given[..] {
        [_] => {}
        [] => {
            at.mistakes.add(place, format!("a route needs an outcome: write {CHOICES}"));
            return None;
        }
        [several @ .., (last, _)] => {
            let several: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
            let what = format!(
                "a route has one outcome, and here are {} and {last}: leave all but one out",
                several.join(", ")
            );
            at.mistakes.add(place, what);
            return None;
        }
    }
    if let Some(sticky) = entry.sticky.as_ref().filter(|_| split.is_none()) {
        let what = "sticky: of a route it keeps clients with one upstream of a split: write it in the upstream, \
                    which keeps them with an endpoint";
        at.mistakes.add(&at.file.place(sticky.referenced), what);
    }
    if let Some(named) = upstream {
        let found = upstreams.find(&named.value, Traffic::Http);
        let found = at.mistakes.take(&at.file.place(named.referenced), found);
        return found.map(|id| RouteTarget::to(vec![(id, 1)]));
    }
    if let Some(listed) = endpoints {
        let within = (place, &mut *at);
        let id = upstreams.add_listed(name, listed, within, Traffic::Http);
        return Some(RouteTarget::to(vec![(id, 1)]));
    }
    if let Some(split) = split {
        let shares = shares(split, upstreams, at);
        let cookie = entry.sticky.as_ref().and_then(|said| balancing::cookie(said, at));
        if let (Some(said), Some(cookie), Some(shares)) = (&entry.sticky, &cookie, &shares) {
            refuse_same_cookie((said, cookie), shares, upstreams, at);
        }
        let names = split.value.0.iter().map(|(name, _)| &*name.value);
        let split_cookie = cookie.map(|cookie| SplitCookie::new(name, cookie, names));
        return shares.map(|shares| RouteTarget { split_cookie, ..RouteTarget::to(shares) });
    }
    let (kind, outcome) = match (redirect, respond) {
        (Some(said), _) => ("a redirect", of_redirect(said, hosts, at).map(RouteOutcome::Redirect)),
        (_, Some(said)) => {
            ("an answer of our own", of_answer(said, hosts, at).map(RouteOutcome::Respond))
        }
        (None, None) => return None,
    };
    refuse_of_endpoints(entry, kind, place, at);
    outcome.map(RouteTarget::here)
}

/// Notes what is said of endpoints, where there are none.
fn refuse_of_endpoints(entry: &RouteEntry, kind: &str, place: &Place, at: &mut At<'_>) {
    let at_key =
        |said: &Option<Box<Said>>| said.as_ref().map(|said| at.file.place(said.referenced));
    let headers = entry.request_headers.as_ref().map(|said| at.file.place(said.referenced));
    let mirror = entry.mirror.as_ref().map(|said| at.file.place(said.referenced));
    let retry_on = entry.retry_on.as_ref().map(|said| at.file.place(said.referenced));
    let keys = [
        ("strip_prefix", entry.strip_prefix.filter(|strips| *strips).map(|_| place.clone())),
        ("replace_prefix", at_key(&entry.replace_prefix)),
        ("mirror", mirror),
        ("request_headers", headers),
        ("host_header", at_key(&entry.host_header)),
        ("response_timeout", at_key(&entry.response_timeout)),
        ("attempt_timeout", at_key(&entry.attempt_timeout)),
        ("idle_timeout", at_key(&entry.idle_timeout)),
        ("tunnel_timeout", at_key(&entry.tunnel_timeout)),
        ("retries", at_key(&entry.retries)),
        ("retry_on", retry_on),
    ];
    for (key, place) in keys {
        if let Some(place) = place {
            let what =
                format!("{key}: has no effect on {kind}, which goes to no endpoint: leave it out");
            at.mistakes.add(&place, what);
        }
    }
}

/// Notes if an upstream of a split has a cookie of the same name: each would undo what the other says.
fn refuse_same_cookie(
    (said, cookie): (&Spanned<StickyEntry>, &StickyCookie),
    shares: &[(UpstreamId, u16)],
    upstreams: &Upstreams<'_>,
    at: &mut At<'_>,
) {
    let has_it = |upstream: &Upstream| {
        upstream.sticky.as_ref().is_some_and(|sticky| sticky.cookie.name == cookie.name)
    };
    let of_shares = shares.iter().map(|(id, _)| upstreams.get(*id));
    if let Some(upstream) = of_shares.into_iter().find(|upstream| has_it(upstream)) {
        let what = format!(
            "sticky: upstream {} has the cookie {:?} too, for its endpoints: use another name here",
            upstream.name, cookie.name
        );
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
}

/// Named upstreams with their shares.
fn shares(
    split: &Spanned<NamedTexts>,
    upstreams: &mut Upstreams<'_>,
    at: &mut At<'_>,
) -> Option<Vec<(UpstreamId, u16)>> {
    let mut shares: Vec<(UpstreamId, u16)> = Vec::new();
    let mut is_whole = true;
    for (name, share) in &split.value.0 {
        let place = at.file.place(name.referenced);
        let found = upstreams.find(&name.value, Traffic::Http);
        let is_known = |id| shares.iter().any(|(known, _)| *known == id);
        let found = match found {
            Ok(id) if is_known(id) => {
                Err(format!("{:?} is given twice: add the weights up", name.value))
            }
            found => found,
        };
        let found = at.mistakes.take(&place, found);
        let share_place = at.file.place(share.referenced);
        let share = value::number(&share.value, 0, SHARE_MAX).map_err(|_| {
            let hint = hints::share(&share.value);
            format!(
                "invalid value {:?}: expected a whole number from 0 to {SHARE_MAX}{hint}",
                share.value
            )
        });
        match found.zip(at.mistakes.take(&share_place, share)) {
            Some(share) => shares.push(share),
            None => is_whole = false,
        }
    }
    if is_whole && shares.iter().all(|(_, share)| *share == 0) {
        let what =
            "split: at least one upstream needs a weight above 0, as in {app: 95, app-canary: 5}";
        at.mistakes.add(&at.file.place(split.referenced), what);
        is_whole = false;
    }
    is_whole.then_some(shares)
}

fn of_redirect(
    said: &Spanned<RedirectEntry>,
    hosts: HostNaming,
    at: &mut At<'_>,
) -> Option<Redirect> {
    let place = at.file.place(said.referenced);
    let fields = match &said.value {
        RedirectEntry::Text(text) => {
            at.mistakes.add(&place, format!("write redirect: {{to: {text:?}}}"));
            return None;
        }
        RedirectEntry::Full(fields) => fields,
    };
    let Some(to) = &fields.to else {
        let what = "a redirect needs to: LOCATION, as in {to: \"https://www.example.com{target}\"}";
        at.mistakes.add(&place, what);
        return None;
    };
    let number = |text: &str| {
        value::number(text, 0, 999)
            .map_err(|_| format!("invalid value {text:?}: expected 301, 302, 303, 307 or 308"))
    };
    let status = at.over(fields.status.as_ref(), number, REDIRECT_STATUS);
    let text = at.file.template(to);
    templates::look(to, text, at);
    if let Some(variable) = templates::doubled_slash(text) {
        let place = at.file.place(to.referenced);
        let what = format!(
            "/{variable} comes to two slashes, since {variable} begins with one: leave the / before it out"
        );
        at.mistakes.warn(&place, &what);
    }
    let redirect = Redirect::new(text, status, hosts);
    let wrong = match &redirect {
        Err(RedirectError::Status(_)) => fields.status.as_ref().unwrap_or(to),
        _ => to,
    };
    let place = at.file.place(wrong.referenced);
    at.mistakes.take(&place, redirect.map_err(|error| error.to_string()))
}

/// A media type (RFC 9110 §8.3.1), with its parameters if it has some.
fn media_type(text: &str) -> Option<String> {
    let (main, sub) = text.split(';').next()?.trim_end().split_once('/')?;
    let is_one = is_token(main.as_bytes()) && is_token(sub.as_bytes());
    (is_one && Value::new(text.as_bytes()).is_some()).then(|| text.to_owned())
}

fn of_answer(said: &Spanned<RespondEntry>, hosts: HostNaming, at: &mut At<'_>) -> Option<Respond> {
    let place = at.file.place(said.referenced);
    let RespondEntry::Full(fields) = &said.value else {
        at.mistakes.add(&place, "an answer is written as {status: 503, body: \"back at noon\\n\"}");
        return None;
    };
    let mut headers = HeadEdits::default();
    if let Some(said) = &fields.headers {
        each(said, at, |name, text| match name.to_ascii_lowercase().as_str() {
            "content-type" => Err(FieldEditError::ContentType),
            _ => headers.set(name, text, EditedHead::Response(hosts)),
        });
    }
    let content_type = |text: &str| {
        media_type(text.trim()).ok_or_else(|| {
        let hint = hints::choice(text, &[], &[
            ("html", "text/html"),
            ("text", "text/plain"),
            ("txt", "text/plain"),
            ("json", "application/json"),
            ("xml", "application/xml"),
        ]);
        format!("invalid value {text:?}: expected a media type, TYPE/SUBTYPE such as text/html{hint}")
    })
    };
    let content_type = at.over(fields.content_type.as_ref(), content_type, CONTENT_TYPE.to_owned());
    let Some(status) = &fields.status else {
        at.mistakes.add(&place, "an answer needs status: NUMBER, from 200 to 599");
        return None;
    };
    let status_place = at.file.place(status.referenced);
    let number = value::number(&status.value, 0, 999).map_err(|_| {
        format!("invalid value {:?}: expected a status from 200 to 599", status.value)
    });
    let number = at.mistakes.take(&status_place, number)?;
    let body = fields.body.as_ref();
    if let Some(body) = body {
        templates::look_at_body(body, at.file.template(body), at);
    }
    let text = body.map_or("", |body| at.file.template(body));
    let respond = Respond::new(number, text, &content_type, headers);
    let wrong = match &respond {
        Err(RespondError::Status(_)) => status,
        _ => body.unwrap_or(status),
    };
    let place = at.file.place(wrong.referenced);
    let told = |error: RespondError| match &error {
        RespondError::Template(error) => templates::told(text, error),
        _ => error.to_string(),
    };
    at.mistakes.take(&place, respond.map_err(told))
}
