//! Whom a route of the file takes.

use std::fmt;
use std::sync::Arc;

use super::spanned::{Location, Spanned};

use super::entries::{Said, TextOrList};
use super::hints;
use super::route_entry::RouteEntry;
use super::rule_entries::NamedTexts;
use super::sources::At;
use super::trusted;
use crate::http::rules::conditions::{ConditionError, Conditions, NamedSource};
use crate::http::rules::table::RouteMatch;
use crate::route::Pattern;

/// Whom a route takes; `whole` is where it is written. Its mistakes are noted; if there are some about its host
/// or path, there is none.
pub(super) fn of(entry: &RouteEntry, whole: Location, at: &mut At<'_>) -> Option<RouteMatch> {
    let patterns = patterns(entry, whole, at);
    let conditions = conditions(entry, at);
    let conditions = (conditions.count() > 0).then(|| Arc::new(conditions));
    patterns.map(|patterns| RouteMatch { patterns, conditions })
}

/// Where the path of a route is written, or else the whole of it.
pub(super) fn place_of(entry: &RouteEntry, whole: Location) -> Location {
    let path = entry.prefix.as_ref().or(entry.path.as_ref());
    path.map_or(whole, |path| path.referenced)
}

fn patterns(entry: &RouteEntry, whole: Location, at: &mut At<'_>) -> Option<Vec<Pattern>> {
    let place = at.file.place(place_of(entry, whole));
    let (text, is_exact) = match (&entry.prefix, &entry.path) {
        (Some(_), Some(path)) => {
            let what = "a route has either prefix or path: leave one out";
            at.mistakes.add(&at.file.place(path.referenced), what);
            return None;
        }
        (Some(prefix), None) => (&*prefix.value, false),
        (None, Some(path)) => (&*path.value, true),
        (None, None) => ("/", false),
    };
    let read = |text: &str| {
        let pattern = if is_exact { Pattern::exact(text) } else { text.parse() };
        pattern.map_err(|error| format!("{text:?}: {error}"))
    };
    let begins = if text.starts_with('/') {
        Ok(())
    } else {
        let kind = if is_exact { "path" } else { "prefix" };
        Err(format!("{text:?}: a {kind} begins with /: write /{text}"))
    };
    let of_any_host = at.mistakes.take(&place, begins.and_then(|()| read(text)))?;
    let Some(host) = &entry.host else { return Some(vec![of_any_host]) };
    let hosts = match &host.value {
        TextOrList::One(one) => vec![(&**one, host.referenced)],
        TextOrList::Many(many) => many.iter().map(|host| (&*host.value, host.referenced)).collect(),
    };
    if hosts.is_empty() {
        let what = "there are no hosts: write one, or leave the key out to take every host";
        at.mistakes.add(&at.file.place(host.referenced), what);
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for (host, place) in hosts {
        let pattern = match host {
            "" => Err("\"\" is no host: write one, or leave the key out to take every host".into()),
            _ => match hints::host(host) {
                Some(what) => Err(what),
                None => read(&format!("{host}{text}")).map_err(|what| {
                    what.replacen(
                        &format!("{:?}", format!("{host}{text}")),
                        &format!("invalid host {host:?}"),
                        1,
                    )
                }),
            },
        };
        match pattern {
            Ok(pattern) if patterns.contains(&pattern) => {
                at.mistakes.add(&at.file.place(place), twice(host));
            }
            pattern => patterns.extend(at.mistakes.take(&at.file.place(place), pattern)),
        }
    }
    (!patterns.is_empty()).then_some(patterns)
}

fn twice(what: &str) -> String {
    format!("{what:?} is there twice: leave one out")
}

fn conditions(entry: &RouteEntry, at: &mut At<'_>) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(methods) = &entry.methods {
        refuse_none(methods.value.is_empty(), methods.referenced, "methods", at);
        for method in &methods.value {
            let added = told(&method.value, conditions.add_method(&method.value));
            at.mistakes.take(&at.file.place(method.referenced), added);
        }
    }
    let cookie =
        |name: &&(Said, Said)| name.0.value.eq_ignore_ascii_case("cookie") && name.1.value != "*";
    let cookie = entry.headers.iter().flat_map(|said| &said.value.0).find(cookie);
    if let Some((name, _)) = cookie {
        let what = "Cookie: is compared as a whole, with all cookies of a request in it, and seldom is this alone: send the \
                    client a header of its own, or use sticky";
        at.mistakes.warn(&at.file.place(name.referenced), what);
    }
    let add = Conditions::add_header;
    add_named(&mut conditions, (entry.headers.as_deref(), "headers"), add, at);
    let add = Conditions::add_parameter;
    add_named(&mut conditions, (entry.query.as_deref(), "query"), add, at);
    // Names of routes are in logs and metrics.
    conditions.hide_values(|value| at.file.hide(value.to_owned()));
    if let Some(clients) = &entry.clients {
        refuse_none(clients.value.is_empty(), clients.referenced, "clients", at);
        for client in &clients.value {
            match trusted::network(&client.value) {
                Some(network) if conditions.clients().contains(&network.trunc()) => {
                    at.mistakes.add(&at.file.place(client.referenced), twice(&client.value));
                }
                Some(network) => conditions.add_client(network),
                None => {
                    let what = format!(
                        "invalid value {:?}: expected a network such as 10.0.0.0/8",
                        client.value
                    );
                    at.mistakes.add(&at.file.place(client.referenced), what);
                }
            }
        }
    }
    conditions
}

