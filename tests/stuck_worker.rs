//! A worker that is stuck: whatever it is stuck in, the control thread is not.

use std::fs;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::support::{Admin, Origin, Process, eventually, temporary};

/// A thread that is held by this one, as a debugger would.
struct Held(Pid);

impl Held {
    /// `None` where that is not allowed.
    fn thread(process: &Process, name: &str) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
        let is_it = |task: &Path| fs::read_to_string(task.join("comm")).unwrap().trim() == name;
        let task = tasks.map(|task| task.unwrap().path()).find(|task| is_it(task)).unwrap();
        let id = Pid::from_raw(task.file_name().unwrap().to_str().unwrap().parse().unwrap());
        if let Err(error) = ptrace::seize(id, ptrace::Options::empty()) {
            eprintln!("skipped: ptrace: {error}");
            return None;
        }
        ptrace::interrupt(id).unwrap();
        waitpid(id, Some(WaitPidFlag::__WALL)).unwrap();
        Some(Self(id))
    }

    /// Takes note of its end, without which its process would not end; whether it has.
    fn has_ended(&self) -> bool {
        let waited = waitpid(self.0, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        waited.is_err() || waited.is_ok_and(|status| status.pid().is_some())
    }
}

impl Drop for Held {
    /// A process does not end before its threads do, nor a test that fails before its process.
    fn drop(&mut self) {
        // It may have ended.
        let _ = ptrace::detach(self.0, None);
    }
}

fn start(origin: &Origin) -> Process {
    let route = format!("/={}", origin.address);
    Process::start(&["--listen", "127.0.0.1:0", "--threads", "2", "--route", &route])
}

#[test]
fn a_stuck_worker_has_reloads_refused_until_it_goes_on() {
    let (origin, path) = (Origin::named("o"), temporary("conf.yaml"));
    let text = |prefix: &str| {
        let origin = origin.address;
        format!(
            "listen: 127.0.0.1:0\nthreads: 2\nroutes: [{{prefix: {prefix}, endpoints: [\"{origin}\"]}}]\n"
        )
    };
    fs::write(&path, text("/")).unwrap();
    let process = Process::start(&["-c", path.to_str().unwrap()]);
    process.address();
    let Some(held) = Held::thread(&process, "worker-1") else { return };
    fs::write(&path, text("/a")).unwrap();
    process.signal("HUP");
    eventually("it is refused", || process.says("nothing has changed: worker 1 does not answer"));
    drop(held);
    process.signal("HUP");
    eventually("it is followed", || process.says("reloaded: "));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn sigint_ends_a_process_whose_control_thread_waits_for_a_stuck_worker() {
    let origin = Origin::named("o");
    let process = start(&origin);
    process.address();
    let Some(held) = Held::thread(&process, "worker-0") else { return };
    process.signal("HUP");
    process.signal("INT");
    eventually("it has begun to end", || process.says("ending at once"));
    assert!(!process.says("not followed"), "the wait was not ended");
    eventually("it has ended", || held.has_ended());
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_drain_ends_without_a_stuck_worker() {
    let origin = Origin::named("o");
    let route = format!("/={}", origin.address);
    let words = ["--listen", "127.0.0.1:0", "--threads", "2", "--drain-timeout", "10ms"];
    let process = Process::start(&[&words[..], &["--route", &route]].concat());
    process.address();
    let Some(held) = Held::thread(&process, "worker-0") else { return };
    process.signal("TERM");
    eventually("it is given up", || process.says("1 workers are stuck: ending without them"));
    eventually("it has ended", || held.has_ended());
    assert_eq!(process.end().0, Some(0));
}

/// It has no connections, so that it looks like the one with most room.
#[test]
fn what_other_workers_accept_is_answered_though_one_is_stuck() {
    let admin = Admin::before(&[&Origin::named("o")], &["--threads", "4"]);
    let Some(held) = Held::thread(&admin.process, "worker-1") else { return };
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = admin.client();
            client.get("/");
            client
        })
        .collect();
    let answered = || {
        (
            admin.metric("evener_requests_read_total"),
            admin.metric("evener_connections_accepted_total"),
        )
    };
    eventually("all are answered", || {
        let (read, accepted) = answered();
        read == accepted && read > 100
    });
    drop(held);
    drop(clients);
}

#[test]
fn a_stuck_worker_is_seen_in_the_metrics_until_it_goes_on() {
    let admin = Admin::before(&[&Origin::named("o")], &["--threads", "2"]);
    let lag = || {
        let text = admin.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix("evener_worker_lag_seconds "));
        line.expect("the metric").parse::<f64>().expect("a number")
    };
    assert!(lag() < 60.0, "a worker that works is behind");
    let Some(held) = Held::thread(&admin.process, "worker-1") else { return };
    eventually("it is behind", || lag() > 1.5);
    drop(held);
    eventually("it is counted", || admin.metric("evener_worker_stalls_total") > 0);
    eventually("it is no longer behind", || lag() < 1.0);
}
