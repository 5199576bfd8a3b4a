//! PID file, log file, user and background mode.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use crate::support::{Origin, Process, eventually, temporary};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn lines(origin: &Origin) -> Vec<String> {
    let route = format!("/={}", origin.address);
    ["--listen", "127.0.0.1:0", "--threads", "1", "--route", &route].map(str::to_owned).to_vec()
}

fn start(origin: &Origin, more: &[&str]) -> Process {
    let words = lines(origin);
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Process::start(&words)
}

#[test]
fn the_pid_file_names_the_process_while_it_runs() {
    let (origin, path) = (Origin::named("o"), temporary("pid"));
    let process = start(&origin, &["--pid-file", path.to_str().unwrap()]);
    process.address();
    assert_eq!(text(&path), format!("{}\n", process.id()));
    process.signal("QUIT");
    assert_eq!(process.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_process_that_cannot_bind_leaves_the_pid_file_of_another() {
    let (origin, path) = (Origin::named("o"), temporary("pid"));
    fs::write(&path, "1\n").unwrap();
    let taken = origin.address.to_string();
    let process = Process::start(&[
        "--listen",
        &taken,
        "--route",
        "/=127.0.0.1:1",
        "--pid-file",
        path.to_str().unwrap(),
    ]);
    assert_eq!(process.end().0, Some(1));
    assert_eq!(text(&path), "1\n");
}

#[test]
fn sigusr1_reopens_the_log_file() {
    let (origin, path) = (Origin::named("o"), temporary("error.log"));
    let process = start(&origin, &["--error-log", path.to_str().unwrap()]);
    eventually("it logs", || text(&path).contains("listening on "));
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).unwrap();
    process.signal("USR1");
    eventually("it is there again", || path.exists());
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert!(text(&path).contains("drained"), "{}", text(&path));
}

#[test]
fn a_daemon_detaches_once_it_listens_and_reports_failures() {
    let (origin, pid) = (Origin::named("o"), temporary("pid"));
    let run =
        |words: &[String]| Command::new(env!("CARGO_BIN_EXE_evener")).args(words).output().unwrap();
    let log = temporary("error.log");
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    let more = ["-d", "--pid-file", &file(&pid), "--error-log", &file(&log)].map(str::to_owned);
    let output = run(&[lines(&origin), more.to_vec()].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&log));
    let id = text(&pid).trim().to_owned();
    eventually("it says so", || text(&log).contains("listening on "));
    let status = text(Path::new(&format!("/proc/{id}/stat")));
    let fields: Vec<&str> = status.split_whitespace().collect();
    assert_eq!(fields[5], id, "the leader of its session");
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    eventually("it has ended", || !pid.exists());
    let other = Origin::named("other");
    let taken = ["--listen", &other.address.to_string(), "-d"].map(str::to_owned);
    let output = run(&[lines(&origin), taken.to_vec()].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in use"));
}

#[test]
fn a_user_that_is_not_there_is_a_mistake() {
    let (code, said) = start(&Origin::named("o"), &["--user", "no-such-user"]).end();
    assert_eq!(code, Some(2));
    assert_eq!(said, ["evener: --user: there is no user \"no-such-user\""]);
}

#[test]
fn root_changes_user_in_every_thread() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else");
    }
    let origin = Origin::named("o");
    let process = start(&origin, &["--user", "nobody", "--check", "tcp"]);
    process.client().get("/");
    for task in fs::read_dir(format!("/proc/{}/task", process.id())).unwrap() {
        let status = text(&task.unwrap().path().join("status"));
        let ids = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(!ids("Uid:").contains(&"0".to_owned()), "{status}");
        assert!(!ids("Gid:").contains(&"0".to_owned()), "{status}");
        assert!(!ids("Groups:").contains(&"0".to_owned()), "{status}");
    }
}

#[test]
fn a_standard_error_without_a_reader_blocks_nothing() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let route = format!("/={},{}", dead.address, well.address);
    let pid = temporary("pid");
    let admin = crate::support::socket_path("stuck");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let listen = format!("unix:{}", admin.display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_evener"))
        .args(["--listen", &listen, "--threads", "1", "--route", &route, "--check", "off"])
        .args(["--max-fails", "1", "--fail-timeout", "1ms", "--pid-file", pid.to_str().unwrap()])
        .stderr(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    eventually("it runs", || admin.exists() && pid.exists());
    // Each is an ejection, which is logged: more than the socket's buffer holds.
    for _ in 0..3000 {
        let answer = crate::support::chain::ask_unix(&admin).unwrap();
        assert!(answer.ends_with("well"), "{answer}");
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    eventually("it has ended", || child.try_wait().unwrap().is_some());
    drop(ours);
}

#[test]
fn a_file_size_limit_does_not_kill_the_process() {
    let (origin, log) = (Origin::named("o"), temporary("access.log"));
    let script = format!(
        "ulimit -f 1; exec {} --listen 127.0.0.1:0 --route /={} --access-log {}",
        env!("CARGO_BIN_EXE_evener"),
        origin.address,
        log.display()
    );
    let process = Process::command("sh", &["-c", &script]);
    let mut client = process.client();
    eventually("it cannot write", || {
        client.get("/");
        assert_eq!(client.response().status, 200);
        process.says("access log") && process.says("ERROR")
    });
    client.get("/");
    assert_eq!(client.response().status, 200);
}

/// Only root can change user: run as anybody else, this checks nothing.
#[test]
fn the_error_log_is_opened_as_the_user() {
    let folder = std::env::temp_dir().join(format!("evener-logs-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    if chown(&folder, Some(65534), Some(65534)).is_err() {
        return;
    }
    let (origin, path) = (Origin::named("o"), folder.join("error.log"));
    let more = ["--user", "nobody", "--error-log", path.to_str().unwrap()];
    let process = start(&origin, &more);
    eventually("it logs", || text(&path).contains("listening on "));
    assert_eq!(fs::metadata(&path).unwrap().uid(), 65534);
    fs::rename(&path, folder.join("error.log.1")).unwrap();
    process.signal("USR1");
    eventually("it is there again", || path.exists());
    fs::remove_dir_all(&folder).unwrap();
}
