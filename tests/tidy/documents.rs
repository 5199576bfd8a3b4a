//! What the documents say about the code: flags, metrics, examples and paths.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::source::{Source, attributes_len, extent, find_words, is_word};
use super::{entries, has_extension, read, root, source_of, verdict};
use crate::support::tls::{Authority, Identity};
use crate::support::{Admin, Origin, temporary};

const FLAGS: &str = "docs/flags.md";
const METRICS: &str = "docs/metrics.md";

/// Where documents are.
const FOLDERS: [&str; 6] = ["", ".github", "docs", "tools", "tools/deploy", "tools/examples"];

#[test]
fn every_flag_is_documented() {
    let sources = ["src/config/cli.rs", "src/config/tool_flags.rs"].map(source_of);
    let found: Vec<_> =
        sources.iter().flat_map(|source| unnamed_flags(source, &read(FLAGS))).collect();
    verdict(&found, &format!("describe it in {FLAGS}"));
}

#[test]
fn every_metric_is_documented() {
    let (origin, log) = (Origin::named("o"), temporary("log"));
    let admin = Admin::before(&[&origin], &["--access-log", log.to_str().unwrap()]);
    let found = unnamed_metrics(&admin.get("/metrics").text(), &read(METRICS));
    verdict(&found, &format!("describe it in {METRICS}"));
}

#[test]
fn the_examples_are_valid() {
    let (readme, configuration) = (read("README.md"), read("docs/configuration.md"));
    let rules = read("docs/rules.md");
    let commands = readme.lines().filter(|line| line.starts_with("evener --"));
    let written = between(&readme, "<<'END'\n", "\nEND");
    let whole = [&configuration, &rules].map(|text| between(text, "```yaml\n", "```"));
    let files: Vec<_> = written.chain(whole.into_iter().flatten()).collect();
    assert!(files.len() > 2, "{files:?}");
    write_files();
    // Elsewhere an example shows upstreams alone.
    let (balancing, resilience) = (read("docs/balancing.md"), read("docs/resilience.md"));
    let shown = [&balancing, &resilience].map(|text| between(text, "```yaml\n", "```"));
    let files = files.into_iter().map(str::to_owned).chain(shown.into_iter().flatten().map(routed));
    let found = commands.filter_map(mistake_in_command);
    let found: Vec<_> = found.chain(files.filter_map(|text| mistake_in_file(&text))).collect();
    verdict(&found, "mend the example");
}

#[test]
fn the_configurations_that_are_installed_are_valid() {
    let token = temporary("token");
    fs::write(&token, "secret").expect("a file");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("a mode");
    for of in ["debian", "container", "kubernetes/base"] {
        let path = format!("tools/deploy/{of}/conf.yaml");
        // A secret is there only where it has been mounted.
        let text = read(&path).replace("/etc/evener-token/token", &token.display().to_string());
        assert_eq!(mistake_in_file(&text), None, "{path}");
    }
}

#[test]
fn the_documents_point_at_what_exists() {
    let documents = documents();
    let found = documents.iter().flat_map(|path| dangling_paths(path, &read(path)));
    verdict(&found.collect::<Vec<_>>(), "mend it (a directory ends in `/`)");
}

pub(super) fn unnamed_flags(source: &Source, document: &str) -> Vec<String> {
    let named: BTreeSet<_> = document.split(|c| !is_word(c) && c != '-').collect();
    let flags = long_flags(source).into_iter().map(|(at, name)| (at, format!("--{name}")));
    flags
        .filter(|(_, flag)| !named.contains(flag.as_str()))
        .map(|(at, flag)| source.at(at, &format!("undocumented `{flag}`")))
        .collect()
}

/// The families of the text format of Prometheus that this document does not name.
pub(super) fn unnamed_metrics(metrics: &str, document: &str) -> Vec<String> {
    let named: BTreeSet<_> = document.split(|c| !is_word(c)).collect();
    let helps = metrics.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let families = helps.filter_map(|help| help.split(' ').next());
    let unnamed = families.filter(|family| !named.contains(family));
    unnamed.map(|family| format!("undocumented `{family}`")).collect()
}

pub(super) fn dangling_paths(document: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        let paths = code_spans(prose).flat_map(str::split_whitespace).map(String::from);
        let broken_links = links(prose).into_iter().filter(|link| is_broken(document, text, link));
        let broken = broken_links.chain(paths.filter(|path| is_dangling(path)));
        found.extend(broken.map(|path| format!("{document}:{line}: `{path}` does not exist")));
    }
    found
}

// Trying examples.

