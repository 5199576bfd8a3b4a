//! Checks docs/specification.md, where every rule has a row, and every row an existing test; so has every fault in
//! docs/resilience.md, every job in docs/jobs.md, and every vulnerability in docs/would-we-have-fallen.md.

use std::collections::BTreeSet;

use super::documents::{anchor_of, code_spans, prose};
use super::source::{Source, attributes_len, branches, extent, find_words, leading_word, pieces};
use super::{read, source_of, sources, verdict};

const DOCUMENT: &str = "docs/specification.md";
const ROWS_MIN: usize = 150;
const RESILIENCE: &str = "docs/resilience.md";
const JOBS: &str = "docs/jobs.md";
const LESSONS: &str = "docs/would-we-have-fallen.md";
/// The verdict of rows that need no test.
const MISSING: &str = "no such feature";
const FAULTS_HEADING: &str = "## What breaks";

#[test]
fn the_specification_names_every_reject() {
    let found = unnamed_rejects(&source_of("src/reject.rs"), &read(DOCUMENT));
    verdict(&found, &format!("add its row to {DOCUMENT}"));
}

#[test]
fn every_row_names_tests_that_exist() {
    let tests = tests_of(&sources(&["src", "tests"]));
    let found = untested_rows(DOCUMENT, &read(DOCUMENT), &tests);
    verdict(&found, "name the test that holds it, by its whole path");
}

#[test]
fn every_fault_that_is_measured_names_tests_that_exist() {
    let (text, tests) = (read(RESILIENCE), tests_of(&sources(&["tests"])));
    let (before, faults) = text.split_once(FAULTS_HEADING).expect("the section with the table");
    let place = before.matches('\n').count();
    assert!(!rows(faults).is_empty(), "{RESILIENCE} has no table of faults");
    let found = untested_rows(RESILIENCE, &("\n".repeat(place) + faults), &tests);
    verdict(&found, "name the test that holds it, by its whole path");
}

#[test]
fn every_conformance_test_has_a_row() {
    let tests = tests_of(&sources(&["tests"]));
    let found = unlisted_tests(&read(DOCUMENT), &tests);
    verdict(&found, &format!("add its row to {DOCUMENT}"));
}

#[test]
fn every_job_has_a_test_and_every_test_of_a_job_is_about_one() {
    let text = read(JOBS);
    let headings = prose(&text).filter(|(_, line)| line.starts_with("## "));
    let jobs: BTreeSet<_> = headings.filter_map(|(_, line)| anchor_of(line)).collect();
    let listed: BTreeSet<_> = rows(&text).iter().filter_map(|(_, row)| linked(row)).collect();
    assert_eq!(listed, jobs, "the table of {JOBS}");
    let tests = tests_of(&sources(&["tests"]));
    let tests = tests.iter().filter_map(|test| test.strip_prefix("jobs_")?.split_once("::"));
    let tested: BTreeSet<_> = tests.map(|(_, name)| name.replace('_', "-")).collect();
    assert_eq!(tested, jobs, "tests in tests/jobs_*.rs, by the anchors of {JOBS}");
}

#[test]
fn every_vulnerability_of_others_names_tests_that_exist() {
    let (text, tests) = (read(LESSONS), tests_of(&sources(&["src", "tests"])));
    let all = rows(&text).into_iter().map(|(_, row)| row).filter(|row| cells(row).len() == 6);
    let (missing, ours): (Vec<_>, Vec<_>) = all.partition(|row| cells(row)[4] == MISSING);
    let named: Vec<_> = missing.iter().flat_map(|row| named_tests(row)).collect();
    let dangling = named.iter().filter(|test| !tests.contains(**test));
    let mut found: Vec<_> = dangling.map(|test| format!("{LESSONS}: no test `{test}`")).collect();
    let table = format!("|\n|-|\n{}", ours.join("\n"));
    found.extend(untested_rows(LESSONS, &table, &tests));
    verdict(&found, "name the test that shows it, by its whole path");
}

