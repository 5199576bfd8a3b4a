//! Signals during the start of a process, and to the first process of a container.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Origin, Process, eventually, temporary};

const EVENER: &str = env!("CARGO_BIN_EXE_evener");

/// A FIFO: opening it for reading blocks until it is opened for writing, and vice versa.
fn fifo(name: &str) -> PathBuf {
    let path = temporary(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn kill(id: u32, name: &str) {
    let killed = Command::new("kill").args(["-s", name, &id.to_string()]).status().unwrap();
    assert!(killed.success());
}

fn configuration(origin: &Origin) -> String {
    format!(
        "listen: 127.0.0.1:0\nthreads: 1\nroutes: [{{prefix: /, endpoints: [\"{}\"]}}]\n",
        origin.address
    )
}

/// A process that waits for its configuration, which is written after `between` has run.
fn start(origin: &Origin, between: impl FnOnce(u32)) -> (Process, PathBuf) {
    let path = fifo("conf");
    let process = Process::start(&["-c", path.to_str().unwrap()]);
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    between(process.id());
    file.write_all(configuration(origin).as_bytes()).unwrap();
    (process, path)
}

#[test]
fn what_comes_while_a_process_starts_is_done_when_it_runs() {
    let origin = Origin::named("o");
    let (process, path) = start(&origin, |id| {
        for name in ["USR2", "USR1", "HUP"] {
            kill(id, name);
        }
    });
    process.address();
    // The reload reads it again.
    fs::write(&path, configuration(&origin)).unwrap();
    eventually("it has reloaded", || process.says("reloaded: nothing is different"));
    assert!(process.says("SIGUSR2 has no meaning here"));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_hand_over_that_is_asked_for_while_a_process_starts_drains_it_when_it_runs() {
    let (process, _path) = start(&Origin::named("o"), |id| kill(id, "QUIT"));
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said:?}");
    assert!(said.iter().any(|line| line.contains("listening on ")), "{said:?}");
}

#[test]
fn sigterm_ends_a_process_that_starts() {
    let path = fifo("conf");
    let mut child = Command::new(EVENER).arg("-c").arg(&path).spawn().unwrap();
    let _writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    kill(child.id(), "TERM");
    let mut status = None;
    eventually("it has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), Some(15));
}

/// Whether a process can be the first of its own namespace here.
fn can_unshare() -> bool {
    let mut trial = Command::new("unshare");
    trial.args(["--pid", "--fork", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let can = trial.status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: unshare is missing, or not allowed to make a namespace of processes");
    }
    can
}

/// What runs as the first process of a namespace.
fn as_init(words: &[&str]) -> Process {
    Process::command("unshare", &[&["--pid", "--fork", "--kill-child"], words].concat())
}

/// The children of a process.
fn children(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let text = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    text.flatten()
        .flat_map(|text| text.split(' ').flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

fn only_child(id: u32) -> u32 {
    let mut found = Vec::new();
    eventually("it has a child", || {
        found = children(id);
        found.len() == 1
    });
    found[0]
}

#[test]
fn as_the_first_process_it_ends_by_sigterm_even_while_it_starts() {
    if !can_unshare() {
        return;
    }
    let path = fifo("conf");
    let process = as_init(&[EVENER, "-c", path.to_str().unwrap()]);
    let _writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    kill(only_child(process.id()), "TERM");
    assert_eq!(process.end().0, Some(128 + 15));
}

#[test]
fn as_the_first_process_it_takes_note_of_orphans_that_end() {
    if !can_unshare() {
        return;
    }
    let (origin, gate) = (Origin::named("o"), fifo("gate"));
    let script = format!(
        "cat {} & exec {EVENER} --listen 127.0.0.1:0 --route /={}",
        Path::new(&gate).display(),
        origin.address
    );
    let process = as_init(&["sh", "-c", &script]);
    process.address();
    let init = only_child(process.id());
    assert_eq!(children(init).len(), 1);
    fs::write(&gate, "").unwrap();
    eventually("nothing is left of it", || children(init).is_empty());
    kill(init, "TERM");
    assert_eq!(process.end().0, Some(0));
}
