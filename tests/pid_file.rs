//! The pid file: whose it is, and that it is right whatever processes come and go.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::support::chain::{Chain, launch, text};
use crate::support::{Client, Origin, Process, eventually, own_address, socket_path, temporary};

const EVENER: &str = env!("CARGO_BIN_EXE_evener");

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn start(path: &Path) -> Process {
    let words = ["--listen", "127.0.0.1:0", "--threads", "1", "--route", "/=127.0.0.1:1"];
    Process::start(
        &[&words[..], &["--check", "off", "--pid-file", path.to_str().unwrap()]].concat(),
    )
}

fn is_refused(process: Process, why: &str) {
    let (code, said) = process.end();
    assert_eq!(code, Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains(why)), "{said:?}");
}

/// A folder of its own.
fn folder(name: &str) -> PathBuf {
    let path = temporary(name);
    fs::create_dir(&path).unwrap();
    path
}

#[test]
fn it_is_not_taken_from_a_process_that_runs() {
    let path = temporary("pid");
    let first = start(&path);
    first.address();
    let own = format!("{}\n", first.id());
    is_refused(start(&path), &format!("it is the pid file of process {}", first.id()));
    assert_eq!(read(&path), own);
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn nor_from_one_that_does_not_lock_it() {
    let path = temporary("pid");
    let own = format!("{}\n", std::process::id());
    fs::write(&path, &own).unwrap();
    is_refused(start(&path), "which is running");
    assert_eq!(read(&path), own);
}

#[test]
fn one_that_is_stale_is_replaced() {
    let path = temporary("pid");
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    fs::write(&path, format!("{}\n", child.id())).unwrap();
    let process = start(&path);
    process.address();
    assert_eq!(read(&path), format!("{}\n", process.id()));
}

#[test]
fn a_number_that_another_process_has_by_now_is_stale() {
    let path = temporary("pid");
    fs::write(&path, format!("{}\n", std::process::id())).unwrap();
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let process = start(&path);
    process.address();
    assert_eq!(read(&path), format!("{}\n", process.id()));
}

#[test]
fn no_link_is_followed_and_nothing_else_is_left() {
    let folder = folder("links");
    let (path, victim) = (folder.join("pid"), folder.join("victim"));
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, folder.join("pid.new")).unwrap();
    let process = start(&path);
    process.address();
    assert_eq!(read(&victim), "precious");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    symlink(&victim, &path).unwrap();
    is_refused(start(&path), "it is a symbolic link");
    assert_eq!(read(&victim), "precious");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn one_that_somebody_else_has_put_there_stays() {
    let path = temporary("pid");
    let process = start(&path);
    process.address();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "of somebody else").unwrap();
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert_eq!(read(&path), "of somebody else");
}

#[test]
fn a_new_process_without_it_leaves_it_to_the_old_one() {
    let (origin, path) = (Origin::named("o"), temporary("pid"));
    let chain = Chain::start(&[&origin], &[]);
    let file = ["--pid-file", path.to_str().unwrap()];
    chain.running.signal("QUIT");
    let first = launch(&chain.words, &[&["-u"], &file[..]].concat());
    first.address();
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(read(&path), format!("{}\n", first.id()));
    first.signal("QUIT");
    let second = launch(&chain.words, &["-u"]);
    second.address();
    assert_eq!(first.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn as_root_it_is_kept_for_another_user_through_upgrades() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else");
    }
    let (origin, folder) = (Origin::named("o"), folder("root"));
    let path = folder.join("pid");
    let flags = ["--user", "nobody", "--pid-file", path.to_str().unwrap()];
    let mut chain = Chain::start(&[&origin], &flags);
    for _ in 0..2 {
        assert_eq!(read(&path), format!("{}\n", chain.running.id()));
        assert_eq!(chain.upgrade(&[]).end().0, Some(0));
        eventually("it is written", || read(&path) == format!("{}\n", chain.running.id()));
    }
    chain.running.signal("TERM");
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(read(&path), "");
}

#[test]
fn it_is_right_after_each_of_many_upgrades() {
    let (origin, pid, conf) = (Origin::named("o"), temporary("pid"), temporary("conf.yaml"));
    let meeting = socket_path("pid-up");
    // Each process names it.
    let address = own_address();
    let text_of = format!(
        "listen: {address}\nthreads: 2\npid_file: {}\nupgrade_sock: {}\nerror_log: {}\n\
         routes: [{{prefix: /, endpoints: [\"{}\"]}}]\n",
        pid.display(),
        meeting.display(),
        temporary("log").display(),
        origin.address
    );
    fs::write(&conf, text_of).unwrap();
    let run = |more: &[&str]| {
        let words = [&["-c", conf.to_str().unwrap(), "-d"], more].concat();
        let status = Command::new(EVENER).args(words).status().unwrap();
        assert!(status.success());
    };
    let kill = |name: &str| {
        let id = read(&pid);
        assert!(Command::new("kill").args(["-s", name, id.trim()]).status().unwrap().success());
        id
    };
    run(&[]);
    for _ in 0..10 {
        let old = kill("QUIT");
        run(&["-u"]);
        assert_ne!(read(&pid), old);
        for _ in 0..3 {
            assert_eq!(text(&mut Client::connect(address)), "o");
        }
        eventually("the old process has ended", || {
            !Path::new(&format!("/proc/{}/exe", old.trim())).exists()
        });
        let id = read(&pid);
        assert!(Path::new(&format!("/proc/{}/exe", id.trim())).exists(), "{id:?}");
    }
    kill("TERM");
    eventually("it has ended", || !pid.exists());
}
