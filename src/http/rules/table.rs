//! All routes of a configuration, and which of them takes a request.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::candidates::{Candidate, Candidates};
use super::conditions::{Conditions, Overlap, Subject};
use crate::http::message::head::RequestHead;
use crate::id::RouteId;
use crate::route::{Duplicate, Leaf, Listing, Pattern, Router};

/// Whom a route takes.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// Its hosts and paths, one at least; they differ in the host only.
    pub patterns: Vec<Pattern>,
    /// Its conditions, if it has any.
    pub conditions: Option<Arc<Conditions>>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundRoute {
    /// To this route.
    Route(RouteId),
    /// To no route, but to some if it had another method: one of these, as `Allow` lists them (RFC 9110 §10.2.1).
    MethodNotAllowed(String),
    /// To no route.
    Nothing,
}

impl FoundRoute {
    /// The route, if there is one.
    pub fn route(&self) -> Option<RouteId> {
        if let Self::Route(route) = self { Some(*route) } else { None }
    }
}

/// Which routes take which requests: one walk over host and path, and then the conditions of the routes whose
/// patterns match, from the most specific one.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    router: Router,
    /// By the router's groups.
    candidates: Vec<Candidates>,
    /// By [`RouteId`].
    matches: Vec<RouteMatch>,
}

impl RouteTable {
    /// For routes whose ids are their indices. Also returns those without conditions that have a pattern of an
    /// earlier one, which takes their requests.
    pub fn new(matches: Vec<RouteMatch>) -> (Self, Vec<Duplicate>) {
        let listings = matches.iter().enumerate().flat_map(|(index, one)| {
            let has_conditions = one.conditions.is_some();
            let route = RouteId::new(index);
            let listing = move |pattern| Listing { pattern, route, has_conditions };
            one.patterns.iter().map(listing)
        });
        let (router, duplicates) = Router::of(&listings.collect::<Vec<_>>());
        let candidate = |route: &RouteId| {
            let conditions = matches[route.index()].conditions.clone()?;
            Some(Candidate { route: *route, conditions })
        };
        let of_group = |group: &Vec<RouteId>| {
            // All routes of a group have conditions.
            let mut all = Vec::with_capacity(group.len());
            all.extend(group.iter().filter_map(candidate));
            Candidates::new(all)
        };
        let candidates = router.groups().iter().map(of_group).collect();
        (Self { router, candidates, matches }, duplicates)
    }

    /// Whom a route takes.
    pub fn of(&self, route: RouteId) -> &RouteMatch {
        &self.matches[route.index()]
    }

    /// Where a request goes whose normalised path is `path`.
    pub fn find(
        &self,
        head: &RequestHead<'_, '_>,
        path: &[u8],
        client: Option<IpAddr>,
    ) -> FoundRoute {
        let subject = Subject { head, client };
        let choose = |group: usize| self.candidates[group].choose(&subject);
        match self.router.find(head.authority, path, choose) {
            Some(route) => FoundRoute::Route(route),
            None if self.candidates.is_empty() => FoundRoute::Nothing,
            None => self.missed(&subject, path),
        }
    }

    /// What becomes of a request that no route takes.
    fn missed(&self, subject: &Subject<'_, '_, '_>, path: &[u8]) -> FoundRoute {
        let mut allowed: Vec<&str> = Vec::new();
        self.router.find(subject.head.authority, path, |group| {
            for conditions in self.candidates[group].all_but_method_hold(subject) {
                for method in conditions.methods().all() {
                    if !allowed.contains(&method) {
                        allowed.push(method);
                    }
                }
            }
            None
        });
        if allowed.is_empty() {
            FoundRoute::Nothing
        } else {
            FoundRoute::MethodNotAllowed(allowed.join(", "))
        }
    }

    /// Every route whose host and path match, in the order in which they are asked.
    pub fn candidates(&self, host: &[u8], path: &[u8]) -> Vec<RouteId> {
        let mut routes = Vec::new();
        self.router.visit(host, path, |Leaf { group, plain, .. }| {
            let guarded = group.iter().flat_map(|group| self.candidates[*group].all());
            routes.extend(guarded.map(|candidate| candidate.route));
            routes.extend(plain);
            None::<()>
        });
        routes
    }

    /// Pairs of routes with conditions between which only their order decides for some request, the earlier
    /// one first.
    pub fn overlaps(&self) -> Vec<(RouteId, RouteId, Overlap)> {
        let mut pairs = Vec::new();
        for candidates in &self.candidates {
            candidates.overlaps(|first, second, overlap| pairs.push((first, second, overlap)));
        }
        pairs.sort_unstable_by_key(|(first, second, _)| (*second, *first));
        pairs.dedup();
        pairs
    }

    /// Routes that no request ever gets to, since others without conditions are asked first, and match all that
    /// they do between them.
    pub fn unreached(&self) -> Vec<RouteId> {
        let plain = self.matches.iter().filter(|one| one.conditions.is_none());
        let plain: HashSet<&Pattern> = plain.flat_map(|one| &one.patterns).collect();
        if plain.is_empty() {
            return Vec::new();
        }
        let is_covered = |pattern: &Pattern| {
            pattern.halves().is_some_and(|halves| halves.iter().all(|half| plain.contains(half)))
        };
        let each = self.matches.iter().enumerate();
        let unreached = each.filter(|(_, one)| one.patterns.iter().all(is_covered));
        unreached.map(|(index, _)| RouteId::new(index)).collect()
    }

    /// The most routes of one host and path that are looked at one after the other, and one of them.
    pub fn longest_list(&self) -> Option<(usize, RouteId)> {
        let lists = self.candidates.iter().zip(self.router.groups());
        lists.map(|(candidates, group)| (candidates.rest(), group[0])).max()
    }
}
