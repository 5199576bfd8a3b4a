//! Notifications to systemd, and socket activation.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Client, HANG, Origin, Process, eventually, socket_path};

/// A stand-in for systemd that receives notifications.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = socket_path(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        Self { socket, path }
    }

    fn start(&self, origin: &Origin, environment: &[(&str, &str)]) -> Process {
        let route = format!("--route=/={}", origin.address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
        command.args(["--listen", "127.0.0.1:0", "--threads", "2", &route]);
        command.env("NOTIFY_SOCKET", &self.path).envs(environment.iter().copied());
        Process::of(&mut command)
    }

    /// The next message, line by line.
    fn next_message(&self) -> Vec<String> {
        let mut bytes = [0; 1000];
        let count = self.socket.recv(&mut bytes).expect("a message in time");
        String::from_utf8_lossy(&bytes[..count]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn systemd_is_notified_of_the_start_a_reload_and_the_stop() {
    let (origin, manager) = (Origin::named("o"), Manager::new("sd1"));
    let process = manager.start(&origin, &[]);
    let ready = ["READY=1".to_owned(), format!("MAINPID={}", process.id())];
    assert_eq!(manager.next_message(), ready);
    process.signal("HUP");
    let reloading = manager.next_message();
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(manager.next_message(), ready);
    process.signal("TERM");
    assert_eq!(manager.next_message(), ["STOPPING=1"]);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn the_watchdog_is_fed_while_the_workers_answer() {
    let (origin, manager) = (Origin::named("o"), Manager::new("sd2"));
    let _process = manager.start(&origin, &[("WATCHDOG_USEC", "20000")]);
    let messages: Vec<_> = (0..4).map(|_| manager.next_message()).collect();
    let fed = messages.iter().filter(|message| **message == ["WATCHDOG=1"]).count();
    assert_eq!(fed, 3, "{messages:?}");
}

#[test]
fn the_watchdog_is_fed_while_a_drain_goes_on() {
    let mute = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let manager = Manager::new("sd3");
    let process = manager.start(&mute, &[("WATCHDOG_USEC", "20000")]);
    let mut client = process.client();
    client.get("/");
    eventually("it has arrived", || mute.heads().len() == 1);
    process.signal("TERM");
    while manager.next_message() != ["STOPPING=1"] {}
    for _ in 0..3 {
        assert_eq!(manager.next_message(), ["WATCHDOG=1"]);
    }
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn sockets_opened_by_systemd_are_accepted_on_by_every_thread() {
    let origin = Origin::named("o");
    let opened = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = opened.local_addr().unwrap();
    let mut early = Client::connect(address);
    let script = format!(
        "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec {} --threads 2 --listen \
         {address} --route /={}",
        env!("CARGO_BIN_EXE_evener"),
        origin.address
    );
    let kept = opened.try_clone().unwrap();
    let process = Process::with_input(
        Command::new("sh").args(["-c", &script]),
        Stdio::from(OwnedFd::from(opened)),
    );
    early.get("/");
    assert_eq!(early.response().text(), "o");
    assert_eq!(process.address(), address);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    // The socket stays open in between: new connections wait for the next process.
    assert!(std::net::TcpStream::connect(kept.local_addr().unwrap()).is_ok());
}

#[test]
fn the_file_of_a_socket_opened_by_systemd_stays() {
    let (origin, path) = (Origin::named("o"), socket_path("sd-unix"));
    let opened = UnixListener::bind(&path).unwrap();
    let script = format!(
        "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec {} --threads 2 --listen \
         unix:{} --route /={}",
        env!("CARGO_BIN_EXE_evener"),
        path.display(),
        origin.address
    );
    let process = Process::with_input(
        Command::new("sh").args(["-c", &script]),
        Stdio::from(OwnedFd::from(opened.try_clone().unwrap())),
    );
    process.announces("listening on ");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert!(UnixStream::connect(&path).is_ok());
    std::fs::remove_file(&path).unwrap();
}
