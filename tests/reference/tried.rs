//! Tries on the program what the reference says of bounds and defaults.

use std::fs;
use std::process::{Command, Output};

use super::rows::{KEYS, RATE, RESPOND, TOP};
use super::{SECTIONS, bounds_of, rows_of, setting_flag, verdict};
use crate::support::temporary;

#[test]
fn the_bounds_in_the_reference_are_those_of_the_program() {
    let mut found = Vec::new();
    for (section, keys, file) in SECTIONS {
        for key in keys() {
            let Some(bounds) = bounds_of(section, &key) else { continue };
            let off = Some(bounds.or).filter(|or| !or.is_empty());
            for value in [bounds.least, bounds.most].into_iter().chain(off) {
                found.extend(
                    refusal(section, &key, value, file)
                        .map(|why| format!("{section}: {key}: {value}: {why}")),
                );
            }
            let taken =
                bounds.beyond.iter().filter(|value| refusal(section, &key, value, file).is_none());
            found.extend(taken.map(|value| format!("{section}: {key}: {value} is taken")));
        }
    }
    verdict(&found, "mend its bounds in tests/reference/rows.rs");
}

#[test]
fn a_key_with_its_default_changes_nothing() {
    let mut found = Vec::new();
    for (section, _, file) in SECTIONS.iter().filter(|(.., file)| !file.is_empty()) {
        for (key, _, default, _) in rows_of(section) {
            // Others are the value of another key, or depend on more.
            let literal = default.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
            let is_no_key =
                |text: &&str| !KEYS.iter().any(|(_, rows)| rows.iter().any(|row| row.0 == *text));
            let Some(value) = literal
                .filter(|text| !text.contains('`'))
                .filter(is_no_key)
                .filter(|text| setting_flag(text).is_none())
            else {
                continue;
            };
            let [with, without] =
                [asked(section, key, Some(value), file), asked(section, key, None, file)];
            let [with, without] =
                [with, without].map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
            if with != without || with.is_empty() {
                found.push(format!(
                    "{section}: {key}: {value} is not the default: {with} {without}"
                ));
            }
        }
    }
    verdict(&found, "mend its default in tests/reference/rows.rs");
}

/// Why the program refuses a file with this key, if it does.
fn refusal(section: &str, key: &str, value: &str, file: &str) -> Option<String> {
    let said = asked(section, key, Some(value), file);
    let said_so = String::from_utf8_lossy(&said.stderr).into_owned();
    // That is about the machine, which may allow fewer than the program does, and so is an exit with 1.
    let is_refused = said.status.code() != Some(0) && said.status.code() != Some(1);
    let is_refused = is_refused && !said_so.contains("file descriptors");
    is_refused.then_some(said_so)
}

/// What the program says of a file with this key, or without it.
fn asked(section: &str, key: &str, value: Option<&str>, file: &str) -> Output {
    let beside = match (section, key) {
        (TOP, "queue" | "queue_timeout") => "max_requests: 1\n",
        (RESPOND, "content_type") => "status: 200, body: a, ",
        (RATE, "burst" | "by") => "rate: 1000000/s, ",
        _ => "",
    };
    let pair = value.map_or(String::new(), |value| format!("{key}: {value}"));
    let path = temporary("reference.yaml");
    fs::write(&path, file.replace('@', &format!("{beside}{pair}"))).expect("write");
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    let said = command.arg("-t").arg("-c").arg(&path).output().expect("evener -t");
    fs::remove_file(&path).expect("remove");
    said
}