/// Adds what headers or parameters have to say.
fn add_named(
    conditions: &mut Conditions,
    (written, key): (Option<&Spanned<NamedTexts>>, &str),
    add: impl Fn(&mut Conditions, &str, &str) -> Result<(), ConditionError>,
    at: &mut At<'_>,
) {
    let Some(written) = written else { return };
    refuse_none(written.value.0.is_empty(), written.referenced, key, at);
    for (name, value) in &written.value.0 {
        let added = add(conditions, &name.value, &value.value);
        let (place, shown) = match added {
            Err(ConditionError::HeaderValue) => (value.referenced, &value.value),
            _ => (name.referenced, &name.value),
        };
        at.mistakes.take(&at.file.place(place), told(shown, added));
    }
}

/// Notes a condition that no request fulfils, or every one: which of both is meant cannot be told.
fn refuse_none(is_empty: bool, place: Location, key: &str, at: &mut At<'_>) {
    if is_empty {
        let what = format!("{key} is empty: write what requests have, or leave the key out");
        at.mistakes.add(&at.file.place(place), what);
    }
}

fn told<T>(text: &str, result: Result<T, ConditionError>) -> Result<T, String> {
    result.map_err(|error| format!("{text:?}: {error}"))
}

/// The longest name of a route with conditions or with several hosts, in bytes.
const NAME_BYTES_MAX: usize = 160;

/// What a route is called in logs and metrics: its pattern in canonical form, and then what tells it from
/// others of the same pattern. All of it is visible ASCII without quotes and backslashes, and single spaces. No
/// two routes that do not tie have the same name: what is too long ends in a hash of all of it.
pub(super) fn name_of(RouteMatch { patterns, conditions }: &RouteMatch) -> String {
    let mut name = String::new();
    let Some((first, others)) = patterns.split_first() else { return name };
    let hosts = others.iter().filter_map(Pattern::host);
    let hosts =
        hosts.fold(first.host().unwrap_or_default().to_owned(), |all, host| all + "," + host);
    let pattern = first.to_string();
    name.push_str(&pattern.replacen(first.host().unwrap_or_default(), &hosts, 1));
    let Some(conditions) = conditions else {
        return if others.is_empty() { name } else { bounded(name) };
    };
    let methods: Vec<&str> = conditions.methods().written().collect();
    let clients: Vec<String> = conditions.clients().iter().map(ToString::to_string).collect();
    let of_methods = (!methods.is_empty()).then(|| methods.join(","));
    let named = conditions.named().iter().map(|named| {
        let mark = if named.source == NamedSource::Query { "?" } else { "" };
        let (shown, value) = (InName(&named.shown).to_string(), InName(named.shown_value()));
        format!("{mark}{}={value}", shown.replace('=', "%3D"))
    });
    let of_clients = (!clients.is_empty()).then(|| clients.join(","));
    for part in of_methods.into_iter().chain(named).chain(of_clients) {
        name.push(' ');
        name.push_str(&part);
    }
    bounded(name)
}

fn bounded(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let hash = crate::hash::hash(name.as_bytes());
    // It is all ASCII.
    format!("{}~{hash:016x}", &name[..NAME_BYTES_MAX - 17])
}

/// A text in a name: `%` and what is not visible, or has a meaning in logs, as escapes.
struct InName<'a>(&'a str);

impl fmt::Display for InName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_graphic() && !b"\"\\%".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
