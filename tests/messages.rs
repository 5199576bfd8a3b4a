//! What people are told who mistype a command or a file: the cases in `tests/messages/`, which read as a list of
//! mistakes with the whole message that each gets. A case is a sentence, the lines of `conf.yaml` after `|` (or those
//! of another file after its name and a colon), the command after `$`, and what it prints to standard error. It
//! exits with 2 unless `exit` says otherwise. `TAKEN` is an address that `HOLDER` listens at, `DIR` the directory of the files.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{eventually, temporary};

/// A case as it is written.
struct Case<'a> {
    sentence: &'a str,
    files: Vec<(&'a str, String)>,
    command: &'a str,
    told: String,
}

impl<'a> Case<'a> {
    fn read(block: &'a str) -> Self {
        let mut lines = block.lines();
        let mut case = Self {
            sentence: lines.next().expect("a sentence"),
            files: Vec::new(),
            command: "",
            told: String::new(),
        };
        let mut name = "conf.yaml";
        for line in lines.by_ref() {
            if let Some(command) = line.strip_prefix("$ ") {
                case.command = command;
                break;
            }
            let Some(line) = line.strip_prefix('|') else {
                name = line.strip_suffix(':').unwrap_or_else(|| panic!("a file in {block}"));
                continue;
            };
            if case.files.last().is_none_or(|(last, _)| *last != name) {
                case.files.push((name, String::new()));
            }
            let (_, text) = case.files.last_mut().expect("pushed above");
            writeln!(text, "{}", line.strip_prefix(' ').unwrap_or(line)).expect("a line");
        }
        assert!(!case.command.is_empty(), "no command in {block}");
        case.told = lines.flat_map(|line| [line, "\n"]).collect();
        case
    }

    /// What it is told, and its exit code if that is not 2.
    fn run(&self, taken: &str) -> String {
        let folder = temporary("messages");
        fs::create_dir_all(&folder).expect("a directory");
        for (name, text) in &self.files {
            fs::write(folder.join(name), text).expect("a file");
        }
        let shown = folder.to_str().expect("a path");
        let words = words(&self.command.replace("TAKEN", taken).replace("DIR", shown));
        let told = told(&words, &folder).replace(taken, "TAKEN").replace(shown, "DIR");
        let told = told.replace(&holder(), "HOLDER");
        fs::remove_dir_all(&folder).expect("removed");
        told
    }
}

/// Who has taken what is: this process.
fn holder() -> String {
    let program = std::env::current_exe().expect("a program");
    let name = program.file_name().and_then(|name| name.to_str()).expect("a name");
    format!("{name} (process {})", std::process::id())
}

/// The words of a command, some in double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (nth, part) in command.split('"').enumerate() {
        for (gap, piece) in part.split(' ').enumerate() {
            if nth % 2 == 1 && gap > 0 {
                words.last_mut().expect("one").push(' ');
            } else if gap > 0 {
                words.push(String::new());
            }
            words.last_mut().expect("one").push_str(piece);
        }
    }
    words
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn told(words: &[String], folder: &Path) -> String {
    let at = words.iter().position(|word| word == "evener").expect("evener");
    let variables = words[..at].iter().map(|word| word.split_once('=').expect("NAME=value"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    command.args(&words[at + 1..]).envs(variables).env_remove("RUST_LOG").current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().expect("spawn"));
    let mut status = None;
    eventually(&format!("{words:?} ends"), || {
        status = running.0.try_wait().expect("wait");
        status.is_some()
    });
    let mut told = String::new();
    running.0.stderr.take().expect("piped").read_to_string(&mut told).expect("text");
    match status.and_then(|status| status.code()) {
        Some(2) => told,
        code => format!("{told}exit {}\n", code.expect("a code")),
    }
}

/// Runs all cases of a file, and says of which ones the message differs.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages").join(name);
    let cases = fs::read_to_string(path).expect("cases");
    let held = TcpListener::bind("127.0.0.1:0").expect("bind");
    let taken = held.local_addr().expect("an address").to_string();
    let blocks: Vec<&str> = cases.split("\n\n").filter(|block| !block.trim().is_empty()).collect();
    assert!(blocks.len() > 5, "{} cases", blocks.len());
    let mut differ = String::new();
    for case in blocks.into_iter().map(Case::read) {
        let told = case.run(&taken);
        if told != case.told {
            let Case { sentence, command, told: expected, .. } = &case;
            writeln!(differ, "{sentence}\n$ {command}\n{expected}--- but it is told:\n{told}")
                .expect("text");
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn a_mistyped_command_line_is_told_what_to_type() {
    check("command_line.txt");
}

#[test]
fn a_mistaken_file_is_told_where_and_what_to_write() {
    check("file.txt");
}

#[test]
fn a_mistaken_route_is_told_what_to_write() {
    check("routes.txt");
}

#[test]
fn a_mistaken_endpoint_is_told_what_to_write() {
    check("endpoints.txt");
}

#[test]
fn a_start_that_would_fail_is_told_why() {
    check("start.txt");
}
