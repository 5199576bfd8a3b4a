//! The tools in tools/: `--help` explains, and neither it nor a mistake installs, builds, starts or leaves anything.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::temporary;

/// What a tool may not call before it is asked to do something.
const BUSY: [&str; 11] = [
    "cargo", "rustup", "apt-get", "pip", "npm", "go", "curl", "wrk", "nginx", "promtool", "openssl",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The paths of the tools: what can be executed there.
fn tools() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["tools", "tools/deploy"] {
        for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
            let of = entry.metadata().unwrap();
            if of.is_file() && of.permissions().mode() & 0o111 != 0 {
                found.push(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The files in tools/, where compiled modules would be left.
fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        }
        found.insert(entry.path());
    }
}

/// A folder with programs that only take note of having been called, and the file where they do.
fn watched() -> (PathBuf, PathBuf) {
    let (folder, called) = (temporary("programs"), temporary("called"));
    fs::create_dir_all(&folder).unwrap();
    for name in BUSY {
        let program = folder.join(name);
        fs::write(&program, format!("#!/bin/sh\necho {name} >> '{}'\nexit 1\n", called.display()))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    (folder, called)
}

/// Runs a tool with one argument; `None` if this machine has nothing that can run it.
fn run(tool: &str, word: &str, programs: &Path) -> Option<Output> {
    let text = fs::read_to_string(root().join(tool)).unwrap();
    let interpreter = text.lines().next().unwrap().rsplit(['/', ' ']).next().unwrap();
    let there = Command::new(interpreter).arg("--version").output();
    if !interpreter.ends_with("sh") && !there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {tool}: no {interpreter}");
        return None;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(root().join(tool));
    command.arg(word).env("PATH", format!("{}:{path}", programs.display()));
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    match command.output() {
        Ok(output) if output.status.code() != Some(127) => Some(output),
        _ => {
            eprintln!("skipped: {tool}: no {interpreter}");
            None
        }
    }
}

#[test]
fn help_explains_each_tool_and_does_nothing() {
    let (programs, called) = watched();
    let mut before = BTreeSet::new();
    files(&root().join("tools"), &mut before);
    for tool in tools() {
        let Some(output) = run(&tool, "--help", &programs) else { continue };
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{tool} --help");
        assert!(text.contains(&format!("{tool} ")), "{tool} --help shows no usage:\n{text}");
        assert!(text.to_lowercase().contains("need"), "{tool} --help: what does it need?\n{text}");
    }
    assert_eq!(fs::read_to_string(&called).unwrap_or_default(), "", "--help has called these");
    let mut after = BTreeSet::new();
    files(&root().join("tools"), &mut after);
    assert_eq!(after, before);
}

#[test]
fn an_unknown_flag_is_refused_in_a_line_before_anything_is_done() {
    let (programs, called) = watched();
    for tool in tools() {
        let Some(output) = run(&tool, "--no-such-flag", &programs) else { continue };
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{tool}: {errors}");
        let line = errors.trim_end();
        assert!(line.starts_with(&format!("{tool}: ")) && !line.contains('\n'), "{tool}: {errors}");
    }
    assert_eq!(fs::read_to_string(&called).unwrap_or_default(), "", "these were called");
}

#[test]
fn every_tool_is_in_the_index_and_honours_the_target_directory() {
    let index = fs::read_to_string(root().join("tools/README.md")).unwrap();
    for tool in tools() {
        assert!(index.contains(&format!("| `{tool}` |")), "tools/README.md has no row of {tool}");
        let text = fs::read_to_string(root().join(&tool)).unwrap();
        let builds = text.contains("\"cargo\", \"build\"") || text.contains("cargo build");
        let shared = ["tool.evener", "CARGO_TARGET_DIR", "tool.sh"];
        assert!(
            !builds || shared.iter().any(|name| text.contains(name)),
            "{tool}: CARGO_TARGET_DIR"
        );
        assert!(
            !text.contains("\"target/") && !text.contains(" target/release/"),
            "{tool}: a fixed target/"
        );
    }
}