fn mistake_in_command(line: &str) -> Option<String> {
    let script = format!("evener() {{ \"$BINARY\" \"$@\" --test; }}; {line}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("BINARY", env!("CARGO_BIN_EXE_evener"));
    shell.current_dir(env!("CARGO_TARGET_TMPDIR"));
    mistake(line, &mut shell)
}

/// The files that examples name, beside them.
fn write_files() {
    for name in ["sorry.html", "busy.json", "wrong.json"] {
        fs::write(temporary("").with_file_name(name), "{status}").expect("a file");
    }
    let identity = Identity::localhost();
    let (cert, key) = (identity.chain_pem(), identity.key_pem());
    let bundle = [cert, key].concat();
    for (name, text) in
        [("example.com.pem", cert), ("example.com.key", key), ("internal.pem", &bundle)]
    {
        fs::write(temporary("").with_file_name(name), text).expect("a file");
    }
}

/// With a route to its upstream, if it has none.
fn routed(example: &str) -> String {
    let name = between(example, "- name: ", "\n").next().unwrap_or_default();
    if example.contains("routes:") {
        example.to_owned()
    } else {
        format!("{example}routes: [{{prefix: /, upstream: {name}}}]\n")
    }
}

fn mistake_in_file(text: &str) -> Option<String> {
    let path = temporary("example.yaml");
    fs::write(&path, text).expect("a file");
    let mut evener = Command::new(env!("CARGO_BIN_EXE_evener"));
    mistake(text, evener.args(["--test", "--config"]).arg(&path))
}

fn mistake(example: &str, command: &mut Command) -> Option<String> {
    // Not every machine has root certificates.
    let roots = Authority::shared().file();
    let output = command.env("SSL_CERT_FILE", roots).output().expect("a command that can be run");
    let why = String::from_utf8_lossy(&output.stderr);
    // 1 is about this machine, whose ports may be in use.
    (!matches!(output.status.code(), Some(0 | 1))).then(|| format!("{example}: {why}"))
}

fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

// Reading flags.

/// The long flags of clap's derive: named in the attribute, or like the field below it.
fn long_flags(source: &Source) -> Vec<(usize, String)> {
    let mut flags = Vec::new();
    for (start, _) in source.code.match_indices("#[arg(") {
        let end = start + extent(&source.code[start..], "]");
        let attribute = &source.code[start..end];
        let Some(long) = find_words(attribute, "long").next() else { continue };
        let explicit = attribute[long + "long".len()..].trim_start().starts_with('=');
        let name = if explicit {
            source.text[start + long..end].split('"').nth(1).unwrap_or_default().into()
        } else {
            field_name(&source.code[end..]).replace('_', "-")
        };
        flags.push((start, name));
    }
    flags
}

fn field_name(code: &str) -> &str {
    let field = &code[attributes_len(code)..];
    let declared = field.split(':').next().unwrap_or_default();
    declared.rsplit(|c| !is_word(c)).next().unwrap_or_default()
}

// Reading documents.

fn documents() -> Vec<String> {
    let all = FOLDERS.iter().flat_map(|folder| entries(folder));
    all.filter(|path| has_extension(path, "md")).collect()
}

/// Whether a link in this document leads to a missing file or heading.
fn is_broken(document: &str, text: &str, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = Path::new(document).parent().unwrap_or(Path::new("")).join(file);
    if !file.is_empty() && !root().join(&target).exists() {
        return true;
    }
    let text = if file.is_empty() { text.into() } else { read_if_document(&target) };
    !anchor.is_empty() && !prose(&text).any(|(_, line)| anchor_of(line).as_deref() == Some(anchor))
}

fn read_if_document(path: &Path) -> String {
    let path = path.display().to_string();
    if has_extension(&path, "md") { read(&path) } else { String::new() }
}

/// GitHub's anchor for a heading.
pub(super) fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| is_word(*c) || matches!(c, '-' | ' '));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

/// The lines of a document with their numbers, without fenced blocks.
pub(super) fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(document.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

pub(super) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of a line's links within the project: `[text](target)` and `[label]: target`.
fn links(line: &str) -> Vec<String> {
    let line: String = line.split('`').step_by(2).collect();
    let definition = line.split_once("]: ").filter(|_| line.starts_with('['));
    let targets = line.split("](").skip(1).chain(definition.map(|(_, target)| target));
    targets
        .filter_map(|target| target.split([')', ' ']).next())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
        .map(String::from)
        .collect()
}

fn is_dangling(word: &str) -> bool {
    let path = word.split(':').next().unwrap_or_default().trim_matches(['(', ')', ',', ';']);
    let placeholder = path.contains(['*', '<', '{', '…']);
    if placeholder || !(path.starts_with("src/") || path.starts_with("tests/")) {
        return false;
    }
    let found = root().join(path);
    if path.ends_with('/') { !found.is_dir() } else { !found.is_file() }
}
