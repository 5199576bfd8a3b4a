//! The routes with conditions that have the same host and path, and which of them takes a request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::conditions::{Conditions, NamedCondition, NamedSource, Overlap, Subject, WantedValue};
use crate::http::message::lookup;
use crate::id::RouteId;

/// Up to this many, looking at one after the other is as fast as an index.
const FEW: usize = 8;

/// A route and its conditions.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The route.
    pub route: RouteId,
    /// Its conditions; one at least.
    pub conditions: Arc<Conditions>,
}

/// Routes in the order in which they take requests: those with more conditions first, then the earlier ones.
///
/// Where they are many, one header or parameter tells them apart: the one of which they ask for the most
/// different values. Those that ask for another value than a request has are not looked at.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// In this order; elsewhere they are known by their place in it.
    all: Vec<Candidate>,
    index: Option<Index>,
    /// Places of those that are not in the index, in order.
    rest: Vec<usize>,
}

/// Places by what a header or parameter says.
#[derive(Clone, Debug)]
struct Index {
    source: NamedSource,
    name: Box<str>,
    /// In the order of the values, each with a range of `places`.
    values: Vec<(Box<str>, Range<usize>)>,
    places: Vec<usize>,
}

impl Index {
    /// Those that ask for a value, in order.
    fn of_value(&self, value: &[u8]) -> Option<usize> {
        self.values.binary_search_by(|(known, _)| known.as_bytes().cmp(value)).ok()
    }

    fn places(&self, at: usize) -> &[usize] {
        &self.places[self.values[at].1.clone()]
    }

