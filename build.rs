//! Records in the binary what `evener --version` says about its build.
//!
//! The same source gives the same words: the date is that of the source, never that of the build. Builds for
//! development say nothing of commits, so that a commit does not have everything compiled again.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use calendar::Day;

#[allow(dead_code, unreachable_pub, reason = "the balancer uses the rest of it")]
#[path = "src/calendar.rs"]
mod calendar;

/// The commit of an archive that `git archive` has made, which fills it in.
const ARCHIVED_COMMIT: &str = "$Format:%H$";
/// Its date, in seconds since 1970.
const ARCHIVED_SECONDS: &str = "$Format:%ct$";

/// What the binary is made of, below the root of the crate.
const INPUTS: [&str; 4] = ["src", "Cargo.toml", "Cargo.lock", "build.rs"];

/// Where a source comes from.
struct Origin {
    commit: String,
    /// Of the commit, in seconds since 1970.
    seconds: Option<u64>,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["EVENER_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let profile = variable("PROFILE").unwrap_or_default();
    let origin = if profile == "debug" { None } else { origin() };
    let told = variable("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    let seconds = told.or(origin.as_ref().and_then(|origin| origin.seconds));
    let compiler = variable("RUSTC").and_then(|rustc| output(&rustc, &["--version"]));
    let facts = [
        ("commit", origin.map(|origin| origin.commit)),
        ("date", seconds.map(date)),
        ("profile", Some(profile)),
        ("target", variable("TARGET")),
        ("compiler", compiler),
    ];
    let lines =
        facts.map(|(name, fact)| format!("{name}: {}", fact.as_deref().unwrap_or("unknown")));
    for (line, name) in lines.iter().zip(["COMMIT", "DATE", "PROFILE", "TARGET", "COMPILER"]) {
        println!("cargo::rustc-env=EVENER_BUILD_{name}={line}");
    }
}

/// Who packages a source that names no commit says which it is; otherwise it is in the source.
fn origin() -> Option<Origin> {
    let told = variable("EVENER_COMMIT").map(|commit| Origin { commit, seconds: None });
    told.or_else(of_clone).or_else(of_package).or_else(of_archive)
}

/// A clone of the repository. One around the crate is somebody else's.
fn of_clone() -> Option<Origin> {
    if !Path::new(".git").exists() {
        return None;
    }
    let directory = output("git", &["rev-parse", "--absolute-git-dir"])?;
    // The second one notes each commit, but not every clone keeps it.
    let notes = ["HEAD", "logs/HEAD"].map(|name| format!("{directory}/{name}"));
    let notes = notes.iter().filter(|note| Path::new(note).exists());
    for input in notes.map(String::as_str).chain(INPUTS) {
        println!("cargo::rerun-if-changed={input}");
    }
    let mut commit = output("git", &["rev-parse", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(INPUTS);
    if output("git", &status).is_none_or(|changes| !changes.is_empty()) {
        commit.push_str(", with changes");
    }
    let seconds = output("git", &["show", "--no-patch", "--format=%ct", "HEAD"])?.parse().ok();
    Some(Origin { commit, seconds })
}

/// A crate from a registry, in which `cargo package` has noted the commit.
fn of_package() -> Option<Origin> {
    let note = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let hash = note.split_once("\"sha1\"")?.1.split('"').nth(1)?;
    is_hash(hash).then(|| Origin { commit: hash.to_owned(), seconds: None })
}

fn of_archive() -> Option<Origin> {
    let seconds = ARCHIVED_SECONDS.parse().ok();
    is_hash(ARCHIVED_COMMIT).then(|| Origin { commit: ARCHIVED_COMMIT.to_owned(), seconds })
}

fn is_hash(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a command prints, if it succeeds.
fn output(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The day of a second since 1970.
fn date(seconds: u64) -> String {
    let Day { year, month, of_month, .. } = Day::after_epoch(seconds / 86_400);
    format!("{year:04}-{month:02}-{of_month:02}")
}
