//! What a file imports from its own crate, read from its text.

use super::house::HOUSE;
use super::source::{Source, branches, find_words, is_word};

/// Every path a source takes from its own crate, spelled from the crate's root.
pub(super) fn imports(source: &Source) -> Vec<(usize, Vec<String>)> {
    let mut paths = Vec::new();
    for at in path_heads(source) {
        expand("", &source.shipped[at..], at, &mut paths);
    }
    paths.iter().map(|(at, path)| (*at, from_root(path, &source.path))).collect()
}

/// Where a path begins that leads into this crate. A `mod.rs` also reaches its children by name.
fn path_heads(source: &Source) -> Vec<usize> {
    let code = &source.shipped;
    let folder = source.path.strip_prefix("src/").and_then(|path| path.strip_suffix("mod.rs"));
    let children = HOUSE.iter().filter(|(_, name, _)| Some(*name) == folder).flat_map(|row| row.2);
    let is_head = |at: usize, word: &str| {
        code[at + word.len()..].starts_with("::")
            && !code[..at].ends_with("::")
            && !code[..at].ends_with("(in ")
    };
    let words = ["crate", "self", "super"].iter().chain(children);
    words.flat_map(|word| find_words(code, word).filter(move |&at| is_head(at, word))).collect()
}

/// Multiplies out the path or `use` tree that `code` starts with, `at` an offset of its file.
fn expand(prefix: &str, code: &str, at: usize, paths: &mut Vec<(usize, String)>) {
    let end = code.find(|c| !is_word(c) && c != ':').unwrap_or(code.len());
    let path = format!("{prefix}{}", &code[..end]);
    if path.ends_with("::") && code[end..].starts_with('{') {
        for (inner, branch) in branches(&code[end..]) {
            expand(&path, branch, at + end + inner, paths);
        }
    } else {
        paths.push((at, path));
    }
}

fn from_root(path: &str, file: &str) -> Vec<String> {
    let segments: Vec<_> = path.split("::").filter(|segment| !segment.is_empty()).collect();
    let file = file.trim_start_matches("src/").trim_end_matches(".rs");
    let module: Vec<_> =
        file.split('/').filter(|name| !["mod", "lib", "main"].contains(name)).collect();
    let ups = segments.iter().filter(|segment| **segment == "super").count();
    let kept = if segments[0] == "crate" { 0 } else { module.len().saturating_sub(ups) };
    let named = segments.into_iter().filter(|name| !["crate", "self", "super"].contains(name));
    module[..kept].iter().copied().chain(named).map(String::from).collect()
}

/// The files that may hold what an import names, likeliest first.
pub(super) fn files_of(import: &[String]) -> Vec<String> {
    let mut files = vec!["src/lib.rs".into()];
    for depth in 1..=import.len() {
        let path = import[..depth].join("/");
        files.extend([format!("src/{path}.rs"), format!("src/{path}/mod.rs")]);
    }
    files.reverse();
    files
}
