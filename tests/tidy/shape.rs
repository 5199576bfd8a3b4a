//! Checks the length of files and functions, the names of modules, and for leftovers such as notes.

use super::hold;
use super::source::{Source, find_words, functions, leading_word};

const FUNCTION_LINES_MAX: usize = 70;

/// The ceiling for each folder; the first matching row applies.
const FILE_LINES_MAX: &[(&str, usize)] = &[("src/", 500), ("tests/", 300)];

/// Searched for in comments too; split so that a plain search does not find this line.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const SCAFFOLDING: &[&str] =
    &[concat!("db", "g!"), concat!("to", "do!"), concat!("unimplement", "ed!")];
const PRINTING: &[&str] = &["println!", "eprintln!"];
const PRINTING_FILES: &[&str] = &["src/main.rs", "src/demo/origin.rs"];

/// Names that say nothing about the contents.
const VAGUE_MODULES: &[&str] = &["util", "misc", "common", "manager", "helpers"];

#[test]
fn functions_are_short() {
    hold(&["src", "tests"], long_functions, "name its steps");
}

#[test]
fn files_are_short() {
    hold(&["src", "tests"], long_files, "split it by subject");
}

#[test]
fn nothing_is_left_lying_about() {
    hold(&["src"], leftovers, "finish it; log or return what is printed");
}

#[test]
fn modules_are_named_after_what_they_hold() {
    hold(&["src", "tests"], vague_modules, "name it after what it holds");
}

/// `tools/msrv` knows all that an older Rust lacks; this is what has slipped in between two releases.
#[test]
fn the_oldest_rust_reads_all_guards() {
    hold(&["src", "tests"], guards_with_let, "match in the arm: Rust 1.89 has no such guards");
}

pub(super) fn long_functions(source: &Source) -> Vec<String> {
    let long =
        functions(&source.code).into_iter().filter(|(.., lines)| *lines > FUNCTION_LINES_MAX);
    long.map(|(at, name, lines)| source.at(at, &format!("`{name}` has {lines} lines"))).collect()
}

pub(super) fn long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let ceiling = FILE_LINES_MAX.iter().find(|(prefix, _)| source.path.starts_with(prefix));
    let over = ceiling.filter(|(_, max)| lines > *max);
    over.map(|(_, max)| source.at(0, &format!("has {lines} lines of {max}"))).into_iter().collect()
}

pub(super) fn leftovers(source: &Source) -> Vec<String> {
    let prints = PRINTING_FILES.contains(&source.path.as_str());
    let unwelcome = if prints { SCAFFOLDING } else { &[SCAFFOLDING, PRINTING].concat() };
    [source.each(&source.remarked, NOTES), source.each(&source.code, unwelcome)].concat()
}

pub(super) fn guards_with_let(source: &Source) -> Vec<String> {
    let conditions = source.code.match_indices("if let ").filter(|(at, _)| {
        let condition = source.code[*at..].split('{').next();
        condition.is_some_and(|condition| condition.contains("=>"))
    });
    conditions.map(|(at, _)| source.at(at, "a guard with `let`")).collect()
}

pub(super) fn vague_modules(source: &Source) -> Vec<String> {
    let names =
        find_words(&source.code, "mod").map(|at| (at, leading_word(&source.code[at + 3..])));
    let vague = names.filter(|(_, name)| VAGUE_MODULES.contains(name));
    vague.map(|(at, name)| source.at(at, &format!("a module named `{name}`"))).collect()
}
