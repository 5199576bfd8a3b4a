//! Longest-prefix lookup in our trie, compared with a hash map that is asked for ever shorter paths, and
//! with `matchit`, the router of axum; and tables of routes with three conditions each.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use evener::http::h1::parse;
use evener::http::h1::scan::Limits;
use evener::http::message::head::{RequestHead, Storage};
use evener::http::rules::conditions::Conditions;
use evener::http::rules::table::{FoundRoute, RouteMatch, RouteTable};
use evener::route::{Pattern, Router};

use super::Case;

type MakeCase = fn(&str) -> Case;

pub const CASES: &[(&str, MakeCase)] = &[
    ("route among 10: trie", |name| trie(name, 10)),
    ("route among 10: hash map", |name| hash_map(name, 10)),
    ("route among 10: matchit", |name| matchit(name, 10)),
    ("route among 1000: trie", |name| trie(name, 1000)),
    ("route among 1000: hash map", |name| hash_map(name, 1000)),
    ("route among 1000: matchit", |name| matchit(name, 1000)),
    ("route among 100000: trie", |name| trie(name, 100_000)),
    ("route among 100000: hash map", |name| hash_map(name, 100_000)),
    ("route among 100000: matchit", |name| matchit(name, 100_000)),
    ("route with 3 conditions among 10: table", |name| table(name, 10, prefix_of)),
    ("route with 3 conditions among 2000: table", |name| table(name, 2000, prefix_of)),
    ("route with 3 conditions among 10 of one path: table", |name| table(name, 10, |_| "/".into())),
    ("route with 3 conditions among 2000 of one path: table", |name| {
        table(name, 2000, |_| "/".into())
    }),
];

/// What follows the prefix in each path that is looked up.
const REST: &str = "/orders/42/items";

fn prefixes(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(prefix_of)
}

fn prefix_of(at: usize) -> String {
    format!("/team{}/service{at}", at % 97)
}

/// Paths spread over the table.
fn paths(count: usize) -> Vec<String> {
    let step = (count / 64).max(1);
    prefixes(count).step_by(step).map(|prefix| prefix + REST).collect()
}

fn in_turn(name: &str, count: usize, mut find: impl FnMut(&str) -> bool + 'static) -> Case {
    let paths = paths(count);
    assert!(paths.iter().all(|path| find(path)) && !find("/nowhere/at/all"));
    let mut at = 0;
    Case::new(name, move || {
        at = (at + 1) % paths.len();
        assert!(find(black_box(&paths[at])));
    })
}

fn trie(name: &str, count: usize) -> Case {
    let patterns: Vec<Pattern> = prefixes(count).map(|prefix| prefix.parse().unwrap()).collect();
    let router = Router::new(&patterns).unwrap();
    in_turn(name, count, move |path| {
        router.find(b"www.example.com", path.as_bytes(), |_| None).is_some()
    })
}

fn hash_map(name: &str, count: usize) -> Case {
    let table: HashMap<String, usize> = prefixes(count).zip(0..).collect();
    in_turn(name, count, move |path| {
        let mut prefix = path;
        loop {
            if table.contains_key(prefix) {
                return true;
            }
            match prefix.rfind('/') {
                Some(end) if end > 0 => prefix = &prefix[..end],
                _ => return false,
            }
        }
    })
}

fn matchit(name: &str, count: usize) -> Case {
    let mut router = matchit::Router::new();
    for (at, prefix) in prefixes(count).enumerate() {
        router.insert(format!("{prefix}/{{*rest}}"), at).unwrap();
    }
    in_turn(name, count, move |path| router.at(path).is_ok())
}

/// Routes of one method and of two headers, one of which has a value of its own for each route, and requests of which
/// each takes one of them.
fn table(name: &str, count: usize, prefix: fn(usize) -> String) -> Case {
    let of_tenant = |tenant: usize| {
        let mut conditions = Conditions::default();
        conditions.add_method("GET").unwrap();
        conditions.add_header("X-Stage", "*").unwrap();
        conditions.add_header("X-Tenant", &format!("tenant{tenant}")).unwrap();
        let patterns = vec![prefix(tenant).parse().unwrap()];
        RouteMatch { patterns, conditions: Some(Arc::new(conditions)) }
    };
    let (table, _) = RouteTable::new((0..count).map(of_tenant).collect());
    let tenants = (0..count).step_by((count / 64).max(1));
    let requests: Vec<(RequestHead<'_, '_>, String)> =
        tenants.map(|tenant| (head(tenant), prefix(tenant) + REST)).collect();
    let mut at = 0;
    Case::new(name, move || {
        at = (at + 1) % requests.len();
        let (head, path) = &requests[at];
        let found = table.find(black_box(head), path.as_bytes(), None);
        assert!(matches!(found, FoundRoute::Route(_)));
    })
}

/// The head of a request of this tenant, which is never freed.
fn head(tenant: usize) -> RequestHead<'static, 'static> {
    let fields = "Host: www.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Stage: test";
    let text = format!("GET / HTTP/1.1\r\n{fields}\r\nX-Tenant: tenant{tenant}\r\n\r\n");
    let bytes: &'static [u8] = Vec::leak(text.into_bytes());
    let storage: &'static mut Storage<'static> = Box::leak(Box::new(Storage::new()));
    let limits = Limits { head_bytes_max: 16_384, fields_max: 100 };
    parse::request(bytes, &limits, storage).unwrap()
}
