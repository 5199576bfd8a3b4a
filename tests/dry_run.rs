//! What `-t` tries of a start, and leaves as it is.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Origin, Process, temporary};

/// Whom no file belongs to.
const NOBODY: u32 = 65_534;

fn folder() -> PathBuf {
    let folder = temporary("dry-run");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn at(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// The flags of all that is written.
fn written(folder: &Path) -> Vec<String> {
    let flags = ["--pid-file", "--upgrade-sock", "--access-log", "--error-log"];
    let named = flags.iter().map(|flag| [(*flag).to_owned(), at(folder, &flag[2..])]);
    named.flatten().collect()
}

fn words(own: &[String]) -> Vec<&str> {
    own.iter().map(String::as_str).collect()
}

/// The exit code of a test with these flags, and what it prints to standard error.
fn test(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    let output = command.arg("-t").args(flags).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn nothing_is_listened_to_or_created() {
    let folder = folder();
    let socket = format!("unix:{}", at(&folder, "evener.sock"));
    let files = written(&folder);
    let flags = ["--route=/=127.0.0.1:1", "--listen", &socket, "--admin", "127.0.0.1:0"];
    let (code, said) = test(&[&flags[..], &words(&files)].concat());
    assert_eq!((code, &*said), (Some(0), ""));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn an_origin_has_nothing_to_pass_on() {
    let origin = Process::start(&["origin", "--listen", "127.0.0.1:0"]);
    let (listen, pid) = (origin.address().to_string(), origin.id());
    let (code, said) = test(&["--route=/=127.0.0.1:1", "--listen", &listen]);
    let what = "stop it or choose another address";
    let expected = format!("evener: {listen} is in use by evener (process {pid}): {what}\n");
    assert_eq!((code, said), (Some(1), expected));
}

#[test]
fn beside_a_balancer_that_runs_it_passes_and_says_who_is_there() {
    let (origin, folder) = (Origin::named("hello"), folder());
    let route = format!("/={}", origin.address);
    let (socket, files) = (format!("unix:{}", at(&folder, "evener.sock")), written(&folder));
    let own = ["--route", &route, "--listen", "127.0.0.1:0", "--listen", &socket];
    let own = [&own[..], &words(&files[..4])].concat();
    let running = Process::start(&own);
    let (listen, pid) = (running.address().to_string(), running.id());
    let beside = own.iter().map(|word| if *word == "127.0.0.1:0" { &*listen } else { *word });
    let (code, said) = test(&beside.collect::<Vec<_>>());
    let expected = format!(
        "evener: warning: {listen}, {socket}: in use by evener (process {pid}): a reload or an upgrade goes on with \
         that, a second start would be refused\n\
         evener: warning: {}: it is the pid file of process {pid}, which is running: a reload or an upgrade goes on with \
         that, a second start would be refused\n",
        files[1]
    );
    assert_eq!((code, said), (Some(0), expected));
    let mut client = running.client();
    client.get("/");
    assert_eq!(client.response().text(), "hello");
    assert!(folder.join("evener.sock").exists());
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    fs::remove_dir_all(&folder).unwrap();
}

/// What a test by a user who may nothing says, and its exit code. `None` unless this is root.
fn said_to_nobody(flags: &[&str]) -> Option<(Option<i32>, String)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // Where that user can run it, whose folder may be closed to others. Copied by another process: children that other
    // threads start meanwhile would keep the file open for writing.
    let name = temporary("nobody");
    let program = std::env::temp_dir().join(name.file_name().unwrap());
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_evener")).arg(&program).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(&program);
    command.args(["-t", "--route=/=127.0.0.1:1"]).args(flags).uid(NOBODY).gid(NOBODY);
    let output = command.current_dir("/").output().unwrap();
    fs::remove_file(&program).unwrap();
    Some((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn what_another_user_may_is_a_warning() {
    let Some((code, said)) = said_to_nobody(&[
        "--listen=127.0.0.1:0",
        "--pid-file=/root/x.pid",
        "--error-log=/root/log",
    ]) else {
        return;
    };
    assert_eq!(code, Some(0), "{said}");
    for path in ["/root/x.pid", "/root/log"] {
        let told = format!("evener: warning: {path}: this user may not write there: ");
        assert!(said.contains(&told), "{said}");
    }
}

#[test]
fn an_address_held_by_a_process_that_cannot_be_seen_is_a_warning() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let Some((code, said)) = said_to_nobody(&["--listen", &listen]) else { return };
    assert_eq!(code, Some(0), "{said}");
    let told = format!("evener: warning: {listen}: in use by a process of another user: ");
    assert!(said.starts_with(&told), "{said}");
}

#[test]
fn whom_the_process_becomes_must_be_able_to_write_its_logs() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = folder();
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let log = at(&folder, "access.log");
    let flags = ["--route=/=127.0.0.1:1", "--listen=127.0.0.1:0", "--user=nobody"];
    let (code, said) = test(&[&flags[..], &["--access-log", &log]].concat());
    let expected = format!("evener: cannot write {log}: Permission denied (os error 13)\n");
    assert_eq!((code, said), (Some(1), expected));
    fs::remove_dir(&folder).unwrap();
}
