//! The rules of routes, compiled: what holds everywhere, and what a route says on top of it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::error_pages::PageFiles;
use super::head_edits;
use super::mistake::Mistakes;
use super::route_entry::RouteEntry;
use super::route_limits;
use super::sources::{At, Sources};
use crate::http::rules::RouteRules;
use crate::http::rules::head_edits::EditedHead;
use crate::http::rules::location::HostNaming;
use crate::http::rules::mirror::Mirror;
use crate::http::rules::outcome::RouteOutcome;
use crate::route::Pattern;

/// What holds everywhere, and what has been read for it.
pub(super) struct RuleSources {
    /// What holds for requests that no route takes, and for routes that say nothing else.
    pub(super) everywhere: Option<Arc<RouteRules>>,
    pages: PageFiles,
    /// What is no mistake, but may not be what was meant.
    pub(super) warnings: Vec<String>,
}

impl RuleSources {
    /// Reads what the file says on its top level.
    pub(super) fn of(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let (mut rules, mut pages) = (RouteRules::default(), PageFiles::default());
        if let Some(file) = &sources.file {
            let at = &mut At { file, mistakes };
            let written = &file.rules;
            let none = RouteRules::default();
            if let Some(said) = &written.request_headers {
                rules.request = head_edits::read(said, EditedHead::Request, &none.request, at);
            }
            if let Some(said) = &written.response_headers {
                // Of any route, so of any host.
                let head = EditedHead::Response(HostNaming::Any);
                rules.response = head_edits::read(said, head, &none.response, at);
            }
            if let Some(said) = &written.error_pages {
                rules.error_pages = pages.read(&said.value, at);
            }
            rules.body_max = at.over(written.max_body.as_ref(), route_limits::body_max, None);
        }
        Self { everywhere: shared(rules), pages, warnings: Vec::new() }
    }

    /// The rules of a route with this outcome, whose requests are copied like this, and which names its hosts like this.
    pub(super) fn of_route(
        &mut self,
        entry: &RouteEntry,
        (outcome, mirror): (RouteOutcome, Option<Mirror>),
        hosts: HostNaming,
        at: &mut At<'_>,
    ) -> Option<Arc<RouteRules>> {
        let says_something = outcome != RouteOutcome::Forward
            || mirror.is_some()
            || entry.request_headers.is_some()
            || entry.response_headers.is_some()
            || entry.error_pages.is_some()
            || route_limits::are_said(entry);
        if !says_something {
            return self.everywhere.clone();
        }
        let mut rules = self.everywhere.as_deref().cloned().unwrap_or_default();
        (rules.outcome, rules.mirror) = (outcome, mirror);
        self.warnings.extend(route_limits::read(entry, &mut rules, at));
        if let Some(said) = &entry.request_headers {
            rules.request = head_edits::read(said, EditedHead::Request, &rules.request, at);
        }
        if let Some(said) = &entry.response_headers {
            let head = EditedHead::Response(hosts);
            rules.response = head_edits::read(said, head, &rules.response, at);
        }
        if let Some(said) = &entry.error_pages {
            let is_refusing =
                entry.allow.is_some() || entry.deny.is_some() || route_limits::are_said(entry);
            if rules.outcome != RouteOutcome::Forward && !is_refusing {
                let what = "error_pages: has no effect here: what a route answers itself is no error: write the text in \
                            the body of respond";
                at.mistakes.warn(&at.file.place(said.referenced), what);
            }
            rules.error_pages = self.pages.read(&said.value, at).over(&rules.error_pages);
        }
        shared(rules)
    }
}

fn shared(rules: RouteRules) -> Option<Arc<RouteRules>> {
    (!rules.is_empty()).then(|| Arc::new(rules.settled()))
}

/// How a route with these patterns names its hosts.
pub(super) fn host_naming(patterns: &[Pattern]) -> HostNaming {
    let is_literal = |host: &str| host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    let hosts: Option<Vec<&str>> = patterns.iter().map(Pattern::host).collect();
    match hosts {
        None => HostNaming::Any,
        Some(hosts) if hosts.iter().copied().any(is_literal) => HostNaming::Literal,
        Some(_) => HostNaming::Names,
    }
}
