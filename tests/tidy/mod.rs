//! Checks the project's layout: rules that no compiler or linter knows.
//!
//! Each rule is one test that reports every violation as `file:line: what is wrong: what to do`. The
//! rules read text, not a syntax tree: a [`Source`] has everything but code blanked out, and the rest
//! is treated as words and brackets.

mod documents;
mod house;
mod imports;
mod monitoring;
mod names;
mod samples;
mod shape;
mod source;
mod specification;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

type Rule = fn(&Source) -> Vec<String>;

fn hold(folders: &[&str], rule: Rule, remedy: &str) {
    verdict(&sources(folders).iter().flat_map(rule).collect::<Vec<_>>(), remedy);
}

fn verdict(found: &[String], remedy: &str) {
    let lines: Vec<_> = found.iter().map(|breach| format!("{breach}: {remedy}")).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

// Reading the project.

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn source_of(path: &str) -> Source {
    Source::new(path, &read(path))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    folders.iter().flat_map(|folder| files_below(folder)).map(|path| source_of(&path)).collect()
}

fn files_below(folder: &str) -> Vec<String> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|path| root().join(path).is_dir());
    let rust = files.into_iter().filter(|path| has_extension(path, "rs"));
    rust.chain(folders.iter().flat_map(|path| files_below(path))).collect()
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == wanted)
}

fn entries(folder: &str) -> Vec<String> {
    let listing = fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let names = listing.map(|entry| entry.expect("a readable entry").file_name());
    names.map(|name| Path::new(folder).join(name).display().to_string()).collect()
}
