//! Longest-prefix lookup in our trie, compared with a hash map that is asked for ever shorter paths, and
//! with `matchit`, the router of axum.

use std::collections::HashMap;
use std::hint::black_box;

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
];

/// What follows the prefix in each path that is looked up.
const REST: &str = "/orders/42/items";

fn prefixes(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |at| format!("/team{}/service{at}", at % 97))
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