#[test]
fn the_verdicts_on_vulnerabilities_of_others_are_counted() {
    let text = read(LESSONS);
    let rows: Vec<_> = rows(&text).into_iter().map(|(_, row)| cells(row)).collect();
    let (judged, counts): (Vec<_>, Vec<_>) = rows.into_iter().partition(|cells| cells.len() == 6);
    let count = |name: &str| judged.iter().filter(|cells| cells[4] == name).count();
    let mut sum = 0;
    for row in &counts {
        assert_eq!(row[1], count(row[0]).to_string(), "{}", row[0]);
        sum += count(row[0]);
    }
    assert_eq!(sum, judged.len(), "a verdict that is not counted");
    assert!(text.contains(&format!("These are {sum} rows.")), "{sum} rows");
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

pub(super) fn untested_rows(document: &str, text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (line, row) in rows(text) {
        let named: Vec<_> = named_tests(row).collect();
        let missing = named.iter().filter(|test| !tests.contains(**test));
        found.extend(missing.map(|test| format!("{document}:{line}: no test `{test}`")));
        if named.is_empty() {
            found.push(format!("{document}:{line}: a row without a test"));
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

/// The rows of all tables with their line numbers, without the header rows.
fn rows(document: &str) -> Vec<(usize, &str)> {
    let lines: Vec<_> = prose(document).collect();
    let is_rule = |line: &str| line.starts_with("|-");
    let heads = lines.windows(2).filter(|pair| is_rule(pair[1].1)).map(|pair| pair[0].0);
    let heads: BTreeSet<_> = heads.collect();
    let is_row =
        |(at, line): &(usize, &str)| line.starts_with('|') && !is_rule(line) && !heads.contains(at);
    lines.into_iter().filter(is_row).collect()
}

/// The cells of a row; an escaped bar ends none.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect()
}

/// The tests named in the last cell of a row.
fn named_tests(row: &str) -> impl Iterator<Item = &str> {
    let last_cell = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
    code_spans(last_cell)
}

/// The anchor that a row links to.
fn linked(row: &str) -> Option<String> {
    let (_, link) = row.split_once("](#")?;
    link.split(')').next().map(str::to_owned)
}

// Reading tests.

/// The paths of all tests, including those generated by macros.
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

/// The module path of a file's tests, as in the test runner's output.
fn module(path: &str) -> String {
    let (root, file) = path.split_once('/').unwrap_or_default();
    let names = file.trim_end_matches(".rs").split('/');
    let names = names.filter(|name| !["mod", "main", "lib"].contains(name));
    let inner = (root == "src").then_some("tests");
    names.chain(inner).flat_map(|name| [name, "::"]).collect()
}

/// The names of functions with `#[test]` or another crate's attribute of that name.
fn written_tests(code: &str) -> impl Iterator<Item = &str> {
    let functions = code.match_indices("#[").filter_map(|(at, _)| {
        let attribute = code[at + 2..].split([']', '(']).next()?;
        let function = &code[at + attributes_len(&code[at..])..];
        let is_test = attribute.rsplit("::").next() == Some("test");
        function.trim_start_matches("async ").strip_prefix("fn ").filter(|_| is_test)
    });
    functions.map(leading_word).filter(|name| !name.is_empty())
}

/// The names of macros that generate tests.
fn test_makers(code: &str) -> impl Iterator<Item = &str> {
    let macros = find_words(code, "macro_rules").filter_map(|at| {
        let definition = &code[at..at + extent(&code[at..], "}")];
        let name = leading_word(definition.split_once('!')?.1);
        definition.contains("#[test]").then_some(name)
    });
    macros.filter(|name| !name.is_empty())
}

/// The names before the colons in every `name: …;` passed to this macro.
fn made_tests<'a>(code: &'a str, maker: &'a str) -> impl Iterator<Item = &'a str> {
    let calls = find_words(code, maker).filter_map(move |at| {
        let open = code[at + maker.len()..].strip_prefix("! ")?;
        open.starts_with('{').then_some(open)
    });
    calls.flat_map(|open| pieces(open, ';')).map(|(_, piece)| leading_word(piece))
}