    /// Which of the values a request has, each once.
    fn values_of(&self, subject: &Subject<'_, '_, '_>) -> Vec<usize> {
        let mut found: Vec<usize> = match self.source {
            NamedSource::Header => lookup::headers(&subject.head.fields, &self.name)
                .filter_map(|value| self.of_value(value))
                .collect(),
            NamedSource::Query => lookup::parameters(subject.head.query(), &self.name)
                .filter_map(|value| self.of_value(&value))
                .collect(),
        };
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Candidates {
    /// From routes in the order of the configuration.
    pub fn new(mut all: Vec<Candidate>) -> Self {
        // Stable: the earlier of two is the first.
        all.sort_by_key(|candidate| std::cmp::Reverse(candidate.conditions.count()));
        let key = if all.len() > FEW { telling(&all) } else { None };
        let Some((source, name)) = key else {
            let rest = (0..all.len()).collect();
            return Self { all, index: None, rest };
        };
        let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut rest = Vec::new();
        for (place, candidate) in all.iter().enumerate() {
            let named = candidate.conditions.named().iter();
            let mut named = named.filter(|named| (named.source, &*named.name) == (source, &*name));
            match named.next().map(|named| &named.value) {
                Some(WantedValue::Exactly(value)) => by_value.entry(value).or_default().push(place),
                Some(WantedValue::Any) | None => rest.push(place),
            }
        }
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for (value, of_value) in by_value {
            let start = places.len();
            places.extend(of_value);
            values.push((value.into(), start..places.len()));
        }
        let index = Some(Index { source, name, values, places });
        Self { all, index, rest }
    }

    /// All of them, in the order in which they take requests.
    pub fn all(&self) -> &[Candidate] {
        &self.all
    }

    /// How many are looked at one after the other, whatever the request.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }

    /// The route that takes a request.
    pub fn choose(&self, subject: &Subject<'_, '_, '_>) -> Option<RouteId> {
        let holds = |place: &usize| self.all[*place].conditions.hold(subject);
        let mut first = self.rest.iter().copied().find(holds);
        if let Some(index) = &self.index {
            for value in index.values_of(subject) {
                let before = |place: &usize| first.is_none_or(|first| *place < first);
                let mut places = index.places(value).iter().copied().take_while(before);
                first = places.find(holds).or(first);
            }
        }
        first.map(|place| self.all[place].route)
    }

    /// The conditions of the routes that would take a request but for its method, in the order of the routes.
    /// Looks at no more of them than [`Self::choose`].
    pub fn all_but_method_hold(&self, subject: &Subject<'_, '_, '_>) -> Vec<&Conditions> {
        let indexed = self.index.iter().flat_map(|index| {
            index.values_of(subject).into_iter().flat_map(|value| index.places(value))
        });
        let mut places: Vec<usize> = self.rest.iter().chain(indexed).copied().collect();
        places.retain(|place| self.all[*place].conditions.all_but_method_hold(subject));
        places.sort_unstable();
        places.into_iter().map(|place| &*self.all[place].conditions).collect()
    }

    /// Calls `found` with pairs of routes that have as many conditions, the earlier one first, and which requests
    /// fulfil both. Those that the index tells apart are not compared.
    pub fn overlaps(&self, mut found: impl FnMut(RouteId, RouteId, Overlap)) {
        let mut compare = |a: usize, b: usize| {
            let (a, b) = (&self.all[a.min(b)], &self.all[a.max(b)]);
            if a.conditions.count() == b.conditions.count() && a.route != b.route {
                match a.conditions.overlap(&b.conditions) {
                    Overlap::None => {}
                    overlap => found(a.route, b.route, overlap),
                }
            }
        };
        for (nth, &a) in self.rest.iter().enumerate() {
            let indexed = self.index.iter().flat_map(|index| &index.places);
            self.rest[nth + 1..].iter().chain(indexed).for_each(|&b| compare(a, b));
        }
        let Some(index) = &self.index else { return };
        for value in 0..index.values.len() {
            let places = index.places(value);
            for (nth, &a) in places.iter().enumerate() {
                places[nth + 1..].iter().for_each(|&b| compare(a, b));
            }
        }
    }
}

/// The header or parameter of which there are the most different values; the first of several.
fn telling(all: &[Candidate]) -> Option<(NamedSource, Box<str>)> {
    let mut values: BTreeMap<(NamedSource, &str), BTreeSet<&str>> = BTreeMap::new();
    for NamedCondition { source, name, value, .. } in
        all.iter().flat_map(|candidate| candidate.conditions.named())
    {
        if let WantedValue::Exactly(value) = value {
            values.entry((*source, name)).or_default().insert(value);
        }
    }
    // The last of several largest is taken.
    let largest = values.iter().rev().max_by_key(|(_, values)| values.len())?;
    let ((source, name), _) = largest;
    Some((*source, (*name).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::field::STEPS;
    use crate::http::message::head::Storage;

    /// The steps of choosing among so many routes, each for a tenant of its own.
    fn steps(count: usize, lines: &str) -> usize {
        let candidate = |nth: usize| {
            let mut conditions = Conditions::default();
            conditions.add_header("X-Stage", "test").unwrap();
            conditions.add_header("X-Tenant", &nth.to_string()).unwrap();
            Candidate { route: RouteId::new(nth), conditions: Arc::new(conditions) }
        };
        let candidates = Candidates::new((0..count).map(candidate).collect());
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Stage: test\r\n{lines}\r\n");
        let limits = Limits { head_bytes_max: 65_536, fields_max: 256 };
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &limits, &mut storage).unwrap();
        STEPS.set(0);
        let found = candidates.choose(&Subject { head: &head, client: None });
        assert_eq!(found.is_some(), lines.contains("X-Tenant: 9\r\n"));
        let subject = Subject { head: &head, client: None };
        assert_eq!(candidates.all_but_method_hold(&subject).len(), usize::from(found.is_some()));
        STEPS.get()
    }

    #[test]
    fn those_whose_methods_do_not_fit_are_in_the_order_of_the_routes() {
        let candidate = |nth: usize, method: &str, tenant: Option<usize>| {
            let mut conditions = Conditions::default();
            conditions.add_method(method).unwrap();
            tenant.inspect(|tenant| conditions.add_header("X", &tenant.to_string()).unwrap());
            Candidate { route: RouteId::new(nth), conditions: Arc::new(conditions) }
        };
        let mut all = vec![candidate(0, "GET", None), candidate(1, "PATCH", Some(7))];
        all.extend((2..=FEW).map(|nth| candidate(nth, "PUT", Some(nth))));
        let candidates = Candidates::new(all);
        assert!(candidates.index.is_some() && candidates.rest() == 1);
        let bytes = b"DELETE / HTTP/1.1\r\nHost: a\r\nX: 8\r\nX: 7\r\n\r\n";
        let limits = Limits { head_bytes_max: 1024, fields_max: 8 };
        let mut storage = Storage::new();
        let head = parse::request(bytes, &limits, &mut storage).unwrap();
        let found = candidates.all_but_method_hold(&Subject { head: &head, client: None });
        let methods: Vec<&str> = found.iter().flat_map(|of| of.methods().written()).collect();
        // Those with a header are asked before the one without, and the earlier one before the later one.
        assert_eq!(methods, ["PATCH", "PUT", "PUT", "GET"]);
    }

    #[test]
    fn what_asks_for_another_value_is_not_looked_at() {
        for lines in ["X-Tenant: 9\r\n", "X-Tenant: none\r\n", "", &"X-Tenant: 9\r\n".repeat(200)] {
            assert_eq!(steps(10, lines), steps(2000, lines), "{lines}");
        }
    }
}
