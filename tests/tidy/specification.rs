//! What docs/specification.md promises: a row for every rule, and for every row a test that exists.

use std::collections::BTreeSet;

use super::documents::{code_spans, prose};
use super::source::{Source, attributes_len, branches, extent, find_words, leading_word, pieces};
use super::{read, source_of, sources, verdict};

const DOCUMENT: &str = "docs/specification.md";
const ROWS_MIN: usize = 150;

#[test]
fn the_specification_names_every_reject() {
    let found = unnamed_rejects(&source_of("src/reject.rs"), &read(DOCUMENT));
    verdict(&found, &format!("add its row to {DOCUMENT}"));
}

#[test]
fn every_row_names_tests_that_exist() {
    let tests = tests_of(&sources(&["src", "tests"]));
    let found = untested_rows(&read(DOCUMENT), &tests);
    verdict(&found, "name the test that holds it, by its whole path");
}

#[test]
fn every_conformance_test_has_a_row() {
    let tests = tests_of(&sources(&["tests"]));
    let found = unlisted_tests(&read(DOCUMENT), &tests);
    verdict(&found, &format!("add its row to {DOCUMENT}"));
}

#[test]
fn the_specification_has_its_rows() {
    let count = rows(&read(DOCUMENT)).len();
    assert!(count > ROWS_MIN, "{DOCUMENT} has {count} rows");
}

pub(super) fn unnamed_rejects(source: &Source, specification: &str) -> Vec<String> {
    let spans: Vec<_> = prose(specification).flat_map(|(_, line)| code_spans(line)).collect();
    let is_named = |name: &str| spans.iter().any(|span| find_words(span, name).next().is_some());
    let start = source.code.find("pub enum Reject ").expect("`pub enum Reject` in its file");
    let open = start + source.code[start..].find('{').expect("variants");
    let variants = branches(&source.code[open..]).into_iter().map(|(at, text)| {
        let attributes = attributes_len(text);
        (open + at + attributes, leading_word(&text[attributes..]))
    });
    variants
        .filter(|(_, name)| !is_named(name))
        .map(|(at, name)| source.at(at, &format!("undocumented `Reject::{name}`")))
        .collect()
}

pub(super) fn untested_rows(specification: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (line, row) in rows(specification) {
        let named: Vec<_> = named_tests(row).collect();
        let missing = named.iter().filter(|test| !tests.contains(**test));
        found.extend(missing.map(|test| format!("{DOCUMENT}:{line}: no test `{test}`")));
        if named.is_empty() {
            found.push(format!("{DOCUMENT}:{line}: a row without a test"));
        }
    }
    found
}

pub(super) fn unlisted_tests(specification: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(specification);
    let listed: BTreeSet<_> = rows.iter().flat_map(|(_, row)| named_tests(row)).collect();
    let held = tests.iter().filter(|test| test.starts_with("conformance::"));
    let unlisted = held.filter(|test| !listed.contains(test.as_str()));
    unlisted.map(|test| format!("{DOCUMENT}: no row for `{test}`")).collect()
}

// Reading the tables.

/// The rows of all tables with their lines, without what heads them.
fn rows(document: &str) -> Vec<(usize, &str)> {
    let lines: Vec<_> = prose(document).collect();
    let is_rule = |line: &str| line.starts_with("|-");
    let heads = lines.windows(2).filter(|pair| is_rule(pair[1].1)).map(|pair| pair[0].0);
    let heads: BTreeSet<_> = heads.collect();
    let is_row =
        |(at, line): &(usize, &str)| line.starts_with('|') && !is_rule(line) && !heads.contains(at);
    lines.into_iter().filter(is_row).collect()
}

/// What the last cell of a row names.
fn named_tests(row: &str) -> impl Iterator<Item = &str> {
    let last_cell = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
    code_spans(last_cell)
}

// Reading tests.

/// The paths of all tests, those that a macro makes of its lines among them.
pub(super) fn tests_of(sources: &[Source]) -> BTreeSet<String> {
    let makers: Vec<_> = sources.iter().flat_map(|source| test_makers(&source.code)).collect();
    let of_one = |source: &Source| {
        let made = makers.iter().flat_map(|maker| made_tests(&source.code, maker));
        let names: Vec<_> = written_tests(&source.code).chain(made).collect();
        let module = module(&source.path);
        names.into_iter().map(move |name| format!("{module}{name}")).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_one).collect()
}

/// Where the tests of a file are, as the test runner puts it.
fn module(path: &str) -> String {
    let (root, file) = path.split_once('/').unwrap_or_default();
    let names = file.trim_end_matches(".rs").split('/');
    let names = names.filter(|name| !["mod", "main", "lib"].contains(name));
    let inner = (root == "src").then_some("tests");
    names.chain(inner).flat_map(|name| [name, "::"]).collect()
}

/// The names of functions under `#[test]`, or another crate's attribute of that name.
fn written_tests(code: &str) -> impl Iterator<Item = &str> {
    let functions = code.match_indices("#[").filter_map(|(at, _)| {
        let attribute = code[at + 2..].split([']', '(']).next()?;
        let function = &code[at + attributes_len(&code[at..])..];
        let is_test = attribute.rsplit("::").next() == Some("test");
        function.trim_start_matches("async ").strip_prefix("fn ").filter(|_| is_test)
    });
    functions.map(leading_word).filter(|name| !name.is_empty())
}

/// The macros that write tests.
fn test_makers(code: &str) -> impl Iterator<Item = &str> {
    let macros = find_words(code, "macro_rules").filter_map(|at| {
        let definition = &code[at..at + extent(&code[at..], "}")];
        let name = leading_word(definition.split_once('!')?.1);
        definition.contains("#[test]").then_some(name)
    });
    macros.filter(|name| !name.is_empty())
}

/// The names before the colons of every `name: …;` given to this macro.
fn made_tests<'a>(code: &'a str, maker: &'a str) -> impl Iterator<Item = &'a str> {
    let calls = find_words(code, maker).filter_map(move |at| {
        let open = code[at + maker.len()..].strip_prefix("! ")?;
        open.starts_with('{').then_some(open)
    });
    calls.flat_map(|open| pieces(open, ';')).map(|(_, piece)| leading_word(piece))
}
