//! Checks that no two types that other files can name have the same name.

use std::collections::BTreeMap;

use super::source::{Source, find_words, leading_word};
use super::{sources, verdict};

/// What declares a type.
const KINDS: &[&str] = &["struct", "enum", "trait", "type", "union"];

/// Names that two protocols, or a protocol and the command line, give to things of their own.
const APART: &[&str] = &["Flags", "Name", "Version"];

/// Peers and judges of tests and fuzzing are called what they play.
const PLAYERS: &[&str] = &[
    "src/session/simulation/",
    "src/http/oracle.rs",
    "src/net/memory.rs",
    "fuzz.rs",
    "simulation.rs",
];

#[test]
fn types_have_names_of_their_own() {
    verdict(&namesakes(&sources(&["src"])), "rename one of them, or say in APART why not");
}

#[test]
fn namesakes_are_found_where_others_can_name_both() {
    let first = Source::new("src/a.rs", "pub struct A;\npub(super) enum B {}\npub type C = u8;");
    let second = "/// pub struct C\nstruct A;\n  pub(crate) struct B;\n#[cfg(test)]\nmod t { pub type C = A; }";
    let found = namesakes(&[first, Source::new("src/b.rs", second)]);
    assert_eq!(found, ["src/b.rs:3: `B` is a type of src/a.rs, too"]);
}

fn namesakes(sources: &[Source]) -> Vec<String> {
    let (mut known, mut found) = (BTreeMap::new(), Vec::new());
    for source in sources.iter().filter(|source| !is_player(&source.path)) {
        for (at, name) in visible_types(&source.shipped) {
            match known.insert(name, &source.path) {
                Some(other) if !APART.contains(&name) => {
                    found.push(source.at(at, &format!("`{name}` is a type of {other}, too")));
                }
                _ => {}
            }
        }
    }
    found
}

fn is_player(path: &str) -> bool {
    PLAYERS.iter().any(|player| path.starts_with(player) || path.ends_with(player))
}

/// The offsets and names of the types that other files can name.
fn visible_types(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let declared =
        KINDS.iter().flat_map(|kind| find_words(code, kind).map(|at| (at, at + kind.len())));
    declared
        .filter(|(at, _)| {
            let line = code[..*at].rsplit('\n').next().unwrap_or_default().trim();
            line == "pub" || line.starts_with("pub(") && line.ends_with(')')
        })
        .map(|(at, end)| (at, leading_word(&code[end..])))
}
